import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Socket, SocketEvent } from '#schemas'
import { createRandom, mutate } from '#shared/mutate.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { readSocketLog, type SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-linux-logs-'))
after(() => rmSync(folder, { recursive: true }))
const samples = path.join(import.meta.dirname, 'samples')
const proclabel = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

async function read(name: string, text: string | Uint8Array) {
  const file = path.join(folder, name)
  writeFileSync(file, text)
  const log = readSocketLog(file)
  const records: SocketLogRecord[] = []
  for await (const record of log) records.push(record)
  return { records, counts: log.counts, file }
}

const socketsOf = (record: SocketLogRecord | undefined): readonly Socket[] =>
  record?.topic === 'socket-snapshots' ? record.record.polls[0]!.opened : []
const eventsOf = (records: readonly SocketLogRecord[]): SocketEvent[] =>
  records.flatMap(({ topic, record }) => (topic === 'socket-events' ? record.events : []))

test('what ss prints here, with a time before it, is this process and its sockets', async t => {
  if (spawnSync('ss', ['-V']).error) return t.skip('needs ss')
  const server = net.createServer().listen(0, '127.0.0.1')
  const server6 = net.createServer().listen({ port: 0, host: '::', ipv6Only: true })
  const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1')
  await Promise.all([once(server, 'listening'), once(server6, 'listening'), once(udp, 'listening')])
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(client, 'connect')
  t.after(() => {
    for (const socket of [client, server, server6, udp]) 'destroy' in socket ? socket.destroy() : socket.close()
  })
  const ports = [server.address(), server6.address(), udp.address()].map(address => (address as AddressInfo).port)
  for (const options of ['-tunapOH', '-tunap', '-tunape', '-tunapiom']) {
    const dump = () => execFileSync('sh', ['-c', `date -Ins; ss ${options}`]).toString()
    const { records, counts } = await read('here.ss.log', dump() + dump())
    assert.deepEqual(counts.skipped, {}, options)
    const [first, second] = records.filter(({ topic }) => topic === 'socket-snapshots')
    const own = (record: SocketLogRecord | undefined) =>
      socketsOf(record).filter(({ owners }) => owners.some(({ pid }) => pid === process.pid))
    const found = own(first).map(({ proto, local_ip, local_port, remote_port, state, v6_only }) =>
      [proto, local_ip, local_port, remote_port, state, v6_only].join(' '),
    )
    for (const wanted of [
      `tcp 127.0.0.1 ${ports[0]}  listen false`,
      `tcp :: ${ports[1]}  listen true`,
      `udp 127.0.0.1 ${ports[2]}  bound false`,
      `tcp 127.0.0.1 ${client.localPort} ${ports[0]} established false`,
    ])
      assert.ok(found.includes(wanted), `${options}: ${wanted} is not in ${found.join(', ')}`)
    // The same sockets keep their numbers.
    assert.deepEqual(
      own(second)
        .map(({ id }) => id)
        .sort(),
      own(first)
        .map(({ id }) => id)
        .sort(),
    )
  }
})

test('a dump is as exact as its time: to the second, or as long as ss takes', async () => {
  const row =
    'tcp ESTAB 0 0 192.0.2.10%eth0:40000 [::ffff:198.51.100.1]:443 users:(("curl",pid=7,fd=5),("sh",pid=8,fd=5))\n\t cubic rto:200\n'
  const { records, counts } = await read(
    'web1-2026-01-31.ss.log',
    `1769860800\n${row}2026-01-31T12:00:01,250000000+00:00\nNetid State Recv-Q Send-Q Local\n${row}udp UNCONN 0 0 *:53 *:*\nu_str ESTAB 0 0 * 1 * 2\n`,
  )
  assert.deepEqual(counts.skipped, {})
  const [host, first, second] = records
  assert.equal(host!.record.host_id, 'web1')
  assert.deepEqual(host!.topic === 'hosts' && host!.record.addresses.map(({ ip }) => ip), ['192.0.2.10'])
  const poll = (record: SocketLogRecord | undefined) =>
    record?.topic === 'socket-snapshots' ? record.record.polls[0]! : null
  const noonUs = Date.UTC(2026, 0, 31, 12) * 1000
  assert.deepEqual([poll(first)!.time_us, poll(first)!.duration_us], [noonUs, 1_000_000])
  assert.deepEqual([poll(second)!.time_us, poll(second)!.duration_us], [noonUs + 1_250_000, 100_000])
  const [tcp, udp] = socketsOf(second)
  assert.deepEqual(
    [tcp!.id, tcp!.remote_ip, tcp!.owners.map(({ pid }) => pid)],
    [socketsOf(first)[0]!.id, '198.51.100.1', [7, 8]],
  )
  assert.deepEqual([udp!.local_ip, udp!.v6_only, udp!.remote_ip], ['::', false, null])
})

test('ends that another process has are another socket; in TIME-WAIT they are the same one', async () => {
  const row = (state: string, users: string) => `tcp ${state} 0 0 192.0.2.10:40000 198.51.100.1:443 ${users}\n`
  const dumps = [
    row('ESTAB', 'users:(("a",pid=7,fd=5))'),
    row('TIME-WAIT', ''),
    row('ESTAB', 'users:(("b",pid=8,fd=5))'),
  ]
  const { records } = await read('c.log', dumps.map((dump, i) => `${1769860800 + i}\n${dump}`).join(''))
  const ids = records.filter(({ topic }) => topic === 'socket-snapshots').map(record => socketsOf(record)[0]!.id)
  assert.equal(ids[0], ids[1])
  assert.notEqual(ids[1], ids[2])
})

test('a capture and what ss logged every second: what was there long enough has its process, and nothing has a wrong one', async () => {
  const out = path.join(folder, 'labeled.jsonl')
  const [capture, log] = ['desk.pcap.gz', 'desk.ss.log.gz'].map(name => path.join(samples, name))
  execFileSync(process.execPath, [proclabel, 'label', capture!, '--sockets', log!, '--out', out, '--quiet'])
  const sessions = readFileSync(out, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const [server, client] = readFileSync(path.join(samples, 'desk.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const pidOf = ({ proto, local_port }: { proto: 'tcp' | 'udp'; local_port: number }) =>
    server.serves.includes(local_port) ? server.pid : client[proto].includes(local_port) ? client.pid : null
  const labeled = sessions.filter(({ label, stage }) => label !== null && stage === 'A')
  for (const session of labeled) assert.equal(session.label.pid, pidOf(session), JSON.stringify(session))
  for (const port of client.tcp)
    assert.ok(
      labeled.some(({ local_port }) => local_port === port),
      `tcp ${port}`,
    )
  assert.ok(labeled.some(({ local_port, direction }) => local_port === 8080 && direction === 'in'))
})

/** As others have published them; the separator of the enriched ones is put back. */
const published = [
  // github.com/osquery/osquery, tests of its audit parser
  'type=SYSCALL msg=audit(1528888648.161:253): arch=c000003e syscall=42 success=yes exit=0 a0=3 a1=ff5530 a2=10 a3=0 items=0 ppid=28769 pid=29036 auid=1000 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts3 ses=5 comm="nc" exe="/bin/nc.openbsd" key=(null)',
  'type=SOCKADDR msg=audit(1528888648.161:253): saddr=020001BBBFEFD5C50000000000000000',
  'type=PROCTITLE msg=audit(1528888648.161:253): proctitle=6E63006D73646E2E636F6D00343433',
  'type=EOE msg=audit(1528888648.161:253): ',
  // a program whose name is written in hexadecimal, and does not wait for its connection
  'type=SYSCALL msg=audit(1492037289.295:58): arch=c000003e syscall=42 success=no exit=-115 a0=6 items=0 ppid=1 pid=1172 auid=4294967295 uid=0 tty=(none) ses=4294967295 comm="google_accounts" exe=2F7573722F62696E2F707974686F6E322E37 key=(null)',
  'type=SOCKADDR msg=audit(1492037289.295:58): saddr=02000050A9FEA9FE0000000000000000',
  // as ausearch prints it: indented by nobody, the call last; denied
  '----',
  'time->Thu Jun 11 19:35:45 2015',
  'type=PROCTITLE msg=audit(1434044145.829:296): proctitle=737368002D700031343430006C6F63616C686F7374',
  'type=SOCKADDR msg=audit(1434044145.829:296): saddr=0A0005A0000000000000000000000000000000000000000100000000',
  'type=SYSCALL msg=audit(1434044145.829:296): arch=c000003e syscall=42 success=no exit=-13 a0=3 a1=6d4d1ce050 a2=1c a3=0 items=0 ppid=2005 pid=18045 auid=1001 uid=1001 gid=1001 euid=1001 suid=1001 fsuid=1001 egid=1001 sgid=1001 fsgid=1001 tty=pts0 ses=1 comm="ssh" exe="/usr/bin/ssh" subj=staff_u:staff_r:ssh_t:s0 key=(null)',
  // enriched; of a port that is 0
  'type=SYSCALL msg=audit(1759405347.496:4897): arch=c000003e syscall=42 success=yes exit=0 a0=3 a1=5f052640ddc0 a2=1c a3=0 items=0 ppid=1900 pid=1920 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 comm="wget" exe="/usr/bin/wget" key="T1043_Commonly_Used_Port"\x1dARCH=x86_64 SYSCALL=connect AUID="unset" UID="root" GID="root"',
  'type=SOCKADDR msg=audit(1759405347.496:4897): saddr=0A000000000000002A05D018091C3200C8872F22290F0A7C00000000\x1dSADDR={ saddr_fam=inet6 laddr=2a05:d018:91c:3200:c887:2f22:290f:a7c lport=0 }',
  'type=SYSCALL msg=audit(1759405347.496:4900): arch=c000003e syscall=42 success=yes exit=0 a0=3 a1=7ffef2766160 a2=10 a3=8 items=0 ppid=1900 pid=1920 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=(none) ses=4294967295 comm="wget" exe="/usr/bin/wget" key="T1043_Commonly_Used_Port"\x1dARCH=x86_64 SYSCALL=connect AUID="unset" UID="root" GID="root"',
  'type=SOCKADDR msg=audit(1759405347.496:4900): saddr=020001BB36ABE6370000000000000000\x1dSADDR={ saddr_fam=inet laddr=54.171.230.55 lport=443 }',
]

test('connections that auditd logs are told with their remote end, to the millisecond', async () => {
  const { records, counts } = await read('audit.log', `${published.join('\n')}\n`)
  assert.deepEqual([counts.skipped, records[0]!.topic, records[0]!.record.host_id], [{}, 'hosts', 'audit'])
  const told = eventsOf(records).map(({ kind, time_us, pid, local_port, remote_ip, remote_port }) => [
    ...[kind, time_us, pid, local_port, remote_ip, remote_port],
  ])
  assert.deepEqual(told, [
    ['connect', 1492037289295000, 1172, null, '169.254.169.254', 80],
    ['connect', 1528888648161000, 29036, null, '191.239.213.197', 443],
    ['send', 1528888648161000, 29036, null, '191.239.213.197', 443],
    ['connect', 1759405347496000, 1920, null, '54.171.230.55', 443],
    ['send', 1759405347496000, 1920, null, '54.171.230.55', 443],
  ])
  for (const event of eventsOf(records)) assert.equal(event.resolution_us, 1000)
  const programs = records.flatMap(({ topic, record }) => (topic === 'socket-events' ? record.processes : []))
  assert.deepEqual(
    programs.map(({ name, path }) => [name, path]),
    [
      ['python2.7', '/usr/bin/python2.7'],
      ['nc.openbsd', '/bin/nc.openbsd'],
      ['wget', '/usr/bin/wget'],
    ],
  )
})

/** A call of one process with its address, as auditd logs it. */
function call(serial: number, syscall: number, exit: number, a0: number, a1: number, saddr?: string, pid = 50): string {
  const head = `node=web1 type=SYSCALL msg=audit(1769860800.${100 + serial}:${serial}): arch=c000003e syscall=${syscall} success=yes exit=${exit}`
  const more = `a0=${a0.toString(16)} a1=${a1.toString(16)} a2=10 a3=0 items=0 ppid=1 pid=${pid} comm="httpd" exe="/usr/sbin/httpd"`
  const address = saddr && `node=web1 type=SOCKADDR msg=audit(1769860800.${100 + serial}:${serial}): saddr=${saddr}\n`
  return `${head} ${more}\n${address ?? ''}`
}

test('where the log has socket, bind and close, too, ports and protocols are known', async () => {
  const client = '02009C40C63364010000000000000000'
  const { records } = await read(
    'node.log',
    [
      call(1, 41, 3, 10, 0o2000001), // socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC)
      call(2, 49, 0, 3, 0, '0A00005000000000000000000000000000000000000000000000000000'.slice(0, 56)), // bind [::]:80
      call(3, 288, 7, 3, 0, client), // accept4
      call(4, 41, 8, 2, 2), // socket(AF_INET, SOCK_DGRAM)
      call(5, 44, 20, 8, 0, '02000035080808080000000000000000'), // sendto 8.8.8.8:53
      call(6, 42, 0, 8, 0, '0200007BC63364020000000000000000'), // connect to a time server, by UDP
      call(7, 3, 0, 3, 0),
      call(8, 43, 9, 3, 0, client), // of a descriptor that was closed: its port is not known
      call(9, 41, 4, 1, 1),
      call(10, 42, 0, 4, 0, '01002F6465762F6C6F6700'), // a socket of the machine itself
      call(11, 231, 0, 0, 0),
    ].join(''),
  )
  assert.equal(records[0]!.record.host_id, 'web1')
  assert.deepEqual(
    eventsOf(records).map(({ kind, proto, local_ip, local_port, remote_ip, remote_port }) =>
      [kind, proto, local_ip, local_port, remote_ip, remote_port].join(' '),
    ),
    [
      'listen tcp :: 80  ',
      'accept tcp :: 80 198.51.100.1 40000',
      'send udp   8.8.8.8 53',
      'send udp   198.51.100.2 123',
      'accept tcp   198.51.100.1 40000',
      'process_exit     ',
    ],
  )
})

test('a log of auditd needs the addresses of its host, from the user or from a log of ss', async () => {
  const { file } = await read('web1.log', call(1, 42, 0, 4, 0, '02000050C63364010000000000000000'))
  await assert.rejects(openSocketLogs([file], null), {
    message: /no address of web1: give those of one host by --address/,
  })
  const given = await openSocketLogs([file], null, ['192.0.2.7'])
  assert.deepEqual(
    given.hosts.map(({ addresses }) => addresses.map(({ ip }) => ip)),
    [['192.0.2.7']],
  )
  const { file: ss } = await read('web1.ss.log', '1769860800\ntcp LISTEN 0 0 192.0.2.10:22 0.0.0.0:*\n')
  const both = await openSocketLogs([file, ss], null)
  assert.deepEqual(
    both.hosts.map(({ host_id, addresses }) => [host_id, addresses[0]!.ip]),
    [['web1', '192.0.2.10']],
  )
})

test('ss without times, and lines that are none, are said', async () => {
  const { file } = await read('plain.log', 'Netid State Recv-Q Send-Q\ntcp LISTEN 0 0 192.0.2.10:22 0.0.0.0:*\n')
  await assert.rejects(openSocketLogs([file], null), { message: /is neither a socket log nor one of ss with times/ })
  const { counts } = await read(
    'bad.log',
    '1769860800\ntcp LISTEN 0 0 192.0.2.10:22 0.0.0.0:*\ntcp nonsense\ntcp ESTAB 0 0 192.0',
  )
  assert.deepEqual(counts.skipped, { 'invalid-record': 1, 'cut-line': 1 })
  assert.match(counts.firstProblem!, /bad\.log, line 3: neither a time nor a socket: tcp nonsense/)
})

test('no bytes whatever stop the readers', async () => {
  const random = createRandom(20261126)
  const seeds = [
    `${published.join('\n')}\n`,
    '1769860800\ntcp ESTAB 0 0 192.0.2.10:22 192.0.2.1:5 users:(("a",pid=1,fd=2))\n'.repeat(5),
  ]
  for (let i = 0; i < 300; i++) await read('any.log', mutate(Buffer.from(seeds[i % 2]!), random))
})
