import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SocketEvents } from '#schemas'
import { isImported, WindowsHosts } from './windows-hosts.ts'
import { readWindowsRecord } from './windows-log-record.ts'

const NOON_US = Date.UTC(2026, 0, 31, 12) * 1000
const MINUTE_US = 60_000_000

/** A connection that a Security log told, `atUs` after noon. */
function connection(host: string, sourceIp: string, atUs: number, more: Record<string, unknown> = {}) {
  const record = {
    EventID: 5156,
    Channel: 'Security',
    Hostname: host,
    EventTime: new Date((NOON_US + atUs) / 1000).toISOString(),
    ProcessID: '4711',
    Application: 'C:\\a\\a.exe',
    Direction: '%%14593',
    SourceAddress: sourceIp,
    SourcePort: '50000',
    DestAddress: '198.51.100.1',
    DestPort: '443',
    Protocol: '6',
    ...more,
  }
  return readWindowsRecord(JSON.stringify(record))!
}

const create = () => new WindowsHosts('run', ['sysmon', 'security'])

test('events that come one by one make messages in sequence; a host is told when something of it is new', () => {
  const hosts = create()
  const told = [0, 1, 2].map(i => hosts.add([connection('a', '192.0.2.1', i * MINUTE_US)])[0]!)
  assert.deepEqual(
    told.map(({ host }) => host?.addresses ?? null),
    [[{ ip: '192.0.2.1', since_us: null, until_us: null, namespace: null }], null, null],
  )
  const messages: SocketEvents[] = told.flatMap(({ events }) => events)
  assert.deepEqual(
    messages.map(({ source, run_id, seq, until_us, processes }) => [source, run_id, seq, until_us, processes.length]),
    [
      ['security', 'run', 0, NOON_US, 1],
      ['security', 'run', 1, NOON_US + MINUTE_US, 0],
      ['security', 'run', 2, NOON_US + 2 * MINUTE_US, 0],
    ],
  )
})

test('each log of a host is a source with a sequence of its own', () => {
  const sysmon = readWindowsRecord(
    JSON.stringify({
      ...{
        EventID: 3,
        Channel: 'Microsoft-Windows-Sysmon/Operational',
        Hostname: 'a',
        ProcessId: '7',
        Image: 'C:\\b.exe',
      },
      ...{ UtcTime: '2026-01-31 12:00:01.000', Protocol: 'tcp', Initiated: 'true', SourceIp: '192.0.2.1' },
      ...{ SourcePort: '50001', DestinationIp: '198.51.100.1', DestinationPort: '80' },
    }),
  )!
  const [told] = create().add([connection('a', '192.0.2.1', 0), sysmon])
  assert.deepEqual(
    told!.events.map(({ source, seq, events }) => [source, seq, events.length]),
    [
      ['sysmon', 0, 1],
      ['security', 0, 1],
    ],
  )
})

test('a pid that turns out to be another program is told anew, in a message that begins there', () => {
  const records = ['a', 'b', 'a'].map((name, i) =>
    connection('h', '192.0.2.1', i * 1e6, { Application: `C:\\${name}.exe` }),
  )
  const [told] = create().add(records)
  assert.deepEqual(
    told!.events.map(({ until_us, processes }) => [until_us - NOON_US, processes.map(({ name }) => name)]),
    [
      [0, ['a.exe']],
      [1e6, ['b.exe']],
      [2e6, ['a.exe']],
    ],
  )
})

test('an address changes hands when its host was not seen with it for a while; in turns it is shared', () => {
  const hosts = create()
  hosts.add([connection('a', '192.0.2.1', 0), connection('a', '192.0.2.9', MINUTE_US)])
  const told = hosts.add([connection('b', '192.0.2.1', 30 * MINUTE_US)])
  assert.deepEqual(
    new Map(told.map(({ hostId, host }) => [hostId, host?.addresses])),
    new Map([
      ['b', [{ ip: '192.0.2.1', since_us: NOON_US + 30 * MINUTE_US, until_us: null, namespace: null }]],
      [
        'a',
        [
          { ip: '192.0.2.1', since_us: null, until_us: NOON_US, namespace: null },
          { ip: '192.0.2.9', since_us: null, until_us: null, namespace: null },
        ],
      ],
    ]),
  )
  const shared = create()
  shared.add([connection('a', '172.17.0.1', 0)])
  shared.add([connection('b', '172.17.0.1', MINUTE_US)])
  assert.deepEqual(
    shared.add([connection('a', '172.17.0.1', 2 * MINUTE_US)]).map(({ host }) => host),
    [null],
  )
})

test('what another run told of hosts is taken up: their addresses are not told as fewer', () => {
  const first = create()
  const [before] = first.add([connection('a', '192.0.2.1', 0)])
  assert.ok(isImported(before!.host!))
  const second = create()
  second.restore([before!.host!])
  const [same] = second.add([connection('a', '192.0.2.1', MINUTE_US)])
  assert.equal(same!.host, null)
  const [more] = second.add([connection('a', '192.0.2.2', MINUTE_US)])
  assert.deepEqual(
    more!.host!.addresses.map(({ ip }) => ip),
    ['192.0.2.1', '192.0.2.2'],
  )
})
