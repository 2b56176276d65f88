import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { SocketSnapshot, TopicRecord } from '#schemas'
import { InputError } from '#shared/errors.ts'
import type { AgentTopic } from './agent.ts'
import { openLinuxSource } from './linux.ts'
import { host, NOON_US, socket } from './log-fixture.ts'
import { MAX_LINE_BYTES } from './open-log.ts'
import { record, SocketLogWriter } from './record.ts'
import { detectLog, readSocketLog, type SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-log-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
const fresh = (name = '') => path.join(folder, `${files++}${name}`)

const DAY_US = 86_400_000_000
function createSnapshot(seq: number, timeUs = NOON_US, opened = [socket]): SocketSnapshot {
  const kind = seq === 0 ? 'keyframe' : 'delta'
  const times = { time_us: timeUs, monotonic_us: 1, duration_us: 1 }
  return {
    host_id: 'desk',
    run_id: 'r',
    seq,
    polls: [{ poll_seq: seq, kind, ...times, opened, closed: [] }],
    processes: [],
  }
}

const toLine = (topic: string, fields: object) => `${JSON.stringify({ topic, ...fields })}\n`

function writeLog(...lines: (string | Buffer)[]): string {
  const file = fresh('.jsonl')
  writeFileSync(file, Buffer.concat(lines.map(line => Buffer.from(line))))
  return file
}

/** Without the classes that the codec makes. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

async function readAll(paths: string | string[]) {
  const log = readSocketLog(paths)
  const records: SocketLogRecord[] = []
  for await (const record of log) records.push(record)
  return { records, ...log.counts }
}

test('what was recorded is read back as it was published', { skip: process.platform !== 'linux' }, async () => {
  const out = fresh()
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const stop = new AbortController()
  const recording = record({ out, source: openLinuxSource(), hostId: 'desk/1', signal: stop.signal })
  await sleep(1200)
  const { port } = server.address() as net.AddressInfo
  server.close()
  await sleep(200)
  stop.abort()
  const { polls } = await recording
  const day = new Date().toISOString().slice(0, 10)
  assert.deepEqual(readdirSync(out), [`desk_1-${day}.jsonl`])
  const { records, read, skipped } = await readAll(out)
  assert.deepEqual([records[0]?.topic, skipped, records.length], ['hosts', {}, read])
  const snapshots = records.flatMap(({ topic, record }) => (topic === 'socket-snapshots' ? [record] : []))
  const lines = readFileSync(path.join(out, `desk_1-${day}.jsonl`), 'utf8')
    .trim()
    .split('\n')
  assert.deepEqual(
    plain(records.map(({ topic, record }) => ({ topic, ...record }))),
    lines.map(line => JSON.parse(line)),
  )
  const all = snapshots.flatMap(snapshot => snapshot.polls)
  assert.deepEqual(
    all.map(poll => poll.poll_seq),
    Array.from({ length: polls }, (_, i) => i),
  )
  const listener = all[0]?.opened.find(({ local_port, state }) => local_port === port && state === 'listen')
  assert.equal(listener?.owners[0]?.pid, process.pid)
  assert.ok(all.some(poll => poll.closed.includes(listener!.id)))
  const owner = snapshots[0]?.processes.find(({ pid }) => pid === process.pid)
  assert.equal(owner?.start_us, listener?.owners[0]?.start_us)
})

test('a recorder that was killed leaves a log that can be read and continued', {
  skip: process.platform !== 'linux',
}, async () => {
  const out = fresh()
  const script = `
    import { record } from ${JSON.stringify(path.join(import.meta.dirname, 'record.ts'))}
    import { openLinuxSource } from ${JSON.stringify(path.join(import.meta.dirname, 'linux.ts'))}
    await record({ out: process.argv[1], source: openLinuxSource(), hostId: 'desk', signal: new AbortController().signal })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, out], { stdio: 'inherit' })
  const exited = new Promise(resolve => child.once('exit', resolve))
  while (!existsSync(out) || readdirSync(out).every(name => statSync(path.join(out, name)).size < 2000)) await sleep(50)
  child.kill('SIGKILL')
  await exited
  const before = await readAll(out)
  assert.deepEqual(before.skipped, {})
  assert.ok(before.read >= 2)
  const [name] = readdirSync(out)
  appendFileSync(path.join(out, name!), '{"topic":"socket-snapshots","host_id":"de')
  assert.deepEqual((await readAll(out)).skipped, { 'cut-line': 1 })
  await record({ out, source: openLinuxSource(), hostId: 'desk', signal: AbortSignal.timeout(100) })
  const continued = await readAll(out)
  assert.deepEqual(continued.skipped, { 'not-json': 1 })
  assert.equal(continued.read, before.read + 2)
})

test('one file a day, each beginning with the host and a keyframe', async () => {
  const out = fresh()
  const writer = new SocketLogWriter(out, 'desk')
  const write = <T extends AgentTopic>(topic: T, record: TopicRecord<T>) => writer.append(topic, record)
  write('hosts', host)
  write('socket-snapshots', createSnapshot(0))
  write('socket-snapshots', createSnapshot(1, NOON_US + DAY_US))
  write('socket-snapshots', { ...createSnapshot(0, NOON_US + DAY_US), seq: 2 })
  writer.close()
  const topics = async (name: string) => (await readAll(path.join(out, name))).records.map(({ topic }) => topic)
  assert.deepEqual(readdirSync(out), ['desk-2026-01-31.jsonl', 'desk-2026-02-01.jsonl'])
  assert.deepEqual(await topics('desk-2026-01-31.jsonl'), ['hosts', 'socket-snapshots', 'socket-snapshots'])
  assert.deepEqual(await topics('desk-2026-02-01.jsonl'), ['hosts', 'socket-snapshots'])
})

test('a folder that cannot be made, or is gone, is told in a sentence', () => {
  assert.throws(() => new SocketLogWriter(path.join(writeLog(''), 'below'), 'desk'), InputError)
  const out = fresh()
  const writer = new SocketLogWriter(out, 'desk')
  rmSync(out, { recursive: true })
  assert.throws(() => writer.append('hosts', host), { name: 'ProclabelError', message: /^cannot write / })
})

test('plain and gzip, in one member or several, whatever the name', async () => {
  const lines = [toLine('hosts', host), toLine('socket-snapshots', createSnapshot(0))]
  const expected = (await readAll(writeLog(...lines))).records
  assert.equal(expected.length, 2)
  assert.deepEqual((await readAll(writeLog(gzipSync(lines.join(''))))).records, expected)
  assert.deepEqual((await readAll(writeLog(...lines.map(line => gzipSync(line))))).records, expected)
})

test('files in the order given, those of a folder by name', async () => {
  const out = fresh()
  const writer = new SocketLogWriter(out, 'desk')
  for (let day = 0; day < 3; day++) writer.append('socket-snapshots', createSnapshot(0, NOON_US + day * DAY_US))
  writer.close()
  const times = async (paths: string[]) =>
    (await readAll(paths)).records.map(
      ({ record }) => ((record as SocketSnapshot).polls[0]!.time_us - NOON_US) / DAY_US,
    )
  assert.deepEqual(await times([out]), [0, 1, 2])
  const names = readdirSync(out).map(name => path.join(out, name))
  assert.deepEqual(await times([names[2]!, names[0]!]), [2, 0])
})

test('fields with a default may be missing, unknown ones are dropped', async () => {
  const { owners, id, proto, local_ip, local_port, state } = socket
  const sparse = { id, proto, local_ip, local_port, state, owners: owners.map(({ pid }) => ({ pid })) }
  const line = createSnapshot(0, NOON_US, [{ ...sparse, later_field: 1 } as never])
  const { records } = await readAll(writeLog(toLine('socket-snapshots', { ...line, later: {}, __proto__: { a: 1 } })))
  assert.deepEqual(
    plain(records[0]?.record),
    createSnapshot(0, NOON_US, [{ ...socket, remote_ip: null, remote_port: null }]),
  )
})

for (const [reason, line] of [
  ['not-json', 'hello\n'],
  ['not-json', '[]\n'],
  ['not-json', '\0\0\0\n'],
  ['unknown-topic', toLine('labeled-sessions', host)],
  ['unknown-topic', '{"topic":"__proto__"}\n'],
  ['unknown-topic', '{"event":1}\n'],
  ['invalid-record', toLine('hosts', { ...host, names: 'desk' })],
  ['invalid-record', toLine('socket-snapshots', createSnapshot(0, 1.5))],
  ['invalid-record', toLine('socket-snapshots', createSnapshot(0, 1e300))],
  ['invalid-record', toLine('socket-snapshots', { ...createSnapshot(0), polls: [null] })],
  [
    'invalid-record',
    toLine('socket-snapshots', createSnapshot(0, NOON_US, [{ ...socket, state: 'other' as 'listen' }])),
  ],
  ['invalid-address', toLine('hosts', { ...host, addresses: [{ ip: 'desk' }] })],
  ['invalid-address', toLine('socket-snapshots', createSnapshot(0, NOON_US, [{ ...socket, local_ip: '1.2.3' }]))],
  ['invalid-address', toLine('socket-snapshots', createSnapshot(0, NOON_US, [{ ...socket, remote_port: 65536 }]))],
  ['cut-line', toLine('hosts', host).slice(0, 60)],
] as const) {
  test(`${JSON.stringify(line.slice(0, 50))} is skipped as ${reason}, the rest is read`, async () => {
    const file = writeLog(toLine('hosts', host), '\n', line)
    const { read, skipped, firstProblem } = await readAll([file, writeLog(toLine('hosts', host))])
    assert.deepEqual([read, skipped], [2, { [reason]: 1 }])
    assert.ok(firstProblem?.startsWith(`${file}, line 3: `), firstProblem ?? 'no problem told')
  })
}

test('a line without end is skipped in bounded memory', async () => {
  const long = Buffer.alloc(MAX_LINE_BYTES * 3, 'x')
  const file = writeLog(toLine('hosts', host), long, '\n', toLine('hosts', host))
  assert.deepEqual((({ read, skipped }) => [read, skipped])(await readAll(file)), [2, { 'line-too-long': 1 }])
})

test('a cut or broken gzip file gives what came before', async () => {
  const lines = Array.from({ length: 2000 }, (_, i) =>
    toLine('socket-snapshots', createSnapshot(i, NOON_US + i * 7919)),
  )
  const whole = gzipSync(lines.join(''))
  const { read, skipped } = await readAll(writeLog(whole.subarray(0, whole.length - 200)))
  assert.ok(read > 500 && read < 2000, `${read} read`)
  assert.equal(skipped['damaged-gzip'], 1)
  const broken = Buffer.from(whole)
  broken.fill(0xff, whole.length >> 1, (whole.length >> 1) + 50)
  assert.equal((await readAll(writeLog(broken))).skipped['damaged-gzip'], 1)
})

test('paths that cannot be read are told in a sentence', async () => {
  await assert.rejects(readAll(path.join(folder, 'none')), {
    name: 'InputError',
    message: /none: there is no such file$/,
  })
  const empty = fresh()
  new SocketLogWriter(empty, 'desk')
  await assert.rejects(readAll(empty), { name: 'InputError', message: /holds no socket log/ })
})

test('a reader may stop early', async () => {
  const lines = Array.from({ length: 5000 }, (_, i) => toLine('socket-snapshots', createSnapshot(i)))
  for (const file of [writeLog(...lines), writeLog(gzipSync(lines.join('')))]) {
    for await (const { topic } of readSocketLog(file)) {
      assert.equal(topic, 'socket-snapshots')
      break
    }
  }
})

test('a log is told from other files by what it holds', async () => {
  const line = toLine('hosts', host)
  const handWritten = `${JSON.stringify({ ...host, topic: 'hosts' })}\n`
  const long = toLine('socket-snapshots', createSnapshot(0, NOON_US, Array(1000).fill(socket)))
  for (const ours of [line, handWritten, long, gzipSync(line), `\n${line}`]) {
    assert.equal(await detectLog(writeLog(ours)), 'socket-log')
  }
  assert.equal(await detectLog(writeLog('{"event_id":3,"Image":"a"}\n')), 'other-json')
  assert.equal(await detectLog(writeLog(`{"Message":"${'x'.repeat(100_000)}"}\n`)), 'other-json')
  assert.equal(await detectLog(writeLog('')), 'empty')
  assert.equal(await detectLog(writeLog('\xd4\xc3\xb2\xa1')), 'unknown')
})
