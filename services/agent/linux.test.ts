import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { readdirSync, readlinkSync } from 'node:fs'
import net from 'node:net'
import { userInfo } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Socket } from '#schemas'
import { openLinuxSource } from './linux.ts'
import { Follower } from './source-follower.ts'

const skip = process.platform === 'linux' ? false : 'reads the sockets of Linux'

const cleanUps: (() => void)[] = []
after(() => {
  for (const cleanUp of cleanUps) cleanUp()
})

function follow(): Follower {
  const follower = new Follower(openLinuxSource())
  cleanUps.push(() => follower.source.close())
  return follower
}

async function listen(host: string, options: net.ListenOptions = {}): Promise<{ server: net.Server; port: number }> {
  const server = net.createServer({ allowHalfOpen: true })
  server.listen({ host, port: 0, ...options })
  await once(server, 'listening')
  cleanUps.push(() => server.close())
  return { server, port: (server.address() as net.AddressInfo).port }
}

/** Both ends of a connection to the server. */
async function connect(server: net.Server, host: string): Promise<{ client: net.Socket; accepted: net.Socket }> {
  const accepting = once(server, 'connection')
  const client = net.connect({ host, port: (server.address() as net.AddressInfo).port, allowHalfOpen: true })
  const [[accepted]] = await Promise.all([accepting, once(client, 'connect')])
  for (const end of [client, accepted]) end.on('error', () => {})
  cleanUps.push(
    () => client.destroy(),
    () => accepted.destroy(),
  )
  return { client, accepted }
}

/** A child that prints lines and ends with its input; `nextLine` waits for the next of them. */
function startChild(command: string, args: string[]): { child: ChildProcess; nextLine: () => Promise<string> } {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  cleanUps.push(() => child.kill('SIGKILL'))
  const lines = createInterface(child.stdout!)[Symbol.asyncIterator]()
  return { child, nextLine: async () => (await lines.next()).value ?? '' }
}

test('TCP and UDP sockets of both families belong to this process', { skip }, async () => {
  const follower = follow()
  const v4 = await listen('127.0.0.1')
  const v6 = await listen('::1')
  await connect(v4.server, '127.0.0.1')
  await connect(v6.server, '::1')
  const udp4 = dgram.createSocket('udp4').bind(0, '127.0.0.1')
  const udp6 = dgram.createSocket('udp6').bind(0, '::1')
  await Promise.all([once(udp4, 'listening'), once(udp6, 'listening')])
  udp6.connect(udp6.address().port, '::1')
  await once(udp6, 'connect')
  follower.poll()
  for (const { ip, port } of [
    { ip: '127.0.0.1', port: v4.port },
    { ip: '::1', port: v6.port },
  ]) {
    const listener = follower.one({ proto: 'tcp', local_port: port, state: 'listen' })
    assert.deepEqual([listener.local_ip, listener.remote_ip, listener.remote_port], [ip, null, null])
    assert.deepEqual(follower.pidsOf({ local_port: port, state: 'listen' }), [process.pid])
    assert.deepEqual(follower.pidsOf({ local_ip: ip, local_port: port, state: 'established' }), [process.pid])
    assert.deepEqual(follower.pidsOf({ remote_ip: ip, remote_port: port, state: 'established' }), [process.pid])
  }
  const bound = follower.one({ proto: 'udp', local_ip: '127.0.0.1', local_port: udp4.address().port })
  assert.deepEqual([bound.state, bound.remote_ip, bound.owners[0]?.pid], ['bound', null, process.pid])
  const connected = follower.one({ proto: 'udp', local_ip: '::1', local_port: udp6.address().port })
  assert.deepEqual([connected.state, connected.remote_ip, connected.remote_port], ['bound', '::1', udp6.address().port])
  udp4.close()
  udp6.close()
})

test('the owner is told with start time, name, path and parent', { skip }, async () => {
  const follower = follow()
  const { port } = await listen('127.0.0.1')
  const [owner] = follower.poll().ownersOf(follower.one({ local_port: port, state: 'listen' }))
  assert.equal(owner?.path, readlinkSync('/proc/self/exe'))
  assert.equal(owner.name, path.basename(process.execPath))
  assert.equal(owner.parent_pid, process.ppid)
  assert.equal(owner.parent_name, path.basename(readlinkSync(`/proc/${process.ppid}/exe`)))
  assert.equal(owner.user, userInfo().username)
  // A clock tick is 10 ms; node's own clock starts a moment after the process did.
  const startedUs = (Date.now() - process.uptime() * 1000) * 1000
  assert.ok(Math.abs(owner.start_us! - startedUs) < 1_000_000, `${owner.start_us} is not about ${startedUs}`)
  assert.equal(follow().poll().one({ local_port: port, state: 'listen' }).owners[0]?.pid, process.pid)
})

test('a connection through a v6 socket that carries IPv4 is told as IPv4', { skip }, async () => {
  const follower = follow()
  const { server, port } = await listen('::')
  await connect(server, '127.0.0.1')
  follower.poll()
  const listener = follower.one({ local_port: port, state: 'listen' })
  assert.deepEqual([listener.local_ip, listener.v6_only], ['::', false])
  follower.one({ local_ip: '127.0.0.1', local_port: port, remote_ip: '127.0.0.1', state: 'established' })
  const only = await listen('::', { ipv6Only: true })
  assert.equal(follower.poll().one({ local_port: only.port, state: 'listen' }).v6_only, true)
})

test('a child has its own pid, name and path', { skip }, async () => {
  const follower = follow().poll()
  const script =
    'import socket,sys; s=socket.create_server(("127.0.0.1",0)); print(s.getsockname()[1],flush=True); sys.stdin.read()'
  const { child, nextLine } = startChild('python3', ['-c', script])
  const port = Number(await nextLine())
  follower.poll()
  const [owner, ...others] = follower.ownersOf(follower.one({ local_port: port, state: 'listen' }))
  assert.deepEqual(others, [])
  assert.equal(owner?.pid, child.pid)
  assert.match(owner?.name ?? '', /^python3/)
  assert.equal(owner?.path, readlinkSync(`/proc/${child.pid}/exe`))
  assert.equal(owner?.parent_pid, process.pid)
  assert.equal(owner?.parent_name, path.basename(process.execPath))
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.deepEqual(follower.poll().find({ local_port: port }), [])
})

test('a socket that a fork shares has several owners, then one again', { skip }, async () => {
  const follower = follow().poll()
  const script =
    'import os,socket,sys; s=socket.create_server(("127.0.0.1",0)); p=os.fork()\nif p==0: sys.stdin.read(); os._exit(0)\nprint(s.getsockname()[1],p,flush=True); os.waitpid(p,0); print("alone",flush=True); sys.stdin.read(); import time; time.sleep(60)'
  const { child, nextLine } = startChild('python3', ['-c', script])
  const [port, forked] = (await nextLine()).split(' ').map(Number)
  const wanted = { local_port: port!, state: 'listen' } as const
  assert.deepEqual(
    follower.poll().pidsOf(wanted),
    [child.pid!, forked!].sort((a, b) => a - b),
  )
  process.kill(forked!, 'SIGKILL')
  assert.equal(await nextLine(), 'alone')
  // Nothing about the socket itself changed: the regular look at all processes has to find it, within 20 polls.
  for (let i = 0; i < 20; i++) follower.poll()
  assert.deepEqual(follower.pidsOf(wanted), [child.pid])
})

test('a program that replaces another in the same process gives its name from then on', { skip }, async () => {
  const follower = follow()
  const script =
    'import os,socket,sys; s=socket.create_server(("127.0.0.1",0)); s.set_inheritable(True); print(s.getsockname()[1],flush=True); sys.stdin.readline(); os.execv("/bin/sh",["sh","-c","echo now; read x"])'
  const { child, nextLine } = startChild('python3', ['-c', script])
  const wanted = { local_port: Number(await nextLine()), state: 'listen' } as const
  const before = follower.poll().ownersOf(follower.one(wanted))[0]!
  child.stdin!.write('go\n')
  assert.equal(await nextLine(), 'now')
  for (let i = 0; i < 40; i++) follower.poll()
  const now = follower.ownersOf(follower.one(wanted))[0]!
  assert.deepEqual([now.pid, now.start_us], [before.pid, before.start_us])
  assert.equal(now.path, readlinkSync(`/proc/${child.pid}/exe`))
  assert.notEqual(now.name, before.name)
})

test('a program that replaced another owns under its own name what it opens', { skip }, async () => {
  const follower = follow()
  const listening =
    'require("node:net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port) })'
  const script = `import os,socket,sys; s=socket.create_server(("127.0.0.1",0)); print(s.getsockname()[1],flush=True); sys.stdin.readline(); os.execv(sys.argv[1],["node","-e",sys.argv[2]])`
  const { child, nextLine } = startChild('python3', ['-c', script, process.execPath, listening])
  const before = Number(await nextLine())
  follower.poll().one({ local_port: before, state: 'listen' })
  child.stdin!.write('go\n')
  const port = Number(await nextLine())
  const [owner] = follower.poll().ownersOf(follower.one({ local_port: port, state: 'listen' }))
  assert.deepEqual([owner?.pid, owner?.name], [child.pid, path.basename(process.execPath)])
})

test('a server owns what it accepts, whether it waits for more or not', { skip }, async () => {
  const follower = follow()
  const script =
    'import socket; s=socket.create_server(("127.0.0.1",0)); print(s.getsockname()[1],flush=True); held=[]\nfor i in range(6): held.append(s.accept()); print(i,flush=True)\ninput()'
  const { child, nextLine } = startChild('python3', ['-c', script])
  const port = Number(await nextLine())
  follower.poll()
  for (let i = 0; i < 6; i++) {
    const client = net.connect({ host: '127.0.0.1', port })
    cleanUps.push(() => client.destroy())
    await nextLine()
    assert.deepEqual(follower.poll().pidsOf({ local_port: port, remote_port: client.localPort! }), [child.pid])
  }
})

test('a process without descriptors owns the first socket that it opens', { skip }, async () => {
  const follower = follow()
  const { server, port } = await listen('127.0.0.1')
  server.close()
  const script = `import os,signal,socket; signal.signal(signal.SIGUSR1,lambda *_:None); os.closerange(0,256); signal.pause(); s=socket.create_server(("127.0.0.1",${port})); signal.pause()`
  const { child } = startChild('python3', ['-c', script])
  const descriptors = () => readdirSync(`/proc/${child.pid}/fd`).length
  while (descriptors() > 0) await sleep(5)
  follower.poll()
  child.kill('SIGUSR1')
  while (descriptors() === 0) await sleep(1)
  await sleep(20)
  assert.deepEqual(follower.poll().pidsOf({ local_port: port, state: 'listen' }), [child.pid])
})

test('what a process leaves behind keeps its owner, to the end of TIME_WAIT', { skip }, async () => {
  const follower = follow()
  const { server, port } = await listen('127.0.0.1')
  const { client, accepted } = await connect(server, '127.0.0.1')
  accepted.resume()
  const localPort = client.localPort!
  follower.poll()
  const fromClient = { local_port: localPort, remote_port: port }
  const { id } = follower.one(fromClient)
  client.destroy()
  await once(accepted, 'end')
  while (follower.poll().one(fromClient).state === 'fin_wait_1') await sleep(1)
  const left = follower.one(fromClient)
  assert.deepEqual([left.id, left.state], [id, 'fin_wait_2'])
  assert.deepEqual(left.owners, follower.one({ local_port: port, state: 'listen' }).owners)
  accepted.end()
  await once(accepted, 'close')
  while (follower.poll().one(fromClient).state !== 'time_wait') await sleep(1)
  assert.deepEqual(follower.one(fromClient).owners, left.owners)
  assert.deepEqual(follow().poll().one(fromClient).owners, [], 'who comes later cannot know')
})

test('a client that opens one connection after the other owns each of them', { skip }, async () => {
  const follower = follow()
  const { server, port } = await listen('127.0.0.1')
  for (let i = 0; i < 20; i++) {
    const { client, accepted } = await connect(server, '127.0.0.1')
    assert.deepEqual(follower.poll().pidsOf({ local_port: client.localPort!, remote_port: port }), [process.pid])
    accepted.resetAndDestroy()
    client.destroy()
    await once(client, 'close')
  }
})

/** A closed socket keeps its owner with us, and has none with `ss`. */
const HELD_STATES = ['LISTEN', 'ESTAB', 'CLOSE-WAIT', 'SYN-SENT', 'UNCONN']

function writeRow(proto: string, state: string, local: string, remote: string, pids: number[]): string {
  const holders = HELD_STATES.includes(state) ? [...new Set(pids)].sort((a, b) => a - b) : []
  return `${proto} ${state} ${local} ${remote} ${holders}`
}

/** What `ss` tells of the same table, one line a socket. */
function readSs(): string {
  const { stdout } = spawnSync('ss', ['-tunaHpO'], { encoding: 'utf8' })
  const rows = stdout.split('\n').filter(line => line !== '')
  return rows
    .map(row => {
      const [proto, state, , , local, remote, users] = row.trim().split(/\s+/)
      const pids = [...(users ?? '').matchAll(/pid=(\d+)/g)].map(match => Number(match[1]))
      const [localEnd, remoteEnd] = [local!, remote!].map(end =>
        end
          .replace(/^\*:/, '[::]:')
          .replace(/%[^\]:]+/, '')
          .replace(/\[::ffff:([\d.]+)\]/, '$1'),
      )
      // What listens on a mapped address takes IPv4 alone.
      const isMapped = local!.startsWith('[::ffff:')
      return writeRow(proto!, state!, localEnd!, isMapped ? remoteEnd!.replace('[::]', '0.0.0.0') : remoteEnd!, pids)
    })
    .sort()
    .join('\n')
}

function writeAsSs(socket: Socket): string {
  const write = (ip: string, port: number | null) => `${ip.includes(':') ? `[${ip}]` : ip}:${port ?? '*'}`
  const anywhere = socket.local_ip.includes(':') ? '::' : '0.0.0.0'
  const udpState = socket.remote_ip === null ? 'UNCONN' : 'ESTAB'
  const tcpState = socket.state === 'established' ? 'ESTAB' : socket.state.replace('syn_received', 'syn_recv')
  return writeRow(
    socket.proto,
    socket.proto === 'udp' ? udpState : tcpState.toUpperCase().replaceAll('_', '-'),
    write(socket.local_ip, socket.local_port),
    write(socket.remote_ip ?? anywhere, socket.remote_port),
    socket.owners.map(owner => owner.pid),
  )
}

test('the table rebuilt from deltas is the one that ss reads, at every poll', { skip }, async () => {
  const follower = follow()
  const { server } = await listen('127.0.0.1')
  const { server: server6 } = await listen('::')
  const hosts = ['127.0.0.1', '::1', '127.0.0.1', '127.0.0.1']
  for (let round = 0; round < 12; round++) {
    const host = hosts[round % 4]!
    const { client, accepted } = await connect(host === '::1' || round % 4 === 3 ? server6 : server, host)
    if (round % 3 === 1) client.destroy()
    if (round % 5 === 1) accepted.resetAndDestroy()
    // Others use this machine too: read again when something changed between the two readings.
    for (let attempt = 1; ; attempt++) {
      await sleep(10 * attempt)
      const ours = [...follower.poll().table.values()].map(writeAsSs).sort().join('\n')
      const independent = readSs()
      if (attempt < 10 && ours !== independent) continue
      assert.equal(ours, independent)
      break
    }
  }
})

test('boot time is taken once: the same process starts at the same time in every poll', { skip }, async () => {
  const follower = follow()
  const ports: number[] = []
  for (let i = 0; i < 3; i++) {
    ports.push((await listen('127.0.0.1')).port)
    follower.poll()
    await sleep(5)
  }
  const starts = ports.map(port => follower.one({ local_port: port, state: 'listen' }).owners[0]!.start_us)
  assert.equal(new Set(starts).size, 1)
})

test('once started it is polled on time, also while JavaScript is busy; each change is told once, in order', {
  skip,
}, async t => {
  const source = openLinuxSource()
  t.after(() => source.close())
  const polls = source.start(20)
  const table = new Map<number, Socket>()
  const follow = () => {
    const { readings } = polls.take()
    for (const { opened, closed, processes } of readings) {
      for (const id of closed) assert.ok(table.delete(id), `socket ${id} was closed but never opened`)
      for (const socket of opened) table.set(socket.id, socket)
      const owners = new Set(opened.flatMap(socket => socket.owners.map(({ pid }) => pid)))
      assert.deepEqual(new Set(processes.map(({ pid }) => pid)), owners)
    }
    return readings
  }
  const { child, nextLine } = startChild('python3', [
    '-c',
    `import socket, time
server = socket.create_server(('127.0.0.1', 0))
held = []
while True:
    held = (held + [(socket.create_connection(server.getsockname()), server.accept())])[-3:]
    if len(held) == 3: print('ready', flush=True)
    time.sleep(0.03)`,
  ])
  await nextLine()
  follow()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000)
  const readings = follow()
  // 50 by the clock; half of them on a machine that has other work.
  assert.ok(readings.length > 25, `${readings.length} polls`)
  const times = readings.map(({ monotonicUs }) => monotonicUs)
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  )
  const changes = readings.filter(({ opened }) => opened.some(({ owners }) => owners[0]?.pid === child.pid))
  assert.ok(changes.length > 20, `the child's sockets changed in ${changes.length} of them`)
  child.kill()
  await once(child, 'exit')
  // Once a second all is read.
  await sleep(1200)
  follow()
  const left = [...table.values()].filter(({ owners }) => owners[0]?.pid === child.pid)
  assert.deepEqual(new Set(left.map(({ state }) => state)), new Set(['time_wait']))
})
