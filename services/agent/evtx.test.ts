import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { capturesDir } from '#shared/captures-dir.ts'
import { createRandom, mutate } from '#shared/mutate.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { ByteReader } from './byte-reader.ts'
import { readEvtx } from './evtx.ts'
import { type FixtureEvent, writeEvtx } from './evtx-fixture.ts'
import { readWindowsLog } from './windows-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-evtx-'))
after(() => rmSync(folder, { recursive: true }))

const samples = path.join(import.meta.dirname, 'samples')
const sample = gunzipSync(readFileSync(path.join(samples, 'security.evtx.gz')))

type Json = { [name: string]: Json } | string | number | null

async function read(bytes: Uint8Array) {
  const damage: string[] = []
  async function* source() {
    // Odd pieces, as a stream may bring them.
    for (let at = 0; at < bytes.length; at += 50_001) yield Buffer.from(bytes.subarray(at, at + 50_001))
  }
  const events: Json[] = []
  const onDamage = (detail: string, chunk: number) => damage.push(`${chunk}: ${detail}`)
  for await (const { text } of readEvtx(new ByteReader(source()), onDamage)) events.push(JSON.parse(text!))
  return { events, damage }
}

/** Numbers as text, guids without braces, times to the microsecond, and nothing that is empty: two readers may differ there. */
function plain(value: Json | undefined): Json {
  if (value === undefined || value === null || value === '') return null
  if (typeof value !== 'object') {
    const text = String(value).replace(/^\{(.{36})\}$/, '$1')
    return /^\d{4}-\d\d-\d\dT.*Z$/.test(text) ? new Date(text).toISOString() : text
  }
  const entries = Object.entries(value).map(([name, inner]) => [name, plain(inner)] as const)
  const kept = entries.filter(([, inner]) => inner !== null)
  if (kept.length === 1 && kept[0]![0] === '#text') return kept[0]![1]
  return kept.length === 0 ? null : Object.fromEntries(kept)
}

test('a Security log of Windows reads as another reader reads it', async () => {
  const expected = readFileSync(path.join(samples, 'security.jsonl'), 'utf8').trimEnd().split('\n')
  const { events, damage } = await read(sample)
  assert.deepEqual(damage, [])
  assert.deepEqual(
    events.map(plain),
    expected.map(line => plain(JSON.parse(line))),
  )
})

const NOON_US = Date.UTC(2026, 0, 31, 12) * 1000

const connection = (i: number): FixtureEvent => ({
  eventId: 5156,
  channel: 'Security',
  computer: 'ws5.example.org',
  timeUs: NOON_US + i,
  data: {
    ProcessID: `0x${(4000 + i).toString(16)}`,
    Application: '\\device\\harddiskvolume2\\curl.exe',
    Direction: '%%14593',
    SourceAddress: '192.0.2.5',
    SourcePort: String(40_000 + i),
    DestAddress: '2001:db8::1',
    DestPort: '443',
    Protocol: 6,
  },
})

const sysmon: FixtureEvent = {
  eventId: 3,
  channel: 'Microsoft-Windows-Sysmon/Operational',
  computer: 'ws5.example.org',
  timeUs: NOON_US + 5,
  data: {
    UtcTime: '2026-01-31 12:00:00.123',
    ProcessGuid: '{b34bc01c-2255-5f69-0100-000000000900}',
    ProcessId: 4711,
    Image: 'C:\\Windows\\System32\\svchost.exe',
    Protocol: 'udp',
    Initiated: 'true',
    SourceIp: '192.0.2.5',
    SourcePort: 5353,
    DestinationIp: '192.0.2.6',
    DestinationPort: 53,
  },
}

const fileOf = (name: string, bytes: Uint8Array): string => {
  const file = path.join(folder, name)
  writeFileSync(file, bytes)
  return file
}

test('connections of an EVTX file, of however many chunks, are events to the microsecond', async () => {
  const log = await readWindowsLog(
    [fileOf('a.evtx', writeEvtx(Array.from({ length: 500 }, (_, i) => connection(i))))],
    null,
  )
  assert.deepEqual([log.connections.security, log.read, log.skipped, log.firstProblem], [500, 500, {}, null])
  assert.deepEqual(log.events[0]!.events[499], {
    kind: 'connect',
    time_us: NOON_US + 499,
    resolution_us: 0,
    pid: 4499,
    start_us: null,
    proto: 'tcp',
    local_ip: '192.0.2.5',
    local_port: 40_499,
    remote_ip: '2001:db8::1',
    remote_port: 443,
  })
})

test('a clock that ticks in milliseconds is as coarse in an EVTX file as in any other log', async () => {
  const log = await readWindowsLog([fileOf('b.evtx', writeEvtx([connection(0), sysmon]))], 'sysmon')
  const [event] = log.events[0]!.events
  assert.deepEqual(
    [event!.kind, event!.time_us, event!.resolution_us, event!.pid],
    ['send', NOON_US + 123_000, 1000, 4711],
  )
  const security = await readWindowsLog([fileOf('c.evtx', writeEvtx([connection(0)]))], null)
  assert.equal(security.events[0]!.events[0]!.resolution_us, 1000)
})

test('EVTX files, plain or gzip, are told from other logs by their bytes; one without evidence is passed over, and told', async () => {
  const bytes = writeEvtx([connection(0)])
  const dir = path.join(folder, 'logs')
  mkdirSync(dir)
  writeFileSync(path.join(dir, 'one.evtx'), bytes)
  writeFileSync(path.join(dir, 'two.evtx.gz'), gzipSync(bytes))
  const logs = await openSocketLogs([dir, fileOf('no-ending', bytes)], null)
  assert.deepEqual([logs.read, logs.hosts.map(host => host.host_id)], [3, ['ws5.example.org']])
  const other = fileOf('system.evtx', writeEvtx([{ ...connection(0), channel: 'System' }]))
  const why = /system\.evtx: no event of it is one of Sysmon or Security that names a process/
  assert.match((await openSocketLogs([dir, other], null)).notes.join(), why)
  await assert.rejects(openSocketLogs([other], null), { message: why })
})

test('real records, written as EVTX, give the events that they give as JSON lines', async t => {
  const captures = capturesDir()
  if (captures === null) return t.skip('no test captures')
  const root = path.join(captures, 'process_truth')
  let compared = 0
  for (const name of readdirSync(root)) {
    const log = path.join(root, name, 'host-log.jsonl.gz')
    const records = gunzipSync(readFileSync(log)).toString().trimEnd().split('\n').slice(0, 2000)
    const events = records.map(line => asEvent(JSON.parse(line))).filter(event => event !== null)
    const lines = events.map(({ eventId, channel, computer, timeUs, data }) =>
      JSON.stringify({
        Event: {
          System: {
            ...{ EventID: eventId, Channel: channel, Computer: computer },
            TimeCreated: { '#attributes': { SystemTime: new Date(timeUs / 1000).toISOString() } },
          },
          EventData: data,
        },
      }),
    )
    for (const evidence of ['sysmon', 'security'] as const) {
      const [evtx, json] = await Promise.all([
        readWindowsLog([fileOf(`${name}.evtx`, writeEvtx(events))], evidence),
        readWindowsLog([fileOf(`${name}.jsonl`, Buffer.from(`${lines.join('\n')}\n`))], evidence),
      ])
      assert.deepEqual([evtx.hosts, evtx.read, evtx.skipped], [json.hosts, json.read, json.skipped], name)
      const withoutRun = (messages: typeof evtx.events) => messages.map(({ run_id: _, ...message }) => message)
      assert.deepEqual(withoutRun(evtx.events), withoutRun(json.events), name)
      compared += evtx.events.reduce((sum, message) => sum + message.events.length, 0)
    }
  }
  t.diagnostic(`${compared} events`)
  assert.ok(compared > 1000)
})

/** A record as its collector wrote it, flat, as the event that it was. */
function asEvent(record: Record<string, unknown>): FixtureEvent | null {
  const { EventID, Channel, Hostname, EventTime } = record
  const timeMs = Date.parse(`${String(EventTime).replace(' ', 'T')}Z`)
  if (typeof EventID !== 'number' || Number.isNaN(timeMs)) return null
  const skipped = /^(@|Event|Channel$|Hostname$|host$|ThreadID$|ExecutionProcessID$)/
  const data = Object.entries(record)
    .filter(([name, value]) => typeof value === 'string' && !skipped.test(name))
    .map(([name, value]) => [name, (value as string).slice(0, 1000)])
  return {
    ...{ eventId: EventID, channel: String(Channel), computer: String(Hostname), timeUs: timeMs * 1000 },
    data: Object.fromEntries(data),
  }
}

test('what is damaged is counted, and what is whole is read', async () => {
  const whole = writeEvtx(Array.from({ length: 300 }, (_, i) => connection(i)))
  const cut = await readWindowsLog([fileOf('cut.evtx', whole.subarray(0, 4096 + 65_536 + 700))], null)
  assert.ok(cut.read > 50 && cut.read < 200, String(cut.read))
  assert.deepEqual(cut.skipped, { 'damaged-evtx': 1 })
  assert.match(cut.firstProblem!, /cut\.evtx, chunk 2: the file ends within an event/)
  const header = await readWindowsLog([fileOf('header.evtx', whole.subarray(0, 100))], null)
  assert.match(header.firstProblem!, /the file ends within its header/)
  const overwritten = Buffer.from(whole)
  overwritten.fill(0xee, 4096, 4200)
  const second = await readWindowsLog([fileOf('overwritten.evtx', overwritten)], null)
  assert.deepEqual(second.skipped, { 'damaged-evtx': 1 })
  assert.ok(second.read > 100)
})

test('templates that name each other without end stop at a bound', async () => {
  const bytes = Buffer.from(writeEvtx([connection(0)]))
  const chunk = bytes.subarray(4096)
  // The fragment within the template: an instance of that same template, again and again.
  const record = 512 + 24
  const definition = chunk.readUInt32LE(record + 4 + 6)
  const fragment = definition + 24 + 4
  for (let at = fragment, i = 0; i < 8; i++, at += 14) {
    chunk.writeUInt8(0x0c, at)
    chunk.writeUInt32LE(definition, at + 6)
    chunk.writeUInt32LE(0, at + 10)
  }
  const { events, damage } = await read(bytes)
  assert.equal(events.length, 0)
  assert.match(damage[0]!, /nested too deeply|without end/)
})

test('no bytes whatever stop the reader, nor make it read without end', async () => {
  const random = createRandom(20261125)
  const seeds = [
    sample.subarray(0, 4096 + 6000),
    writeEvtx([connection(0), sysmon, connection(1)]).subarray(0, 4096 + 8000),
  ]
  for (let i = 0; i < 400; i++) await read(mutate(seeds[i % 2]!, random))
})
