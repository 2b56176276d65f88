import { readBinaryXml, type XmlElement } from './binary-xml.ts'
import type { ByteReader } from './byte-reader.ts'
import type { Line } from './lines.ts'

/** The first bytes of a Windows event log file. */
export const EVTX_MAGIC = Buffer.from('ElfFile\0')

const CHUNK_MAGIC = Buffer.from('ElfChnk\0')
const FILE_HEADER_BYTES = 4096
const CHUNK_BYTES = 65_536
/** Of a chunk: its header with the tables of names and templates. */
const CHUNK_HEADER_BYTES = 512
const FREE_SPACE_OFFSET = 48
const RECORD_MAGIC = 0x2a2a
/** Magic, size, number, time written. The size is repeated after the event. */
const RECORD_HEADER_BYTES = 24

/** What of a file was not read, as `place`: the number of the chunk, from 1. */
export type OnDamage = (detail: string, chunk: number) => void

/**
 * The events of a Windows event log file (EVTX), each as the line of JSON that exporters make of it:
 * `{"Event":{"System":{"EventID":"5156","TimeCreated":{"#attributes":{"SystemTime":"…"}},…},"EventData":{"ProcessID":"4",…}}}`.
 * Holds one chunk, 64 KB. A file that was copied while it was written is read like any other: checksums and the header's
 * counts, which then are stale, are not looked at. Format: https://github.com/libyal/libevtx/blob/main/documentation.
 */
export async function* readEvtx(input: ByteReader, onDamage: OnDamage): AsyncGenerator<Line> {
  const header = await input.peek(FILE_HEADER_BYTES)
  if (header.length < FILE_HEADER_BYTES) return onDamage('the file ends within its header', 0)
  input.take(FILE_HEADER_BYTES)
  for (let number = 1; ; number++) {
    const held = await input.glance(CHUNK_BYTES)
    if (held.length === 0) return
    const chunk = held.subarray(0, CHUNK_BYTES)
    for (const text of eventsOf(chunk, detail => onDamage(detail, number))) yield { text, ended: true }
    input.take(chunk.length)
  }
}

function* eventsOf(chunk: Buffer, onDamage: (detail: string) => void): Generator<string> {
  // Files grow by chunks of zeros, to be filled later.
  if (chunk.every(byte => byte === 0)) return
  if (chunk.length < CHUNK_HEADER_BYTES || !chunk.subarray(0, CHUNK_MAGIC.length).equals(CHUNK_MAGIC))
    return onDamage('not a chunk of events')
  const end = Math.min(chunk.readUInt32LE(FREE_SPACE_OFFSET), CHUNK_BYTES)
  let size = 0
  for (let at = CHUNK_HEADER_BYTES; at < end; at += size) {
    if (at + RECORD_HEADER_BYTES > chunk.length) return onDamage('the file ends within a chunk')
    size = chunk.readUInt32LE(at + 4)
    if (chunk.readUInt32LE(at) !== RECORD_MAGIC || size < RECORD_HEADER_BYTES || at + size > CHUNK_BYTES)
      return onDamage('not an event where one should begin')
    if (at + size > chunk.length) return onDamage('the file ends within an event')
    try {
      yield JSON.stringify({ [EVENT]: toJson(readBinaryXml(chunk, at + RECORD_HEADER_BYTES)) })
    } catch (error) {
      onDamage(`event ${chunk.readBigUInt64LE(at + 8)}: ${(error as Error).message}`)
    }
  }
}

const EVENT = 'Event'

type Json = string | null | { [name: string]: Json }

/** Data is told by its attribute Name, everything else by its own; of elements of one name the last counts. */
function toJson({ attributes, children }: XmlElement): Json {
  const elements = children.filter(child => typeof child !== 'string')
  const text = children.filter(child => typeof child === 'string').join('')
  if (attributes.length === 0 && elements.length === 0) return text === '' ? null : text
  const fields: [string, Json][] = []
  if (attributes.length > 0) fields.push(['#attributes', Object.fromEntries(attributes)])
  if (text !== '') fields.push(['#text', text])
  for (const element of elements) {
    const dataName = element.name === 'Data' ? element.attributes.find(([name]) => name === 'Name')?.[1] : undefined
    if (dataName === undefined) fields.push([element.name, toJson(element)])
    else fields.push([dataName, toJson({ ...element, attributes: [] })])
  }
  return Object.fromEntries(fields)
}
