import { randomBytes } from 'node:crypto'
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import avro, { type Resolver, type Type } from 'avsc'
import { codecs, endOfValue, readVarint, type TopicRecord, topics } from '#schemas'
import { readSchema } from '../../schemas/generate-types.ts'
import type { AgentTopic } from './agent.ts'
import type { ByteReader } from './byte-reader.ts'
import type { Place, Skip, SocketLogRecord } from './socket-log.ts'

/**
 * The socket log as Avro object container files (Avro 1.11, "Object Container Files"): a header with the schema, which is
 * the union of the three records, then blocks. The recorder writes each message as a block of its own, so that a killed
 * one loses at most its last message. Files of another writer may hold more records a block, and older or newer schemas.
 */
export const AVRO_MAGIC = Buffer.from('Obj\x01', 'latin1')

/** Largest block that is read, packed or unpacked, bytes: a keyframe of more than 50,000 sockets. */
export const MAX_BLOCK_BYTES = 16 * 1024 * 1024
const MIN_HEADER_BYTES = 1024
const MAX_HEADER_BYTES = 256 * 1024
const SYNC_BYTES = 16
/** Two numbers of at most 10 bytes each: the count of records, and their bytes. */
const MAX_BLOCK_HEAD_BYTES = 20
const SCAN_BYTES = 64 * 1024

export const AGENT_TOPICS = ['hosts', 'socket-snapshots', 'socket-events'] as const satisfies AgentTopic[]
const schema = AGENT_TOPICS.map(topic => readSchema(topics[topic]))
const unionType = avro.Type.forSchema(schema as avro.Schema) as avro.types.WrappedUnionType
const readers = new Map(unionType.types.map((type, i) => [type.name, { topic: AGENT_TOPICS[i]!, type }]))
const headerType = avro.Type.forSchema({
  type: 'record',
  name: 'org.apache.avro.file.Header',
  fields: [
    { name: 'magic', type: { type: 'fixed', name: 'Magic', size: AVRO_MAGIC.length } },
    { name: 'meta', type: { type: 'map', values: 'bytes' } },
    { name: 'sync', type: { type: 'fixed', name: 'Sync', size: SYNC_BYTES } },
  ],
})
const longType = avro.Type.forSchema('long')

/** Makes the bytes of one file: its header first, then a block for each record. */
export class AvroLogEncoder {
  readonly #sync = randomBytes(SYNC_BYTES)

  header(): Buffer {
    const meta = { 'avro.schema': Buffer.from(JSON.stringify(schema)), 'avro.codec': Buffer.from('deflate') }
    return headerType.toBuffer({ magic: AVRO_MAGIC, meta, sync: this.#sync })
  }

  block<T extends AgentTopic>(topic: T, record: TopicRecord<T>): Buffer {
    const { name } = unionType.types[AGENT_TOPICS.indexOf(topic)]!
    const body = deflateRawSync(unionType.toBuffer({ [name!]: record }))
    return Buffer.concat([longType.toBuffer(1), longType.toBuffer(body.length), body, this.#sync])
  }
}

/** A kind of record that a file holds: how it is laid out there, and how it becomes one of ours, if it can. */
interface Branch {
  written: Type
  topic: AgentTopic | null
  resolve: { type: Type; resolver: Resolver } | null
  problem: string
}

interface Header {
  sync: Buffer
  deflate: boolean
  isUnion: boolean
  branches: Branch[]
}

/**
 * Reads a container file; `place` follows the blocks, 0 is the header. Holds one block at a time. A damaged block costs
 * what is left of it: reading goes on behind the next sync marker.
 */
export async function* readAvroLog(input: ByteReader, place: Place): AsyncGenerator<SocketLogRecord | Skip> {
  place.unit = 'block'
  const header = await readHeader(input)
  if ('reason' in header) {
    yield header
    return
  }
  for (;;) {
    place.number++
    const block = await readBlock(input, header.sync)
    if (block === null) return
    if ('reason' in block) yield block
    else yield* readRecords(header, block)
  }
}

async function readHeader(input: ByteReader): Promise<Header | Skip> {
  try {
    const { value, end } = await peekHeader(input)
    const { meta, sync } = value
    const codec = meta['avro.codec']?.toString() ?? 'null'
    if (codec !== 'null' && codec !== 'deflate')
      return { reason: 'unknown-codec', detail: `codec ${JSON.stringify(codec.slice(0, 100))}` }
    const written = avro.Type.forSchema(JSON.parse(meta['avro.schema']!.toString()))
    const isUnion = avro.Type.isType(written, 'union')
    const branches = (isUnion ? (written as avro.types.WrappedUnionType).types : [written]).map(toBranch)
    const header = { sync: Buffer.from(sync), deflate: codec === 'deflate', isUnion, branches }
    input.take(end)
    return header
  } catch (error) {
    return { reason: 'damaged-avro', detail: `header: ${messageOf(error)}` }
  }
}

/** Asks for more only while the header is not whole: what follows may be damaged gzip. */
async function peekHeader(
  input: ByteReader,
): Promise<{ value: { meta: Record<string, Buffer>; sync: Buffer }; end: number }> {
  for (let size = MIN_HEADER_BYTES; ; size *= 2) {
    const bytes = await input.peek(size)
    try {
      const end = endOfValue(headerType, bytes, 0)
      return { value: headerType.decode(bytes, 0).value, end }
    } catch (error) {
      if (bytes.length < size || size >= MAX_HEADER_BYTES) throw error
    }
  }
}

/** Avro resolution: fields are found by name, those that the file lacks get their default, those we lack are dropped. */
function toBranch(written: Type): Branch {
  const reader = readers.get(written.name)
  if (reader === undefined)
    return { written, topic: null, resolve: null, problem: `record ${written.name ?? written.typeName}` }
  const { topic, type } = reader
  try {
    return { written, topic, resolve: { type, resolver: type.createResolver(written) }, problem: '' }
  } catch (error) {
    return { written, topic, resolve: null, problem: messageOf(error) }
  }
}

interface Block {
  count: number
  data: Buffer
}

/** The next block, or why it is passed over; null at the end of the file. */
async function readBlock(input: ByteReader, sync: Buffer): Promise<Block | Skip | null> {
  const start = await input.peek(MAX_BLOCK_HEAD_BYTES)
  if (start.length === 0) return null
  const head = readBlockHead(start)
  if ('reason' in head) return skipToSync(input, sync, head)
  const { count, size, begin } = head
  const end = begin + size
  const bytes = await input.peek(end + SYNC_BYTES)
  if (bytes.length < end + SYNC_BYTES)
    return skipToSync(input, sync, { reason: 'cut-block', detail: `${bytes.length} of ${end + SYNC_BYTES} bytes` })
  if (sync.compare(bytes, end, end + SYNC_BYTES) !== 0)
    return skipToSync(input, sync, { reason: 'damaged-avro', detail: 'no sync marker behind the block' })
  input.take(end + SYNC_BYTES)
  return { count, data: bytes.subarray(begin, end) }
}

function readBlockHead(bytes: Buffer): { count: number; size: number; begin: number } | Skip {
  try {
    const { value: count, end } = readVarint(bytes, 0)
    const { value: size, end: begin } = readVarint(bytes, end)
    if (count < 0 || size < 0) return { reason: 'damaged-avro', detail: `a block of ${count} records, ${size} bytes` }
    if (size > MAX_BLOCK_BYTES) return { reason: 'block-too-long', detail: `longer than ${MAX_BLOCK_BYTES} bytes` }
    return { count, size, begin }
  } catch (error) {
    return { reason: bytes.length < MAX_BLOCK_HEAD_BYTES ? 'cut-block' : 'damaged-avro', detail: messageOf(error) }
  }
}

/** Passes over a block that cannot be read. One that seems cut while others follow has a wrong size. */
async function skipToSync(input: ByteReader, sync: Buffer, skip: Skip): Promise<Skip> {
  for (;;) {
    const bytes = await input.peek(SCAN_BYTES)
    const at = bytes.indexOf(sync)
    if (at >= 0) {
      input.take(at + SYNC_BYTES)
      return skip.reason === 'cut-block' ? { ...skip, reason: 'damaged-avro' } : skip
    }
    if (bytes.length < SCAN_BYTES) {
      input.take(bytes.length)
      return skip
    }
    input.take(bytes.length - SYNC_BYTES + 1)
  }
}

function* readRecords(header: Header, { count, data }: Block): Generator<SocketLogRecord | Skip> {
  let bytes = data
  try {
    if (header.deflate) bytes = inflateRawSync(data, { maxOutputLength: MAX_BLOCK_BYTES })
  } catch (error) {
    const isTooLong = (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'
    yield { reason: isTooLong ? 'block-too-long' : 'damaged-avro', detail: messageOf(error) }
    return
  }
  let position = 0
  for (let i = 0; i < count; i++) {
    const next = findRecord(header, bytes, position)
    if ('reason' in next) {
      yield next
      return
    }
    yield toRecord(next.branch, bytes, next.begin)
    position = next.end
  }
  if (position < bytes.length)
    yield { reason: 'damaged-avro', detail: `${bytes.length - position} bytes behind the last record of a block` }
}

function findRecord(
  header: Header,
  bytes: Buffer,
  position: number,
): { branch: Branch; begin: number; end: number } | Skip {
  try {
    const { value, end: begin } = header.isUnion ? readVarint(bytes, position) : { value: 0, end: position }
    const branch = header.branches[value]
    if (branch === undefined) return { reason: 'damaged-avro', detail: `no branch ${value} in the union of records` }
    const end = endOfValue(branch.written, bytes, begin)
    // A record of no bytes could be repeated for ever.
    if (end === position) return { reason: 'damaged-avro', detail: 'a record of no bytes' }
    return { branch, begin, end }
  } catch (error) {
    return { reason: 'damaged-avro', detail: messageOf(error) }
  }
}

function toRecord({ topic, resolve, problem }: Branch, bytes: Buffer, begin: number): SocketLogRecord | Skip {
  if (topic === null) return { reason: 'unknown-topic', detail: problem }
  if (resolve === null) return { reason: 'invalid-record', detail: problem }
  try {
    const record: unknown = resolve.type.decode(bytes, begin, resolve.resolver).value
    const assert: (record: unknown) => void = codecs[topic].assert
    assert(record)
    return { topic, record } as SocketLogRecord
  } catch (error) {
    return { reason: 'invalid-record', detail: messageOf(error) }
  }
}

const messageOf = (error: unknown): string => (error as Error).message.slice(0, 500)
