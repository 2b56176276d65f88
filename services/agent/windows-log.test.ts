import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { codecs, type SocketEvent } from '#schemas'
import { capturesDir } from '#shared/captures-dir.ts'
import { readWindowsLog } from './windows-log.ts'
import { allEvents, allProcesses, importRecords, nxlog5156, sysmon3, us } from './windows-log-fixture.ts'
import { isWindowsRecord } from './windows-log-record.ts'

const inbound = { Direction: '%%14592', SourceAddress: '10.0.0.9', SourcePort: '5000', DestAddress: '172.18.39.5' }

test('a port that is listened on (5154) or bound (5158) is told without a remote end; binds of TCP tell nothing', async () => {
  const { Direction: _, DestAddress: __, DestPort: ___, ...ends } = nxlog5156
  const log = await importRecords([
    { ...ends, EventID: 5158, SourceAddress: '0.0.0.0', SourcePort: '135' },
    { ...ends, EventID: 5154, SourceAddress: '0.0.0.0', SourcePort: '135' },
    { ...ends, EventID: 5158, SourceAddress: '::', SourcePort: '53', Protocol: '17' },
  ])
  assert.deepEqual(
    allEvents(log).map(({ kind, proto, local_ip, local_port, remote_ip, remote_port, pid, resolution_us }) => [
      ...[kind, proto, local_ip, local_port],
      ...[remote_ip, remote_port, pid, resolution_us],
    ]),
    [
      ['listen', 'tcp', '0.0.0.0', 135, null, null, 3260, 1_000_000],
      ['receive', 'udp', '::', 53, null, null, 3260, 1_000_000],
    ],
  )
  assert.deepEqual(log.connections, { sysmon: 0, security: 0 })
  assert.deepEqual(log.hosts[0]?.addresses, [])
})

test('a Security record becomes a connection in UTC, to the second', async () => {
  const log = await importRecords([nxlog5156])
  assert.deepEqual(allEvents(log), [
    {
      kind: 'connect',
      time_us: us('2020-09-22T18:53:04'),
      resolution_us: 1_000_000,
      pid: 3260,
      start_us: null,
      proto: 'tcp',
      local_ip: '172.18.39.5',
      local_port: 62779,
      remote_ip: '168.63.129.16',
      remote_port: 80,
    },
  ])
  assert.deepEqual(
    allProcesses(log).map(({ pid, name, path }) => ({ pid, name, path })),
    [{ pid: 3260, name: 'agent.exe', path: '\\device\\harddiskvolume2\\program files\\agent\\agent.exe' }],
  )
  assert.deepEqual(
    log.hosts.map(host => [host.host_id, host.addresses]),
    [['ws5.example.org', [{ ip: '172.18.39.5', since_us: null, until_us: null, namespace: null }]]],
  )
})

test('a Sysmon record becomes a connection to the millisecond, of a process with a start time', async () => {
  const log = await importRecords([sysmon3])
  assert.equal(log.evidence, 'sysmon')
  const [event] = allEvents(log)
  assert.equal(event!.time_us, us('2020-09-22T18:53:31.668'))
  assert.equal(event!.resolution_us, 1000)
  assert.equal(event!.start_us, 0x5f692255 * 1e6)
  assert.deepEqual(
    allProcesses(log).map(({ pid, name, path }) => ({ pid, name, path })),
    [{ pid: 4, name: 'System', path: null }],
  )
})

test('our own socket log is not taken for a Windows log', () => {
  assert.equal(isWindowsRecord({ topic: 'socket-events', host_id: 'a', events: [{ pid: 1 }] }), false)
})

test("the local end of inbound connections is the destination, but the source of Sysmon's UDP answers", async () => {
  const answer = { ...sysmon3, Protocol: 'udp', Initiated: 'false', SourcePort: '53', DestinationIp: '172.18.39.9' }
  for (const [record, wanted] of [
    [{ ...nxlog5156, ...inbound, DestPort: '445' }, ['accept', '172.18.39.5', 445, '10.0.0.9', 5000]],
    [{ ...nxlog5156, ...inbound, DestPort: '53', Protocol: '17' }, ['receive', '172.18.39.5', 53, '10.0.0.9', 5000]],
    [{ ...sysmon3, Initiated: 'false' }, ['accept', '172.18.39.6', 445, '172.18.39.5', 62782]],
    [answer, ['receive', '172.18.39.5', 53, '172.18.39.9', 445]],
  ] as const) {
    const [event] = allEvents(await importRecords([record]))
    const { kind, local_ip, local_port, remote_ip, remote_port } = event!
    assert.deepEqual([kind, local_ip, local_port, remote_ip, remote_port], wanted)
  }
})

test("the host's address decides which end is local where the log's rule would not", async () => {
  // A host hears its own broadcast: the destination is where it came in, the source is its own.
  const broadcast = {
    ...nxlog5156,
    ...{ Direction: '%%14592', Protocol: '17', SourcePort: '137', DestAddress: '172.18.39.255', DestPort: '137' },
  }
  const log = await importRecords([nxlog5156, broadcast])
  const { local_ip, remote_ip } = allEvents(log)[1]!
  assert.deepEqual([local_ip, remote_ip], ['172.18.39.5', '172.18.39.255'])
  assert.deepEqual(
    log.hosts[0]!.addresses.map(({ ip }) => ip),
    ['172.18.39.5'],
  )
})

test('addresses are canonical: v4-mapped as IPv4, IPv6 shortest, no loopback or wildcard among the host addresses', async () => {
  const log = await importRecords([
    { ...sysmon3, SourceIp: '::ffff:172.18.39.5', DestinationIp: 'fe80:0:0:0:3816:b2ee:1b9b:324b%7' },
    { ...sysmon3, SourceIp: '0:0:0:0:0:0:0:1', DestinationIp: '0:0:0:0:0:0:0:1' },
    { ...sysmon3, SourceIp: '127.0.0.1', DestinationIp: '127.0.0.1' },
    { ...sysmon3, SourceIp: '0.0.0.0', DestinationIp: '255.255.255.255', Protocol: 'udp' },
  ])
  assert.deepEqual(
    allEvents(log).map(({ local_ip, remote_ip }) => [local_ip, remote_ip]),
    [
      ['172.18.39.5', 'fe80::3816:b2ee:1b9b:324b'],
      ['::1', '::1'],
      ['127.0.0.1', '127.0.0.1'],
      ['0.0.0.0', '255.255.255.255'],
    ],
  )
  assert.deepEqual(
    log.hosts[0]!.addresses.map(({ ip }) => ip),
    ['172.18.39.5'],
  )
})

test('local times are put right by what Sysmon or the receipt says, host by host', async () => {
  const { EventReceivedTime: _, '@timestamp': __, ...bare } = nxlog5156
  const eastern = { ...bare, Hostname: 'east' }
  const log = await importRecords(
    [
      bare,
      { ...sysmon3, EventTime: '2020-09-22T14:53:43.735Z' }, // it says Z, and is local all the same
      { ...eastern, EventTime: '2020-09-23 00:23:04' },
      { ...sysmon3, Hostname: 'east', EventTime: '2020-09-23 00:23:40' },
      { ...bare, Hostname: 'silent' },
      { ...bare, Hostname: 'zoned', EventTime: '2020-09-22T20:53:04.5+0200' },
      { ...sysmon3, Hostname: 'zoned', EventTime: '2020-09-22T20:53:33.5+02:00' },
    ],
    'security',
  )
  assert.deepEqual(
    log.events.map(({ host_id, events }) => [host_id, events.map(({ time_us }) => time_us)]),
    [
      ['ws5.example.org', [us('2020-09-22T18:53:04')]],
      ['east', [us('2020-09-22T18:53:04')]],
      ['silent', [us('2020-09-22T18:53:04')]], // as most of the log
      ['zoned', [us('2020-09-22T18:53:04.5')]],
    ],
  )
})

test('without any hint a time is UTC', async () => {
  const { EventReceivedTime: _, '@timestamp': __, ...bare } = nxlog5156
  assert.equal(allEvents(await importRecords([bare]))[0]!.time_us, us('2020-09-22T14:53:04'))
})

test('a pid used again is another process: starts and exits of the same log tell them apart', async () => {
  const start = {
    ...nxlog5156,
    EventID: 4688,
    NewProcessId: '0xcbc',
    ProcessId: '0x10',
    NewProcessName: 'C:\\b\\B.exe',
  }
  const exit = { ...nxlog5156, EventID: 4689, ProcessId: '0xcbc', ProcessName: 'C:\\a\\A.exe' }
  const log = await importRecords([
    { ...nxlog5156, EventTime: '2020-09-22 14:53:01' },
    { ...exit, EventTime: '2020-09-22 14:53:02' },
    { ...nxlog5156, EventTime: '2020-09-22 14:53:04', Application: '-' }, // nobody knows this one
    { ...start, EventTime: '2020-09-22 14:53:05' },
    { ...nxlog5156, EventTime: '2020-09-22 14:53:06', Application: '-' },
  ])
  const started = us('2020-09-22T18:53:05')
  assert.deepEqual(
    allEvents(log).map(({ kind, pid, start_us }) => [kind, pid, start_us]),
    [
      ['connect', 3260, null],
      ['process_exit', 3260, null],
      ['connect', 3260, null],
      ['process_start', 3260, started],
      ['connect', 3260, started],
    ],
  )
  assert.deepEqual(
    allProcesses(log).map(({ start_us, name, parent_pid }) => [start_us, name, parent_pid]),
    [
      [null, 'agent.exe', null],
      [null, '<unknown process>', null],
      [started, 'B.exe', 16],
    ],
  )
})

test('what Sysmon does not tell of a process another record of the same guid tells', async () => {
  const start = {
    ...sysmon3,
    EventID: 1,
    UtcTime: '2020-09-21 22:00:05.250',
    Image: 'C:\\x\\Tool.exe',
    ParentProcessId: '16',
    ParentImage: 'C:\\Windows\\explorer.exe',
  }
  const unknown = { ...sysmon3, Image: '&lt;unknown process&gt;' }
  const { ProcessId: _, ...lost } = start
  const log = await importRecords([unknown, { ...lost, EventID: 3 }, start])
  assert.deepEqual(
    allProcesses(log).map(({ pid, start_us, name, parent_name }) => [pid, start_us, name, parent_name]),
    [[4, us('2020-09-21T22:00:05.250'), 'Tool.exe', 'explorer.exe']],
  )
  assert.deepEqual(
    allEvents(log).map(({ pid }) => pid),
    [4, 4, 4],
  )
})

test('without any pid the start time tells processes apart, also two of one second', async () => {
  const { ProcessId: _, ...lost } = sysmon3
  const other = { ...lost, ProcessGuid: '{b34bc01c-2255-5f69-0200-000000000900}', Image: 'C:\\x\\Other.exe' }
  const log = await importRecords([lost, other, lost])
  const [system, second, again] = allEvents(log)
  assert.deepEqual([system!.pid, second!.pid], [0, 0])
  assert.notEqual(system!.start_us, second!.start_us)
  assert.equal(system!.start_us, again!.start_us)
  assert.deepEqual(
    allProcesses(log).map(({ name }) => name),
    ['System', 'Other.exe'],
  )
})

test('each log speaks alone; by default the one that tells more', async () => {
  const both = [nxlog5156, nxlog5156, sysmon3]
  assert.deepEqual((await importRecords(both)).connections, { sysmon: 1, security: 2 })
  assert.equal((await importRecords(both)).evidence, 'security')
  assert.equal((await importRecords([{ ...sysmon3, EventID: 1 }])).evidence, 'sysmon')
  assert.deepEqual(
    allEvents(await importRecords(both, 'sysmon')).map(({ pid }) => pid),
    [4],
  )
  assert.deepEqual(
    allEvents(await importRecords(both, 'security')).map(({ pid }) => pid),
    [3260, 3260],
  )
})

test('a bad line is counted by reason and costs nothing else; other events are read and left', async () => {
  const { Hostname: _, ...noHost } = nxlog5156
  const { EventTime: __, '@timestamp': ___, ...noTime } = nxlog5156
  const log = await importRecords([
    '{"EventID":5156,',
    '[]',
    noHost,
    noTime,
    { ...nxlog5156, SourceAddress: 'fe80::zz' },
    { ...nxlog5156, DestPort: '70000' },
    { ...nxlog5156, ProcessId: '-' },
    { ...nxlog5156, EventID: 4624 },
    { ...nxlog5156, Channel: 'Application', EventID: 3 },
    { ...nxlog5156, Protocol: '1' }, // ICMP has no ports
    nxlog5156,
  ])
  assert.deepEqual(log.skipped, { 'not-json': 2, 'no-host': 1, 'no-time': 1, 'bad-address': 2, 'no-process': 1 })
  assert.equal(log.read, 4)
  assert.equal(allEvents(log).length, 1)
})

test('no line whatever stops the import', async () => {
  const keys = [...Object.keys({ ...nxlog5156, ...sysmon3 }), 'winlog', 'Event', 'event_data', 'TimeCreated']
  const record = fc.dictionary(fc.constantFrom(...keys), fc.jsonValue())
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(fc.string(), record)), async records => {
      const mixed = records.map(some => (typeof some === 'string' ? some : { ...nxlog5156, ...sysmon3, ...some }))
      const log = await importRecords([...mixed, nxlog5156], 'security')
      assert.ok(allEvents(log).length >= 1)
      for (const message of log.events) codecs['socket-events'].encode(message)
      for (const host of log.hosts) codecs.hosts.encode(host)
    }),
    { numRuns: 300 },
  )
})

test('a gzip log that is cut gives what is before the cut, and says so', async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'windows-log-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ ...nxlog5156, SourcePort: String(1024 + i) }))
  const whole = gzipSync(`${lines.join('\n')}\n`)
  writeFileSync(path.join(folder, 'whole.jsonl.gz'), whole)
  writeFileSync(path.join(folder, 'cut.gz'), whole.subarray(0, whole.length / 2))
  writeFileSync(path.join(folder, 'cut.jsonl'), lines.join('\n').slice(0, -20))
  assert.equal((await readWindowsLog([path.join(folder, 'whole.jsonl.gz')], null)).read, 3000)
  const gzip = await readWindowsLog([path.join(folder, 'cut.gz')], null)
  assert.ok(gzip.read > 500 && gzip.read < 2500)
  assert.equal(gzip.skipped['damaged-gzip'], 1)
  const plain = await readWindowsLog([path.join(folder, 'cut.jsonl')], null)
  assert.deepEqual([plain.read, plain.skipped], [2999, { 'cut-line': 1 }])
})

interface Truth {
  captures: { truth: { proto: string; a: string; a_port: number; b: string; b_port: number; owners: TrueOwner[] }[] }[]
}
interface TrueOwner {
  side: 'a' | 'b'
  host: string
  pid: number
  sources: Partial<Record<'wfp5156' | 'sysmon3', number>>
}

test('real logs: every owner that the judges found in a log is in the events, with the same pid', async t => {
  const captures = capturesDir()
  if (captures === null) return t.skip('no test captures')
  const found = { sysmon: 0, security: 0 }
  for (const name of readdirSync(path.join(captures, 'process_truth'))) {
    const folder = path.join(captures, 'process_truth', name)
    const truth: Truth = JSON.parse(readFileSync(path.join(folder, 'truth.json'), 'utf8'))
    for (const [evidence, source] of [
      ['sysmon', 'sysmon3'],
      ['security', 'wfp5156'],
    ] as const) {
      const log = await readWindowsLog([path.join(folder, 'host-log.jsonl.gz')], evidence)
      assert.deepEqual(log.skipped, {}, name)
      for (const session of truth.captures.flatMap(capture => capture.truth)) {
        for (const owner of session.owners.filter(({ sources }) => sources[source])) {
          const events = log.events
            .filter(({ host_id }) => host_id === owner.host)
            .flatMap(({ events }) => events)
            .filter(event => isOfSession(event, session, owner.side))
          assert.ok(events.length > 0, `${name}: no event of ${JSON.stringify(session)}`)
          for (const { pid } of events) assert.equal(pid, owner.pid, name)
          found[evidence]++
        }
      }
    }
  }
  assert.ok(found.sysmon > 0 && found.security > 0, JSON.stringify(found))
})

function isOfSession(event: SocketEvent, session: Truth['captures'][0]['truth'][0], side: 'a' | 'b'): boolean {
  const { a, a_port, b, b_port } = session
  const [ip, port, peer, peerPort] = side === 'a' ? [a, a_port, b, b_port] : [b, b_port, a, a_port]
  return (
    event.proto === session.proto &&
    event.local_ip === ip &&
    event.local_port === port &&
    event.remote_ip === peer &&
    event.remote_port === peerPort
  )
}
