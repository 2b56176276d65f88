import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Process, Socket, SocketSnapshot } from '#schemas'
import { lockFolder } from '#shared/spool-lock.ts'
import { Privacy } from './privacy.ts'
import { Follower } from './source-follower.ts'
import { openWindowsEvents, openWindowsSource } from './windows.ts'

/** On Linux services/e2e/windows runs this under Wine. */
const skip = process.platform === 'win32' ? false : 'needs Windows'
/** Wine tells no process of accepted TCP sockets, of TCP over IPv6 and of listeners that Node opened. */
const isWine = process.env.PROCLABEL_WINE === '1'

const snapshotOf = (found: Process): SocketSnapshot => ({
  host_id: 'h',
  run_id: 'r',
  seq: 0,
  polls: [],
  processes: [found],
})

const cleanUps: (() => void)[] = []
after(() => {
  for (const cleanUp of cleanUps) cleanUp()
})

function follow(): Follower {
  const follower = new Follower(openWindowsSource())
  cleanUps.push(() => follower.source.close())
  return follower.poll()
}

async function listen(host: string): Promise<{ server: net.Server; port: number }> {
  const server = net.createServer().listen(0, host)
  await once(server, 'listening')
  cleanUps.push(() => server.close())
  return { server, port: (server.address() as net.AddressInfo).port }
}

/** A connection of this process to itself; `close` resolves when both ends are gone. */
async function connect(server: net.Server, host: string): Promise<{ client: net.Socket; close: () => Promise<void> }> {
  const accepting = once(server, 'connection')
  const client = net.connect((server.address() as net.AddressInfo).port, host)
  const [[accepted]] = await Promise.all([accepting, once(client, 'connect')])
  const close = async () => {
    const closed = [client, accepted].map(end => once(end, 'close'))
    for (const end of [client, accepted]) end.destroy()
    await Promise.all(closed)
  }
  return { client, close }
}

async function bind(type: dgram.SocketType, host: string): Promise<dgram.Socket> {
  const socket = dgram.createSocket(type).bind(0, host)
  await once(socket, 'listening')
  return socket
}

function assertOurs(socket: Socket, isToldByWine: boolean): void {
  const pids = socket.owners.map(({ pid }) => pid)
  if (isWine && !isToldByWine && pids.length === 0) return
  assert.deepEqual(pids, [process.pid], JSON.stringify(socket))
}

test('TCP and UDP sockets of both families, their ends, states and process', { skip }, async () => {
  const follower = follow()
  for (const ip of ['127.0.0.1', '::1']) {
    const { server, port } = await listen(ip)
    const { client, close } = await connect(server, ip)
    const udp = await bind(ip === '::1' ? 'udp6' : 'udp4', ip)
    follower.poll()
    const listener = follower.one({ proto: 'tcp', local_ip: ip, local_port: port, state: 'listen' })
    assert.deepEqual([listener.remote_ip, listener.remote_port], [null, null])
    assertOurs(listener, false)
    const ends = { remote_ip: ip, state: 'established' } as const
    assertOurs(follower.one({ ...ends, local_port: client.localPort!, remote_port: port }), ip === '127.0.0.1')
    assertOurs(follower.one({ ...ends, local_port: port, remote_port: client.localPort! }), false)
    const bound = follower.one({ proto: 'udp', local_ip: ip, local_port: udp.address().port })
    assert.deepEqual([bound.state, bound.remote_ip], ['bound', null])
    assertOurs(bound, true)
    udp.close()
    await Promise.all([once(udp, 'close'), close()])
    follower.poll()
    assert.deepEqual(follower.find({ local_ip: ip, local_port: bound.local_port }), [])
    const left = follower.find({ local_port: client.localPort!, remote_port: port })
    assert.ok(left.every(({ state }) => state === 'time_wait'))
  }
})

test('a process is its pid, its start, its program and its user', { skip }, async () => {
  const udp = await bind('udp4', '127.0.0.1')
  const child = spawn(
    process.execPath,
    ['-e', "require('dgram').createSocket('udp4').bind(0, '127.0.0.1', () => process.send(0))"],
    {
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    },
  )
  cleanUps.push(() => child.kill())
  await once(child, 'message')
  const follower = follow()
  const processes = follower.find({ proto: 'udp', local_ip: '127.0.0.1' }).flatMap(socket => follower.ownersOf(socket))
  const own = processes.find(({ pid }) => pid === process.pid)!
  const other = processes.find(({ pid }) => pid === child.pid)!
  for (const found of [own, other]) {
    assert.equal(found.name, path.basename(process.execPath))
    assert.equal(found.path?.toLowerCase(), process.execPath.toLowerCase())
    // DOMAIN\name; of what Windows says here the user's own name alone is certain.
    assert.match(found.user!, /^[^\\]+\\[^\\]+$/)
    assert.equal(found.user!.split('\\')[1]!.toLowerCase(), userInfo().username.toLowerCase())
    const hidden = new Privacy(['users'], null).apply('socket-snapshots', snapshotOf(found))
    assert.deepEqual(hidden.processes, [{ ...found, user: null }])
  }
  assert.equal(other.parent_pid, process.pid)
  assert.equal(other.parent_name, path.basename(process.execPath))
  // Both are system time; Node takes its own somewhat later than Windows does.
  const startedUs = performance.timeOrigin * 1000
  assert.ok(Math.abs(own.start_us! - startedUs) < 30e6, `${own.start_us} and ${startedUs}`)
  assert.ok(other.start_us! > own.start_us!)
  udp.close()
})

test('a svchost.exe is told with every service that it hosts', {
  skip: skip || (isWine ? 'Wine starts a svchost.exe for each service' : false),
}, () => {
  // The endpoint mapper shares its process with RpcSs on every Windows.
  const follower = follow()
  const [found] = follower.ownersOf(follower.one({ proto: 'tcp', local_ip: '0.0.0.0', local_port: 135 }))
  assert.deepEqual([found?.name, found?.services], ['svchost.exe', ['RpcEptMapper', 'RpcSs']])
})

test('a spool is one process’s at a time, in small and large letters', {
  skip: skip || (isWine ? 'Wine gives a pipe to several' : false),
}, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-lock-'))
  cleanUps.push(() => rmSync(folder, { recursive: true }))
  const unlock = await lockFolder(folder)
  await assert.rejects(lockFolder(folder.toUpperCase()), { code: 'PROCLABEL_SPOOL' })
  await unlock()
})

test('1,000 polls while sockets come and go end with the table that a new reader sees', { skip }, async t => {
  const follower = follow()
  const { server } = await listen('127.0.0.1')
  const started = performance.now()
  let opened = 0
  for (let poll = 0; poll < 1000; poll += 10) {
    const udp = await bind('udp4', '127.0.0.1')
    const { client, close } = await connect(server, '127.0.0.1')
    for (let i = 0; i < 5; i++) follower.poll()
    assertOurs(follower.one({ local_port: client.localPort!, state: 'established' }), true)
    assertOurs(follower.one({ proto: 'udp', local_port: udp.address().port }), true)
    opened += follower.table.size
    udp.close()
    await Promise.all([once(udp, 'close'), close()])
    for (let i = 0; i < 5; i++) follower.poll()
  }
  t.diagnostic(`${((performance.now() - started) / 1000).toFixed(2)} ms a poll, ${opened / 100} sockets`)
  const withoutIds = (table: Iterable<Socket>) => [...table].map(socket => JSON.stringify({ ...socket, id: 0 })).sort()
  assert.deepEqual(withoutIds(follow().table.values()), withoutIds(follower.poll().table.values()))
})

test('kernel events, or a sentence that tells why there are none', { skip }, async () => {
  const { source, refusals } = openWindowsEvents()
  if (isWine) assert.equal(source, null, 'Wine has no ETW')
  if (source === null) return assert.match(refusals.join(), /^etw: .+/)
  cleanUps.push(() => source.close())
  assert.deepEqual([source.mechanism, source.complete, refusals], ['etw', false, []])
  const { server, port } = await listen('127.0.0.1')
  const { client, close } = await connect(server, '127.0.0.1')
  const child = spawn(process.execPath, ['-e', ''])
  const { localPort } = client
  await Promise.all([close(), once(child, 'exit')])
  const seen = new Set<string>()
  for (const end = performance.now() + 20_000; seen.size < 3 && performance.now() < end; ) {
    await sleep(50)
    const { events, processes } = source.read()
    for (const [i, { kind, pid, local_port, remote_port }] of events.entries()) {
      const isConnection = [local_port, remote_port].includes(localPort!) && [local_port, remote_port].includes(port)
      if (kind === 'connect' && pid === process.pid && isConnection) seen.add(kind)
      if (pid === child.pid && processes[i]?.name === path.basename(process.execPath)) seen.add(kind)
    }
  }
  assert.deepEqual([...seen].sort(), ['connect', 'process_exit', 'process_start'])
})
