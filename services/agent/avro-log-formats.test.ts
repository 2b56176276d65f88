import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { SocketEvents } from '#schemas'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { runAgent } from './agent.ts'
import { fresh, plain, readAll, writeLog } from './avro-log-fixture.ts'
import { openLinuxSource } from './linux.ts'
import { NOON_US } from './log-fixture.ts'
import type { SocketLogRecord } from './socket-log.ts'

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
  pod: orNull(text),
  parent_name: orNull(text),
  container_image: orNull(text),
  user: orNull(text),
})
const anyHost = fc.record({
  host_id: fc.constant('desk'),
  names: fc.array(text, { maxLength: 3 }),
  addresses: fc.array(
    fc.record({
      ip,
      since_us: orNull(timeUs),
      until_us: orNull(timeUs),
      namespace: orNull(fc.integer({ min: 0, max: 2 ** 32 - 1 })),
    }),
    { maxLength: 3 },
  ),
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
