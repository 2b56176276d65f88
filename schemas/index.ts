import avro from 'avsc'
import { endOfValue } from './avro-bounds.ts'
import { readSchema, type SchemaName, schemaNames } from './generate-types.ts'
import type {
  DeadLetter,
  Host,
  LabeledSession,
  PacketBatch,
  Resolution,
  SocketEvents,
  SocketSnapshot,
} from './types.ts'

export * from './avro-bounds.ts'
export * from './keys.ts'
export * from './packet-columns.ts'
export * from './packets-by-flow.ts'
export * from './types.ts'

interface Records {
  host: Host
  'socket-snapshot': SocketSnapshot
  'socket-event': SocketEvents
  'packet-batch': PacketBatch
  'labeled-session': LabeledSession
  resolution: Resolution
  'dead-letter': DeadLetter
}

/** Topic names and the schema of their values (design section 2). */
export const topics = {
  hosts: 'host',
  'socket-snapshots': 'socket-snapshot',
  'socket-events': 'socket-event',
  packets: 'packet-batch',
  'labeled-sessions': 'labeled-session',
  resolutions: 'resolution',
  'dead-letters': 'dead-letter',
} as const satisfies Record<string, SchemaName>
export type Topic = keyof typeof topics
export type TopicRecord<T extends Topic> = Records[(typeof topics)[T]]

/** Encodes and decodes the values of one topic in Confluent wire format. */
export interface Codec<R> {
  encode: (record: R) => Buffer
  /** Decodes bytes that this process has encoded itself; others must go through `decode`. */
  decodeOwn: (bytes: Uint8Array) => R
  /** Throws a DecodeError that names what was expected where, for bytes that are not a record of this schema. */
  decode: (bytes: Uint8Array) => R
  /** Throws with the path of the first field that does not fit the schema. */
  assert: (record: unknown) => asserts record is R
}

/** A codec that reads what other versions of its schema wrote, once it knows their ids. */
export interface VersionedCodec<R> extends Codec<R> {
  /** `encode` writes this id from now on; records with it, and with those before it, can be read. */
  writeAs: (id: number) => void
  knows: (id: number) => boolean
  /** Records with this id were written with `schema`. Throws where today's schema cannot read them. */
  learn: (id: number, schema: unknown) => void
}

/** Why bytes are not a record, in a word that dead letters and metrics carry. */
export type DecodeReason = 'wire-format' | 'unknown-schema-id' | 'damaged'

export class DecodeError extends RangeError {
  readonly reason: DecodeReason

  constructor(reason: DecodeReason, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'DecodeError'
    this.reason = reason
  }
}

const magicByte = 0
const headerBytes = 5
/** Where records are encoded before they are copied out; as large as the largest needed. */
let scratch = Buffer.alloc(65_536)

/** The schema id that bytes carry; null where they are not in Confluent wire format. */
export function schemaIdOf(bytes: Uint8Array): number | null {
  if (bytes.length < headerBytes || bytes[0] !== magicByte) return null
  return ((bytes[1]! << 24) | (bytes[2]! << 16) | (bytes[3]! << 8) | bytes[4]!) >>> 0
}

function createCodec<R>(name: SchemaName, firstId: number): VersionedCodec<R> {
  const reader = typeOf(readSchema(name))
  let writtenId = firstId
  /** By id; the resolver is null for the schema that is read with, which needs none. */
  const writers = new Map<number, { type: avro.Type; resolver: unknown }>([[firstId, { type: reader, resolver: null }]])
  const decode = (bytes: Uint8Array): R => {
    const id = schemaIdOf(bytes)
    if (id === null) {
      const found = bytes.length < headerBytes ? `${bytes.length} bytes` : bytes[0]
      throw new DecodeError(
        'wire-format',
        `${name}.avsc: expected Confluent wire format (magic byte ${magicByte}), got ${found}`,
      )
    }
    const writer = writers.get(id)
    if (writer === undefined) {
      const expected = [...writers.keys()].join(', ')
      throw new DecodeError('unknown-schema-id', `${name}.avsc: expected schema id ${expected}, got ${id}`)
    }
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    try {
      const end = endOfValue(writer.type, buffer, headerBytes)
      if (end !== buffer.length) throw new RangeError(`${buffer.length - end} bytes behind the record`)
      return reader.fromBuffer(buffer.subarray(headerBytes), writer.resolver as avro.Resolver | undefined)
    } catch (error) {
      throw new DecodeError('damaged', `${name}.avsc: ${(error as Error).message}`, error)
    }
  }
  return {
    encode: record => {
      let end = reader.encode(record, scratch, headerBytes)
      if (end < 0) {
        scratch = Buffer.alloc(2 * (scratch.length - end))
        end = reader.encode(record, scratch, headerBytes)
      }
      scratch[0] = magicByte
      scratch.writeUInt32BE(writtenId, 1)
      return Buffer.from(scratch.subarray(0, end))
    },
    decodeOwn: bytes =>
      reader.fromBuffer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(headerBytes)),
    decode,
    assert: record => {
      reader.isValid(record, {
        errorHook: (path, value, expected) => {
          throw new RangeError(
            `${name}.avsc: field '${path.join('.')}' expected ${expected}, got ${JSON.stringify(value)}`,
          )
        },
      })
    },
    writeAs: id => {
      writtenId = id
      writers.set(id, { type: reader, resolver: null })
    },
    knows: id => writers.has(id),
    learn: (id, schema) => {
      const type = typeOf(schema)
      writers.set(id, { type, resolver: reader.createResolver(type) })
    },
  }
}

const typeOf = (schema: unknown) => avro.Type.forSchema(schema as avro.Schema, { noAnonymousTypes: false })

export type Codecs = { [T in Topic]: Codec<TopicRecord<T>> }
export type VersionedCodecs = { [T in Topic]: VersionedCodec<TopicRecord<T>> }

/** Codecs that write the id which `idOf` gives for a topic. */
export const createCodecs = (idOf: (topic: Topic) => number): VersionedCodecs =>
  Object.fromEntries(
    Object.entries(topics).map(([topic, name]) => [topic, createCodec(name, idOf(topic as Topic))]),
  ) as unknown as VersionedCodecs

/** The checked-in schema of a topic's values, as a registry gets it. */
export const schemaOf = (topic: Topic): unknown => readSchema(topics[topic])

/** Codecs of the checked-in schemas; without a registry a schema's id is its place in `schemaNames`, from 1. */
export const codecs: Codecs = createCodecs(topic => schemaNames.indexOf(topics[topic]) + 1)

/** The same for records that never leave this process: what comes back is not checked again. */
export const ownCodecs = Object.fromEntries(
  Object.entries(codecs).map(([topic, codec]) => [topic, { ...codec, decode: codec.decodeOwn }]),
) as Codecs
