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
  /** Throws a RangeError that names what was expected where, for bytes that are not a record of this schema. */
  decode: (bytes: Uint8Array) => R
  /** Throws with the path of the first field that does not fit the schema. */
  assert: (record: unknown) => asserts record is R
}

const magicByte = 0
const headerBytes = 5
/** Where records are encoded before they are copied out; as large as the largest needed. */
let scratch = Buffer.alloc(65_536)

function createCodec<R>(name: SchemaName, id: number): Codec<R> {
  const type = avro.Type.forSchema(readSchema(name) as avro.Schema, { noAnonymousTypes: false })
  return {
    encode: record => {
      let end = type.encode(record, scratch, headerBytes)
      if (end < 0) {
        scratch = Buffer.alloc(2 * (scratch.length - end))
        end = type.encode(record, scratch, headerBytes)
      }
      scratch[0] = magicByte
      scratch.writeUInt32BE(id, 1)
      return Buffer.from(scratch.subarray(0, end))
    },
    decodeOwn: bytes =>
      type.fromBuffer(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).subarray(headerBytes)),
    decode: bytes => {
      const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      if (buffer.length < headerBytes || buffer[0] !== magicByte)
        throw new RangeError(
          `${name}.avsc: expected Confluent wire format (magic byte 0), got ${buffer[0] ?? 'nothing'}`,
        )
      const found = buffer.readUInt32BE(1)
      if (found !== id) throw new RangeError(`${name}.avsc: expected schema id ${id}, got ${found}`)
      const end = endOfValue(type, buffer, headerBytes)
      if (end !== buffer.length) throw new RangeError(`${name}.avsc: ${buffer.length - end} bytes behind the record`)
      return type.fromBuffer(buffer.subarray(headerBytes)) as R
    },
    assert: record => {
      type.isValid(record, {
        errorHook: (path, value, expected) => {
          throw new RangeError(
            `${name}.avsc: field '${path.join('.')}' expected ${expected}, got ${JSON.stringify(value)}`,
          )
        },
      })
    },
  }
}

/** Codecs of the checked-in schemas; without a registry a schema's id is its place in `schemaNames`, from 1. */
export const codecs = Object.fromEntries(
  Object.entries(topics).map(([topic, name]) => [topic, createCodec(name, schemaNames.indexOf(name) + 1)]),
) as { [T in Topic]: Codec<TopicRecord<T>> }
