import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { codecs, type SocketEvent } from '#schemas'
import { createRandom, mutate } from '#shared/mutate.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { readText } from './log-fixture.ts'
import type { SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-audit-log-'))
after(() => rmSync(folder, { recursive: true }))

const read = (name: string, text: string | Uint8Array) => readText(path.join(folder, name), text)

const eventsOf = (records: readonly SocketLogRecord[]): SocketEvent[] =>
  records.flatMap(({ topic, record }) => (topic === 'socket-events' ? record.events : []))
const inWords = ({ kind, proto, local_ip, local_port, remote_ip, remote_port }: SocketEvent): string =>
  [kind, proto, local_ip, local_port, remote_ip, remote_port].join(' ')

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

test('connections that auditd logs are told with their remote end, as exact as a tick of the kernel', async () => {
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
  for (const event of eventsOf(records)) assert.equal(event.resolution_us, 11_000)
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
  const success = exit < 0 ? 'no' : 'yes'
  const head = `node=web1 type=SYSCALL msg=audit(1769860800.${100 + serial}:${serial}): arch=c000003e syscall=${syscall} success=${success} exit=${exit}`
  const more = `a0=${a0.toString(16)} a1=${a1.toString(16)} a2=10 a3=0 items=0 ppid=1 pid=${pid} comm="httpd" exe="/usr/sbin/httpd"`
  const address = saddr && `node=web1 type=SOCKADDR msg=audit(1769860800.${100 + serial}:${serial}): saddr=${saddr}\n`
  return `${head} ${more}\n${address ?? ''}`
}

const web = '020001BBC63364010000000000000000' // 198.51.100.1:443
const client = '02009C40C63364010000000000000000' // 198.51.100.1:40000
const own = (port: string) => `0200${port}C000020A0000000000000000` // 192.0.2.10

test('where the log has socket, bind and close, too, ports and protocols are known', async () => {
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
  assert.deepEqual(eventsOf(records).map(inWords), [
    'listen tcp :: 80  ',
    'accept tcp :: 80 198.51.100.1 40000',
    'send udp   8.8.8.8 53',
    'send udp   198.51.100.2 123',
    'accept tcp   198.51.100.1 40000',
    'process_exit     ',
  ])
})

test('a socket that is asked for its name tells the port of what it did before', async () => {
  const { records } = await read(
    'web1.log',
    [
      call(1, 41, 3, 2, 1),
      call(2, 42, -115, 3, 0, web),
      call(3, 51, 0, 3, 0, own('A000')),
      call(4, 41, 4, 2, 2), // UDP: connected, and sends without saying to whom
      call(5, 42, 0, 4, 0, web),
      call(6, 44, 20, 4, 0),
      call(7, 51, 0, 4, 0, own('A001')),
      call(8, 41, 5, 2, 1), // a server that takes any port
      call(9, 49, 0, 5, 0, own('0000')),
      call(10, 51, 0, 5, 0, own('A002')),
      call(11, 51, 0, 6, 0, own('A003')), // of a socket whose beginning is not in the log
      call(12, 42, 0, 6, 0, web),
    ].join(''),
  )
  assert.deepEqual(eventsOf(records).map(inWords), [
    'connect tcp 192.0.2.10 40960 198.51.100.1 443',
    'send udp 192.0.2.10 40961 198.51.100.1 443',
    'send udp 192.0.2.10 40961 198.51.100.1 443',
    'listen tcp 192.0.2.10 40962  ',
    'connect tcp   198.51.100.1 443',
    'send udp   198.51.100.1 443',
  ])
})

test('who is accepted came after all that was logged before, not when the waiting for it began', async () => {
  const at = (ms: number, serial: number, text: string) =>
    text.replaceAll(/1769860800\.\d{3}/g, `1769860800.${ms}`).replaceAll(/:\d+\): /g, `:${serial}): `)
  const { records } = await read(
    'web1.log',
    [
      at(100, 1, call(1, 41, 3, 2, 1)),
      at(102, 4, call(4, 288, 4, 3, 0, client)), // as ausearch orders it
      at(101, 2, call(2, 49, 0, 3, 0, own('0050'))),
      at(400, 3, call(3, 41, 9, 1, 1, undefined, 51)), // another process meanwhile
      at(450, 5, call(5, 231, 0, 0, 0, undefined, 51)),
      'node=web1 type=DAEMON_ROTATE msg=audit(1769860809.000:4): op=rotate-logs\n', // numbered by auditd itself
      at(102, 6, call(6, 288, 5, 3, 0)), // who does not ask for the other end still listens
    ].join(''),
  )
  const events = eventsOf(records)
  assert.deepEqual(events.map(inWords), [
    'listen tcp 192.0.2.10 80  ',
    'accept tcp 192.0.2.10 80 198.51.100.1 40000',
    'listen tcp 192.0.2.10 80  ',
    'process_exit     ',
  ])
  assert.deepEqual(
    events.map(({ time_us, resolution_us }) => [time_us / 1000 - 1769860800000, resolution_us / 1000]),
    [
      [101, 11],
      [300, 161],
      [350, 111],
      [450, 11],
    ],
  )
})

test('a connection that was refused was tried all the same; a denied one was not', async () => {
  const { records } = await read('web1.log', call(1, 42, -111, 3, 0, web) + call(2, 42, -13, 3, 0, web))
  assert.deepEqual(eventsOf(records).map(inWords), ['connect tcp   198.51.100.1 443'])
})

test('a port is of a socket whose beginning is in the log, until its process ends', async () => {
  const bindAndConnect = (serial: number) => call(serial, 49, 0, 3, 0, own('0050')) + call(serial + 1, 42, 0, 3, 0, web)
  const { records } = await read(
    'web1.log',
    [bindAndConnect(1), call(3, 41, 3, 2, 1), bindAndConnect(4), call(6, 231, 0, 0, 0), call(7, 42, 0, 3, 0, web)].join(
      '',
    ),
  )
  assert.deepEqual(
    eventsOf(records)
      .map(inWords)
      .filter(words => words.startsWith('connect')),
    ['connect tcp   198.51.100.1 443', 'connect tcp 192.0.2.10 80 198.51.100.1 443', 'connect tcp   198.51.100.1 443'],
  )
})

test('a program whose file was replaced keeps its name', async () => {
  const exe = Buffer.from('/usr/sbin/httpd (deleted)').toString('hex').toUpperCase()
  const { records } = await read('web1.log', call(1, 42, 0, 3, 0, web).replace('"/usr/sbin/httpd"', exe))
  const [program] = records.flatMap(({ topic, record }) => (topic === 'socket-events' ? record.processes : []))
  assert.deepEqual([program!.name, program!.path], ['httpd', '/usr/sbin/httpd'])
})

test('files by turns are one log, the oldest first: sockets and events go on from one to the next', async () => {
  const [accept, address] = call(3, 288, 4, 3, 0, client).split(/(?<=\n)/) as [string, string]
  const turns = mkdtempSync(path.join(folder, 'turns-'))
  const [newest, older, oldest] = ['audit.log', 'audit.log.1', 'audit.log.2'].map(name => path.join(turns, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(oldest, call(1, 41, 3, 2, 1) + call(2, 49, 0, 3, 0, own('0050')))
  writeFileSync(older, accept)
  writeFileSync(newest, address)
  const logs = await openSocketLogs([turns], null, ['192.0.2.10'])
  const events: string[] = []
  for await (const { topic, value } of logs.records())
    if (topic === 'socket-events') events.push(...codecs[topic].decode(value).events.map(inWords))
  assert.deepEqual(events, ['listen tcp 192.0.2.10 80  ', 'accept tcp 192.0.2.10 80 198.51.100.1 40000'])
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

test('no bytes whatever stop the reader', async () => {
  const random = createRandom(20261126)
  const seed = Buffer.from(`${published.join('\n')}\n`)
  for (let i = 0; i < 150; i++) await read('any.log', mutate(seed, random))
})
