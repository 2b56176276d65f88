import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import avro from 'avsc'
import { codecs, flowKey } from '#schemas'
import { generateTypes, readSchema, schemaNames } from './generate-types.ts'

const history = new URL('history/', import.meta.url)

test('types.ts is what the .avsc files say', () => {
  assert.equal(readFileSync(new URL('types.ts', import.meta.url), 'utf8'), generateTypes())
})

test('every record and every field has a doc', () => {
  const undocumented: string[] = []
  const walk = (schema: unknown, path: string): void => {
    if (Array.isArray(schema)) for (const branch of schema) walk(branch, path)
    if (typeof schema !== 'object' || schema === null) return
    const { type, items, fields, doc, name } = schema as Record<string, unknown>
    if (type === 'record' && !doc) undocumented.push(path)
    if (type === 'array') walk(items, path)
    for (const field of (fields ?? []) as { name: string; type: unknown; doc?: string }[]) {
      if (!field.doc) undocumented.push(`${path}.${field.name}`)
      walk(field.type, `${path}.${name ?? ''}.${field.name}`)
    }
  }
  for (const name of schemaNames) walk(readSchema(name), name)
  assert.deepEqual(undocumented, [])
})

/** Whether data written with `writer` can be read with `reader` (Avro 1.11 schema resolution). */
const canRead = (reader: unknown, writer: unknown): boolean => {
  const type = (schema: unknown) => avro.Type.forSchema(schema as avro.Schema)
  try {
    type(reader).createResolver(type(writer))
    return true
  } catch {
    return false
  }
}

test('BACKWARD_TRANSITIVE: the schemas read every released version', () => {
  const released = readdirSync(history)
  for (const name of schemaNames)
    assert.ok(
      released.some(file => file.startsWith(`${name}.`)),
      `${name} has no released version`,
    )
  for (const file of released) {
    const writer = JSON.parse(readFileSync(new URL(file, history), 'utf8'))
    const name = schemaNames.find(known => file.startsWith(`${known}.`))
    assert.ok(name && canRead(readSchema(name), writer), `${file} can no longer be read`)
  }
})

test('the compatibility check can fail: a new field without a default is refused', () => {
  const writer = { type: 'record', name: 'R', fields: [{ name: 'a', type: 'int' }] }
  const field = { name: 'b', type: ['null', 'int'] }
  assert.ok(canRead({ ...writer, fields: [...writer.fields, { ...field, default: null }] }, writer))
  assert.ok(!canRead({ ...writer, fields: [...writer.fields, field] }, writer))
})

test('bytes that are not of the schema are refused with one sentence', () => {
  assert.throws(() => codecs.hosts.decode(Buffer.from('x')), /host.avsc: expected Confluent wire format/)
  assert.throws(() => codecs.hosts.decode(Buffer.from([0, 0, 0, 0, 99])), /expected schema id 1, got 99/)
  assert.throws(() => codecs.hosts.assert({ host_id: 1 }), /host.avsc: field 'host_id' expected "string", got 1/)
})

test('bytes that claim more than they hold are refused, before memory is taken for it', () => {
  const empty = codecs['socket-events'].encode({
    host_id: '',
    run_id: '',
    seq: 0,
    source: '',
    complete: true,
    lost: 0,
    until_us: 0,
    events: [],
    processes: [],
  })
  const manyEvents = Buffer.concat([empty.subarray(0, -2), Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f])])
  assert.throws(() => codecs['socket-events'].decode(manyEvents), RangeError)
  assert.throws(() => codecs['socket-events'].decode(empty.subarray(0, -1)), RangeError)
  assert.throws(() => codecs['socket-events'].decode(Buffer.concat([empty, empty])), /bytes behind the record/)
})

test('a flow and its reverse give one key, other flows another', () => {
  const a = { ip: '10.0.0.1', port: 5 }
  const b = { ip: '10.0.0.2', port: 5 }
  assert.equal(flowKey('tcp', a, b), flowKey('tcp', b, a))
  assert.notEqual(flowKey('tcp', a, b), flowKey('udp', a, b))
  assert.notEqual(flowKey('tcp', a, b), flowKey('tcp', { ...a, port: 6 }, b))
})
