import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import avro from 'avsc'
import {
  allSchemas,
  bytesOf,
  createEntry,
  createSnapshot,
  encodeOther,
  fresh,
  plain,
  readAll,
  small,
  writeFile,
} from './avro-log-fixture.ts'
import { host } from './log-fixture.ts'
import { SocketLogWriter } from './record.ts'
import { detectLog, readSocketLog } from './socket-log.ts'

test('each run of a day begins a file of its own, and they are read in the order they were written', async () => {
  const out = fresh()
  for (let run = 0; run < 12; run++) {
    const writer = new SocketLogWriter(out, 'desk', 'avro')
    writer.append('hosts', host)
    writer.append('socket-snapshots', createSnapshot(run))
    writer.close()
  }
  const day = 'desk-2026-01-31'
  assert.deepEqual(
    new Set(readdirSync(out)),
    new Set([`${day}.avro`, ...Array.from({ length: 11 }, (_, i) => `${day}.${i + 1}.avro`)]),
  )
  writeFileSync(path.join(out, 'desk-2026-02-01.jsonl'), `${JSON.stringify({ topic: 'hosts', ...host })}\n`)
  const { records } = await readAll(out)
  const seqs = records.flatMap(({ topic, record }) => (topic === 'socket-snapshots' ? [record.seq] : []))
  assert.deepEqual(
    seqs,
    Array.from({ length: 12 }, (_, i) => i),
  )
  assert.equal(records.at(-1)?.topic, 'hosts')
  assert.equal(statSync(path.join(out, `${day}.avro`)).size, statSync(path.join(out, `${day}.2.avro`)).size)
})

test('a file that is cut anywhere gives every whole block, and tells of the rest once', async () => {
  const bytes = bytesOf(small)
  const whole = await readAll(writeFile(bytes))
  assert.deepEqual([whole.read, whole.skipped], [4, {}])
  const sync = bytes.subarray(-16)
  const ends: number[] = []
  for (let at = bytes.indexOf(sync); at >= 0; at = bytes.indexOf(sync, at + 1)) ends.push(at + 16)
  assert.equal(ends.length, 5)
  const file = fresh('.avro')
  // The header is long with docs: not each of its bytes but for the last ones.
  for (let length = 4; length < bytes.length; length += length < ends[0]! - 200 ? 61 : 1) {
    writeFileSync(file, bytes.subarray(0, length))
    const { records, skipped } = await readAll(file)
    const expected = ends.filter(end => end <= length).length
    assert.deepEqual(records, whole.records.slice(0, Math.max(0, expected - 1)), `${length} bytes`)
    const rest = expected === 0 ? { 'damaged-avro': 1 } : ends.includes(length) ? {} : { 'cut-block': 1 }
    assert.deepEqual(skipped, rest, `${length} bytes`)
  }
})

test('a wrong bit anywhere behind the header costs at most the block it is in and the next', async () => {
  const bytes = bytesOf(small)
  const whole = await readAll(writeFile(bytes))
  const headerEnd = bytes.indexOf(bytes.subarray(-16)) + 16
  const file = fresh('.avro')
  for (let at = headerEnd; at < bytes.length; at++) {
    const broken = Buffer.from(bytes)
    broken[at]! ^= 1 << (at % 8)
    writeFileSync(file, broken)
    const { records, skipped } = await readAll(file)
    const kept = whole.records.filter(entry => records.some(other => JSON.stringify(other) === JSON.stringify(entry)))
    // A broken marker costs two: the block behind it is not found any more.
    assert.ok(kept.length >= 2, `byte ${at}: ${kept.length} of 4`)
    assert.ok(kept.length === 4 || Object.keys(skipped).length > 0 || records.length === 4, `byte ${at}: loss not told`)
  }
})

test('gzip around it, and damage of that gzip', async () => {
  const entries = Array.from({ length: 4000 }, (_, i) => createEntry(i))
  const bytes = bytesOf(entries)
  assert.equal((await readAll(writeFile(gzipSync(bytes)))).read, 4000)
  const packed = gzipSync(bytes)
  const { read, skipped } = await readAll(writeFile(packed.subarray(0, packed.length >> 1)))
  assert.ok(read > 500 && read < 4000, `${read} read`)
  assert.deepEqual(skipped, { 'damaged-gzip': 1 })
})

test('other Avro tools read our files, and we read theirs: many records a block, one schema alone', async () => {
  const decoder = new avro.streams.BlockDecoder()
  decoder.end(bytesOf(small))
  const values = plain(await decoder.toArray()) as Record<string, unknown>[]
  assert.deepEqual(
    values.map(value => Object.entries(value)[0]),
    small.map(({ topic, record }) => [topic === 'hosts' ? 'proclabel.Host' : 'proclabel.SocketSnapshot', record]),
  )
  for (const codec of ['null', 'deflate'] as const) {
    const union = await readAll(writeFile(await encodeOther(allSchemas, values, codec)))
    assert.deepEqual(union.records, small)
    const hosts = await readAll(writeFile(await encodeOther(allSchemas[0], [host, host], codec)))
    assert.deepEqual([hosts.read, hosts.skipped, hosts.records[1]?.record], [2, {}, host])
  }
})

test('a log of an older schema is resolved, of a newer one too; what cannot be is counted by record', async () => {
  const released = ['host', 'socket-snapshot', 'socket-event'].map(name =>
    JSON.parse(readFileSync(new URL(`../../schemas/history/${name}.1.avsc`, import.meta.url), 'utf8')),
  )
  const asHost = (record: object) => ({ 'proclabel.Host': record })
  const old = await readAll(writeFile(await encodeOther(released, [asHost(host)], 'deflate')))
  assert.deepEqual([old.skipped, old.records], [{}, [{ topic: 'hosts', record: host }]])

  const fields = allSchemas[0]!.fields
  const without = { ...allSchemas[0]!, fields: fields.filter(({ name }) => name !== 'boot_id') }
  assert.deepEqual((await readAll(writeFile(await encodeOther(without, [host], 'null')))).records, old.records)

  const added = [{ name: 'later', type: { type: 'map', values: 'string' }, doc: '' }, ...fields]
  const newer = [
    { ...allSchemas[0]!, fields: added },
    { ...allSchemas[1]!, fields: allSchemas[1]!.fields.map(field => ({ ...field, name: `${field.name}_2` })) },
    { type: 'record', name: 'proclabel.Later', fields: [{ name: 'a', type: 'int' }] },
  ]
  const snapshot = Object.fromEntries(Object.entries(createSnapshot(0)).map(([key, value]) => [`${key}_2`, value]))
  const values = [
    { 'proclabel.Later': { a: 1 } },
    { 'proclabel.SocketSnapshot': snapshot },
    asHost({ ...host, later: { a: 'b' } }),
  ]
  const { records, skipped, firstProblem } = await readAll(writeFile(await encodeOther(newer, values, 'null')))
  assert.deepEqual(records, old.records)
  assert.deepEqual(skipped, { 'unknown-topic': 1, 'invalid-record': 1 })
  assert.match(firstProblem ?? '', /\.avro, block 1: record proclabel\.Later$/)
})

test('an Avro log is told by its first bytes, and a reader may stop early', async () => {
  const bytes = bytesOf(Array.from({ length: 3000 }, (_, i) => createEntry(i)))
  for (const file of [writeFile(bytes), writeFile(gzipSync(bytes))]) {
    assert.equal(await detectLog(file), 'socket-log')
    for await (const { topic } of readSocketLog(file)) {
      assert.equal(topic, 'socket-snapshots')
      break
    }
  }
  assert.equal(await detectLog(writeFile(Buffer.from('Obj\x02'))), 'unknown')
})
