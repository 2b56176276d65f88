import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import avro from 'avsc'
import fc from 'fast-check'
import {
  createCodecs,
  DecodeError,
  type DecodeReason,
  PacketBatchBuilder,
  readPacketColumns,
  schemaIdOf,
  schemaOf,
} from '#schemas'

type Fields = { name: string; type: unknown; default?: unknown }[]

/** A schema of `hosts` with other fields, as another version would have them. */
function version(change: (fields: Fields) => Fields): {
  schema: unknown
  write: (id: number, record: object) => Buffer
} {
  const today = schemaOf('hosts') as { fields: Fields }
  const schema = { ...today, fields: change(today.fields) }
  const type = avro.Type.forSchema(schema as avro.Schema)
  const write = (id: number, record: object) => {
    const header = Buffer.alloc(5)
    header.writeUInt32BE(id, 1)
    return Buffer.concat([header, type.toBuffer(record)])
  }
  return { schema, write }
}

/** A record with every field of the schema at its smallest. */
function smallest(fields: Fields): Record<string, unknown> {
  const empty = (type: unknown): unknown => {
    if (Array.isArray(type)) return empty(type[0])
    if (typeof type === 'object') {
      const { type: kind, fields: inner, symbols } = type as { type: string; fields: Fields; symbols: string[] }
      return kind === 'record' ? smallest(inner) : kind === 'enum' ? symbols[0] : kind === 'array' ? [] : empty(kind)
    }
    return (
      { null: null, boolean: false, string: '', bytes: Buffer.alloc(0) }[type as string] ?? (type === 'null' ? null : 0)
    )
  }
  return Object.fromEntries(fields.map(({ name, type }) => [name, empty(type)]))
}

const fields = (schemaOf('hosts') as { fields: Fields }).fields
const record = { ...smallest(fields), host_id: 'h' }
const refusal = (reason: DecodeReason) => (error: unknown) => error instanceof DecodeError && error.reason === reason

test('a codec writes the id that it was given, and later the one it is given then', () => {
  const { hosts } = createCodecs(() => 4_000_000_000)
  const before = hosts.encode(record as never)
  assert.equal(schemaIdOf(before), 4_000_000_000)
  hosts.writeAs(7)
  const after = hosts.encode(record as never)
  assert.equal(schemaIdOf(after), 7)
  for (const bytes of [before, after]) assert.equal(hosts.decode(bytes).host_id, 'h')
})

test('records of a later version, with a field more, are read without it', () => {
  const later = version(all => [{ name: 'added', type: { type: 'array', items: 'string' }, default: [] }, ...all])
  const { hosts } = createCodecs(() => 1)
  const bytes = later.write(9, { ...record, added: ['x', 'y'] })
  assert.throws(() => hosts.decode(bytes), refusal('unknown-schema-id'))
  assert.equal(hosts.knows(9), false)
  hosts.learn(9, later.schema)
  assert.ok(hosts.knows(9))
  assert.deepEqual({ ...hosts.decode(bytes) }, { ...hosts.decode(hosts.encode(record as never)) })
})

test('records of an earlier version, without a field that has a default, are read with the default', () => {
  const last = fields.findLast(field => 'default' in field)!
  const earlier = version(all => all.filter(({ name }) => name !== last.name))
  const { hosts } = createCodecs(() => 1)
  hosts.learn(3, earlier.schema)
  const { [last.name]: _, ...without } = record as Record<string, unknown>
  const read = hosts.decode(earlier.write(3, without)) as unknown as Record<string, unknown>
  assert.deepEqual(read[last.name], last.default)
})

test('packet batches of version 1, which name no peers, are read', () => {
  const {
    peers: _,
    flow_peer: __,
    ...batch
  } = new PacketBatchBuilder().build({
    ...{ host_id: 'h', sensor_id: 's', run_id: 'r', seq: 3, until_us: 4, lost: 0, names: [], dns: [] },
  })
  const schema = JSON.parse(readFileSync(new URL('history/packet-batch.1.avsc', import.meta.url), 'utf8'))
  const { packets } = createCodecs(() => 1)
  packets.learn(3, schema)
  const bytes = Buffer.concat([Buffer.from([0, 0, 0, 0, 3]), avro.Type.forSchema(schema).toBuffer(batch)])
  const read = packets.decode(bytes)
  assert.deepEqual([read.seq, read.peers, read.flow_peer.length], [3, [], 0])
  readPacketColumns(read)
})

test('a version that today cannot read is refused when it is learnt', () => {
  const { hosts } = createCodecs(() => 1)
  const other = version(all => all.filter(({ name }) => name !== 'host_id'))
  assert.throws(() => hosts.learn(3, other.schema))
  assert.equal(hosts.knows(3), false)
})

test('bytes of another version are walked before avsc gets them', () => {
  const later = version(all => [{ name: 'added', type: { type: 'array', items: 'null' }, default: [] }, ...all])
  const { hosts } = createCodecs(() => 1)
  hosts.learn(9, later.schema)
  const bytes = later.write(9, { ...record, added: [] })
  hosts.decode(bytes)
  const huge = Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f])
  const hostile = Buffer.concat([bytes.subarray(0, 5), huge, bytes.subarray(5)])
  assert.throws(() => hosts.decode(hostile), refusal('damaged'))
  assert.throws(() => hosts.decode(bytes.subarray(0, -1)), refusal('damaged'))
  assert.throws(() => hosts.decode(bytes.subarray(0, 4)), refusal('wire-format'))
})

test('any bytes are a record or refused, never another error', () => {
  const { hosts } = createCodecs(() => 1)
  const later = version(all => [...all, { name: 'added', type: 'string', default: '' }])
  hosts.learn(2, later.schema)
  fc.assert(
    fc.property(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 200 }), (id, body) => {
      try {
        hosts.decode(Buffer.concat([Buffer.from([0, 0, 0, 0, id]), body]))
      } catch (error) {
        assert.ok(error instanceof DecodeError)
      }
    }),
  )
})
