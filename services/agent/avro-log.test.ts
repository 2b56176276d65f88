import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { deflateRawSync, gzipSync } from 'node:zlib'
import avro from 'avsc'
import fc from 'fast-check'
import type { SocketEvents, SocketSnapshot } from '#schemas'
import { readSchema } from '../../schemas/generate-types.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { runAgent } from './agent.ts'
import { MAX_BLOCK_BYTES } from './avro-log.ts'
import { openLinuxSource } from './linux.ts'
import { host, NOON_US, socket } from './log-fixture.ts'
import { SocketLogWriter } from './record.ts'
import { detectLog, readSocketLog, type SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-avro-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const fresh = (name = '') => path.join(folder, `${files++}${name}`)

function createSnapshot(seq: number, opened = [socket]): SocketSnapshot {
  const times = { time_us: NOON_US + seq, monotonic_us: 1, duration_us: 1 }
  const kind = seq === 0 ? 'keyframe' : 'delta'
  return {
    host_id: 'desk',
    run_id: 'r',
    seq,
    polls: [{ poll_seq: seq, kind, ...times, opened, closed: [] }],
    processes: [],
  }
}

const createEntry = (seq: number): SocketLogRecord => ({ topic: 'socket-snapshots', record: createSnapshot(seq) })

function writeLog(format: 'jsonl' | 'avro', entries: readonly SocketLogRecord[]): string {
  const out = fresh()
  const writer = new SocketLogWriter(out, 'desk', format)
  for (const { topic, record } of entries) writer.append(topic, record as never)
  writer.close()
  return out
}

function writeFile(bytes: Buffer): string {
  const file = fresh('.avro')
  writeFileSync(file, bytes)
  return file
}

/** The bytes of the one file in the folder that writeLog makes. */
const bytesOf = (entries: readonly SocketLogRecord[]): Buffer => {
  const out = writeLog('avro', entries)
  return readFileSync(path.join(out, readdirSync(out)[0]!))
}

/** Without the classes that the codecs make. */
const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value))

async function readAll(paths: string | string[]) {
  const log = readSocketLog(paths)
  const records: SocketLogRecord[] = []
  for await (const record of log) records.push(record)
  return { records: plain(records), ...log.counts }
}

/** A container file as another writer makes it: all records in one block. */
async function encodeOther(schema: unknown, values: readonly unknown[], codec: 'null' | 'deflate'): Promise<Buffer> {
  const encoder = new avro.streams.BlockEncoder(avro.Type.forSchema(schema as avro.Schema), { codec })
  for (const value of values) encoder.write(value)
  encoder.end()
  return Buffer.concat(await encoder.toArray())
}

const allSchemas = [readSchema('host'), readSchema('socket-snapshot'), readSchema('socket-event')]
const SYNC = Buffer.alloc(16, 0xa5)
const varint = (value: number): Buffer => avro.Type.forSchema('long').toBuffer(value)
const sized = (bytes: Buffer): Buffer => Buffer.concat([varint(bytes.length), bytes])

function header(schema: unknown, codec = 'null', text = JSON.stringify(schema)): Buffer {
  const meta = { 'avro.schema': text, 'avro.codec': codec }
  const entries = Object.entries(meta).flatMap(([key, value]) => [sized(Buffer.from(key)), sized(Buffer.from(value))])
  return Buffer.concat([Buffer.from('Obj\x01'), varint(entries.length / 2), ...entries, varint(0), SYNC])
}

const block = (count: number, body: Buffer): Buffer => Buffer.concat([varint(count), sized(body), SYNC])
const hostBody = (): Buffer =>
  Buffer.concat([varint(0), avro.Type.forSchema(allSchemas[0] as avro.Schema).toBuffer(host)])

const timeUs = fc.integer({ min: NOON_US, max: NOON_US + 3_600_000_000 })
const orNull = <T>(value: fc.Arbitrary<T>) => fc.option(value)
const long = fc.integer({ min: -(2 ** 52), max: 2 ** 52 })
const pid = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const text = fc.string({ unit: 'grapheme', maxLength: 20 })
/** Some are no addresses and no ports, which both readers must refuse. */
const ip = fc.oneof(
  { weight: 8, arbitrary: fc.ipV4() },
  { weight: 8, arbitrary: fc.ipV6() },
  { weight: 1, arbitrary: text },
)
const port = fc.integer({ min: 0, max: 66_000 })
const process_ = fc.record({
  pid,
  start_us: orNull(timeUs),
  name: text,
  path: orNull(text),
  parent_pid: orNull(pid),
  services: fc.array(text, { maxLength: 2 }),
  container_id: orNull(text),
  user: orNull(text),
})
const anyHost = fc.record({
  host_id: fc.constant('desk'),
  names: fc.array(text, { maxLength: 3 }),
  addresses: fc.array(fc.record({ ip, since_us: orNull(timeUs), until_us: orNull(timeUs) }), { maxLength: 3 }),
  os: text,
  agent_version: text,
  poll_period_us: orNull(long),
  boot_id: orNull(text),
  updated_us: timeUs,
})
const anySocket = fc.record({
  id: long,
  proto: fc.constantFrom('tcp' as const, 'udp' as const),
  local_ip: ip,
  local_port: port,
  remote_ip: orNull(ip),
  remote_port: orNull(port),
  state: fc.constantFrom('listen' as const, 'established' as const, 'bound' as const),
  v6_only: fc.boolean(),
  owners: fc.array(fc.record({ pid, start_us: orNull(timeUs) }), { maxLength: 3 }),
  created_us: orNull(timeUs),
})
const anySnapshot = fc.record({
  host_id: fc.constant('desk'),
  run_id: text,
  seq: long,
  polls: fc.array(
    fc.record({
      poll_seq: long,
      kind: fc.constantFrom('keyframe' as const, 'delta' as const),
      time_us: timeUs,
      monotonic_us: long,
      duration_us: long,
      opened: fc.array(anySocket, { maxLength: 4 }),
      closed: fc.array(long, { maxLength: 4 }),
    }),
    { maxLength: 3 },
  ),
  processes: fc.array(process_, { maxLength: 3 }),
})
const anyEvents = fc.record({
  host_id: fc.constant('desk'),
  run_id: text,
  seq: long,
  source: text,
  complete: fc.boolean(),
  lost: long,
  until_us: timeUs,
  events: fc.array(
    fc.record({
      kind: fc.constantFrom('connect' as const, 'accept' as const, 'process_exit' as const),
      time_us: timeUs,
      resolution_us: long,
      pid,
      start_us: orNull(timeUs),
      proto: orNull(fc.constantFrom('tcp' as const, 'udp' as const)),
      local_ip: orNull(ip),
      local_port: orNull(port),
      remote_ip: orNull(ip),
      remote_port: orNull(port),
    }),
    { maxLength: 4 },
  ),
  processes: fc.array(process_, { maxLength: 3 }),
})
const anyEntry: fc.Arbitrary<SocketLogRecord> = fc.oneof(
  anyHost.map(record => ({ topic: 'hosts' as const, record })),
  anySnapshot.map(record => ({ topic: 'socket-snapshots' as const, record })),
  anyEvents.map((record: SocketEvents) => ({ topic: 'socket-events' as const, record })),
)

test('the same records come back from JSON Lines and from Avro, and the same ones are refused', async () => {
  const seen = { read: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(anyEntry, { minLength: 1, maxLength: 12 }), async entries => {
      // A poll-less snapshot has no time, which would turn the writer to 1970 and back.
      const usable = entries.filter(({ topic, record }) => topic !== 'socket-snapshots' || record.polls.length > 0)
      fc.pre(usable.length > 0)
      const [lines, blocks] = [await readAll(writeLog('jsonl', usable)), await readAll(writeLog('avro', usable))]
      assert.deepEqual(blocks.records, lines.records)
      assert.deepEqual([blocks.read, blocks.skipped], [lines.read, lines.skipped])
      assert.deepEqual(
        Object.keys(blocks.skipped).filter(reason => reason !== 'invalid-address'),
        [],
      )
      seen.read += blocks.read
      seen.refused += usable.length - blocks.read
    }),
    { numRuns: 60 },
  )
  assert.ok(seen.read > 0 && seen.refused > 0, JSON.stringify(seen))
})

test('a recording of this machine is the same in both formats, up to what the matcher is given', {
  skip: process.platform !== 'linux',
}, async () => {
  const entries: SocketLogRecord[] = []
  const publish = (topic: string, record: object) => void entries.push({ topic, record } as SocketLogRecord)
  await runAgent({ source: openLinuxSource(), hostId: 'desk', publish, signal: AbortSignal.timeout(2200) })
  assert.ok(entries.length >= 3)
  const paths = [writeLog('jsonl', entries), writeLog('avro', entries)]
  const [lines, blocks] = await Promise.all(
    paths.map(async out => {
      const { records, ...logs } = await openSocketLogs([out], null)
      const given: object[] = []
      for await (const record of records()) given.push(record)
      return { logs: plain(logs), records: given }
    }),
  )
  assert.deepEqual(blocks, lines)
  assert.equal(lines?.records.length, entries.length)
})

test('a recorder that was killed leaves an Avro log that can be read and continued', {
  skip: process.platform !== 'linux',
}, async () => {
  const out = fresh()
  const cli = path.join(import.meta.dirname, '../cli/main.ts')
  const args = [cli, 'record', '--out', out, '--format', 'avro', '--host', 'desk']
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const exited = once(child, 'exit')
  const blocks = async () => (existsSync(out) && readdirSync(out).length > 0 ? (await readAll(out)).read : 0)
  for (const until = Date.now() + 20_000; (await blocks()) < 3 && Date.now() < until; ) await sleep(100)
  child.kill('SIGKILL')
  await exited
  const before = await readAll(out)
  assert.ok(before.read >= 3, `${before.read} records`)
  assert.deepEqual(before.skipped, {})
  const [code] = await once(spawn(process.execPath, [...args, '--duration', '1'], { stdio: 'ignore' }), 'exit')
  assert.equal(code, 0)
  const continued = await readAll(out)
  assert.deepEqual(continued.skipped, {})
  assert.deepEqual(continued.records.slice(0, before.read), before.records)
  assert.equal(continued.records[before.read]?.topic, 'hosts')
})

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

const small: SocketLogRecord[] = [{ topic: 'hosts', record: host }, ...[0, 1, 2].map(createEntry)]

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

const withField = (type: unknown) => [
  { ...allSchemas[0]!, fields: [...allSchemas[0]!.fields, { name: 'more', type, doc: '' }] },
]
const nested = { type: 'record', name: 'L', fields: [{ name: 'next', type: ['null', 'L'] }] }
const nulls = Array.from({ length: 2000 }, (_, i) => ({ name: `f${i}`, type: 'null' }))
const wide = { type: 'array', items: { type: 'record', name: 'W', fields: nulls } }
const join = (...parts: Buffer[]) => Buffer.concat(parts)
/** A host whose addresses are said to be so many. */
const manyAddresses = (count: Buffer) => join(varint(0), sized(Buffer.from('a')), varint(0), count)
const wellFormedMore = block(1, join(hostBody(), varint(0)))

interface HostileBlock {
  reason?: string
  schema?: unknown
  codec?: 'null' | 'deflate'
  bad: Buffer
  /** A block behind the bad one, which is to be read. */
  next?: Buffer
}

const hostileBlocks: Record<string, HostileBlock> = {
  'an array of 2^31 items': { bad: block(1, manyAddresses(varint(2 ** 31))) },
  'an array of 2^62 items': { bad: block(1, manyAddresses(Buffer.alloc(9, 0xff))) },
  'array items of a negative size, skipped backwards for ever': {
    schema: withField({ type: 'array', items: 'int' }),
    bad: block(1, join(hostBody(), varint(-1), varint(-3), varint(5), varint(0))),
    next: wellFormedMore,
  },
  'array items of no bytes': {
    schema: withField({ type: 'array', items: 'null' }),
    bad: block(1, join(hostBody(), varint(2 ** 52), varint(0))),
    next: wellFormedMore,
  },
  'array items of many fields and no bytes': {
    schema: withField(wide),
    bad: block(1, join(hostBody(), varint(2 ** 40), varint(0))),
    next: wellFormedMore,
  },
  'values nested without end': {
    schema: withField(nested),
    bad: block(1, join(hostBody(), Buffer.alloc(1_000_000, 2))),
    next: wellFormedMore,
  },
  'a block of a negative count': { bad: block(-1, hostBody()) },
  'bytes behind the last record': { bad: block(0, hostBody()) },
  'a branch that is not there': { bad: block(1, Buffer.of(8)) },
  'a port of more than 32 bits': {
    reason: 'invalid-record',
    // Branch 2; host_id to complete, lost and until_us; one event with its port, and no processes.
    bad: block(
      1,
      join(varint(2), Buffer.alloc(7), varint(1), Buffer.alloc(7), varint(1), varint(2 ** 40), Buffer.alloc(4)),
    ),
  },
  'a block that unpacks to very much': {
    reason: 'block-too-long',
    codec: 'deflate',
    bad: block(1, deflateRawSync(Buffer.alloc(MAX_BLOCK_BYTES + 1))),
    next: block(1, deflateRawSync(hostBody())),
  },
  'a block of very many bytes': { reason: 'block-too-long', bad: join(varint(1), varint(2 ** 50), SYNC) },
  'no deflate': { codec: 'deflate', bad: block(1, Buffer.alloc(9, 0xff)), next: block(1, deflateRawSync(hostBody())) },
}

for (const [name, hostile] of Object.entries(hostileBlocks)) {
  const { reason = 'damaged-avro', schema = allSchemas, codec = 'null', bad, next = block(1, hostBody()) } = hostile
  test(`${name}: ${reason}, and the next block is read`, { timeout: 20_000 }, async () => {
    const { records, skipped } = await readAll(writeFile(join(header(schema, codec), bad, next)))
    assert.deepEqual([records, skipped], [[{ topic: 'hosts', record: host }], { [reason]: 1 }])
  })
}

test('records of no bytes are not repeated for ever', { timeout: 20_000 }, async () => {
  const empty = { type: 'record', name: 'proclabel.Empty', fields: [] }
  const file = writeFile(join(header(empty), block(2 ** 50, Buffer.of(0))))
  assert.deepEqual((({ read, skipped }) => [read, skipped])(await readAll(file)), [0, { 'damaged-avro': 1 }])
})

for (const [name, reason, bytes] of [
  ['a schema that is none', 'damaged-avro', header({ type: 'recrod' })],
  ['a schema nested without end', 'damaged-avro', header(null, 'null', `${'['.repeat(50_000)}${']'.repeat(50_000)}`)],
  ['a codec we do not have', 'unknown-codec', header(allSchemas, 'snappy')],
  [
    'metadata without end',
    'damaged-avro',
    Buffer.concat([Buffer.from('Obj\x01'), varint(2 ** 50), Buffer.alloc(900_000)]),
  ],
] as const) {
  test(`a header with ${name} is ${reason}, and other files are read`, async () => {
    const file = writeFile(Buffer.concat([bytes, block(1, hostBody())]))
    const { read, skipped, firstProblem } = await readAll([file, writeFile(bytesOf(small))])
    assert.deepEqual([read, skipped], [4, { [reason]: 1 }])
    assert.ok(firstProblem?.startsWith(`${file}, block 0: `), firstProblem ?? 'no problem told')
  })
}

test('a block without end is passed over in bounded memory', async () => {
  const long = Buffer.alloc(MAX_BLOCK_BYTES * 4, 'x')
  const file = writeFile(
    Buffer.concat([header(allSchemas), block(1, hostBody()), varint(1), sized(long), SYNC, block(1, hostBody())]),
  )
  const before = process.memoryUsage().arrayBuffers
  const log = readSocketLog(file)
  let most = 0
  for await (const _ of log) most = Math.max(most, process.memoryUsage().arrayBuffers)
  assert.deepEqual([log.counts.read, log.counts.skipped], [2, { 'block-too-long': 1 }])
  assert.ok(most - before < MAX_BLOCK_BYTES, `${most - before} bytes held`)
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
