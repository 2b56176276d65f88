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
import { codecs, type Poll, type Socket } from '#schemas'
import { createRandom, mutate } from '#shared/mutate.ts'
import { openSocketLogs } from '../embedded/socket-logs.ts'
import { readText } from './log-fixture.ts'
import type { SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-linux-logs-'))
after(() => rmSync(folder, { recursive: true }))
const samples = path.join(import.meta.dirname, 'samples')
const proclabel = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

const read = (name: string, text: string | Uint8Array) => readText(path.join(folder, name), text)

const socketsOf = (record: SocketLogRecord | undefined): readonly Socket[] =>
  record?.topic === 'socket-snapshots' ? record.record.polls[0]!.opened : []

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

test('a log that was cut into two within a dump is one log', async () => {
  const rows = [1, 2, 3].map(i => `tcp ESTAB 0 0 192.0.2.10:4000${i} 198.51.100.1:443 users:(("a",pid=${i},fd=5))\n`)
  const turns = mkdtempSync(path.join(folder, 'turns-'))
  writeFileSync(path.join(turns, 'web1.ss.log.1'), `1769860800\n${rows.join('')}1769860801\n${rows[0]}`)
  writeFileSync(path.join(turns, 'web1.ss.log'), `${rows[1]}${rows[2]}1769860802\n${rows.join('')}`)
  const polls: Poll[] = []
  for await (const { topic, value } of (await openSocketLogs([turns], null)).records())
    if (topic === 'socket-snapshots') polls.push(...codecs[topic].decode(value).polls)
  assert.deepEqual(
    polls.map(({ opened }) => opened.map(({ id }) => id)),
    [
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
    ],
  )
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

test('no bytes whatever stop the reader', async () => {
  const random = createRandom(20261126)
  const seed = '1769860800\ntcp ESTAB 0 0 192.0.2.10:22 192.0.2.1:5 users:(("a",pid=1,fd=2))\n'.repeat(5)
  for (let i = 0; i < 150; i++) await read('any.log', mutate(Buffer.from(seed), random))
})
