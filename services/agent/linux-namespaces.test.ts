import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Process, SocketEvent } from '#schemas'
import type { EventSource } from './event-source.ts'
import { openLinuxSource } from './linux.ts'
import { linuxMechanisms, openLinuxEvents } from './linux-events.ts'
import { Follower } from './source-follower.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
const skip = canMakeNamespaces ? false : 'needs root and iproute2'
const noEvents = (() => {
  if (skip) return skip
  const { source, refusals } = openLinuxEvents()
  source?.close()
  return source === null ? refusals.join() : false
})()

const ip = (...args: string[]) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
/** More often than the source looks for namespaces: once a second. */
const lookedForMs = 1200

/** Two containers on one cable, each with a network namespace of its own: addresses of TEST-NET-2 and of documentation. */
class Containers {
  readonly names = ['a', 'b'].map(side => `space-${process.pid}-${side}`) as [string, string]
  readonly addresses = ['198.51.100.1', '198.51.100.2'] as const
  readonly children = new Set<ChildProcess>()

  constructor() {
    const [a, b] = this.names
    for (const name of this.names) ip('netns', 'add', name)
    ip('link', 'add', 'eth0', 'netns', a, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b)
    for (const [i, name] of this.names.entries()) {
      ip('-n', name, 'address', 'add', `${this.addresses[i]}/24`, 'dev', 'eth0')
      ip('-n', name, 'address', 'add', `2001:db8:51::${i + 1}/64`, 'dev', 'eth0', 'nodad')
      for (const device of ['lo', 'eth0']) ip('-n', name, 'link', 'set', device, 'up')
    }
  }

  inode(place: 0 | 1): number {
    return statSync(`/run/netns/${this.names[place]}`).ino
  }

  /** Runs Python in one of them; resolves with its pid and its first line. It ends with its input. */
  async run(place: 0 | 1, script: string): Promise<{ child: ChildProcess; pid: number; line: string }> {
    const inside = ['netns', 'exec', this.names[place]!, 'python3', '-c', script]
    const child = spawn('ip', inside, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.children.add(child)
    child.once('exit', () => this.children.delete(child))
    const line = (await createInterface(child.stdout!)[Symbol.asyncIterator]().next()).value ?? ''
    return { child, pid: child.pid!, line }
  }

  remove(): void {
    for (const child of this.children) child.kill('SIGKILL')
    for (const name of this.names) spawnSync('ip', ['netns', 'delete', name])
  }
}

function makeContainers(t: TestContext): Containers {
  const containers = new Containers()
  t.after(() => containers.remove())
  return containers
}

function follow(t: TestContext): Follower {
  const follower = new Follower(openLinuxSource(true))
  t.after(() => follower.source.close())
  return follower
}

const listenAnywhere = (port: number, more = 'pass') =>
  `import socket,sys; s=socket.socket(); s.bind(("0.0.0.0",${port})); s.listen(); ${more}; print("ready",flush=True); sys.stdin.read()`

test('one port in two namespaces: each socket with the address of its own, and loopback of neither', {
  skip,
}, async t => {
  const containers = makeContainers(t)
  const loopback =
    'l=socket.create_server(("127.0.0.1",8081)); u=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); u.bind(("::",8082))'
  const servers = [
    await containers.run(0, listenAnywhere(8080, loopback)),
    await containers.run(1, listenAnywhere(8080)),
  ] as const
  const follower = follow(t).poll()
  for (const [i, { pid }] of servers.entries()) {
    const wanted = { local_port: 8080, local_ip: containers.addresses[i]!, state: 'listen' } as const
    assert.deepEqual(follower.pidsOf(wanted), [pid])
  }
  assert.deepEqual(follower.find({ local_port: 8081 }), [])
  // A socket on :: takes both families: it is told once for each address, with one owner.
  const datagrams = follower.find({ local_port: 8082 })
  const isPlain = (address: string) => !address.startsWith('fe80:')
  assert.deepEqual(
    datagrams
      .map(({ local_ip }) => local_ip)
      .filter(isPlain)
      .sort(),
    ['198.51.100.1', '2001:db8:51::1'],
  )
  for (const { owners } of datagrams)
    assert.deepEqual(
      owners.map(({ pid }) => pid),
      [servers[0].pid],
    )
  const told = follower.source.addresses!().filter(({ namespace }) => namespace === containers.inode(1))
  assert.deepEqual(
    told
      .map(address => address.ip)
      .filter(isPlain)
      .sort(),
    ['198.51.100.2', '2001:db8:51::2'],
  )
  servers[0].child.kill('SIGKILL')
  await once(servers[0].child, 'exit')
  follower.poll()
  assert.deepEqual(
    [8080, 8082].flatMap(port => follower.find({ local_port: port })).map(({ local_ip }) => local_ip),
    ['198.51.100.2'],
  )
})

test('an address that a namespace gets later is told, and its sockets with it', { skip }, async t => {
  const containers = makeContainers(t)
  const { pid } = await containers.run(0, listenAnywhere(8083))
  const follower = follow(t).poll()
  ip('-n', containers.names[0], 'address', 'delete', '198.51.100.1/24', 'dev', 'eth0')
  ip('-n', containers.names[0], 'address', 'add', '198.51.100.77/24', 'dev', 'eth0')
  follower.poll()
  const [socket, ...more] = follower.find({ local_port: 8083 })
  assert.deepEqual([socket?.local_ip, socket?.owners[0]?.pid, more], ['198.51.100.77', pid, []])
  assert.ok(follower.source.addresses!().some(address => address.ip === '198.51.100.77'))
})

/** Descriptors of this process that are sockets. */
const openSockets = () =>
  readdirSync('/proc/self/fd').filter(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
    } catch {
      return false
    }
  }).length

test('namespaces come and go without leaving a descriptor behind', { skip }, async t => {
  const containers = makeContainers(t)
  const follower = follow(t).poll()
  await sleep(lookedForMs)
  follower.poll()
  const before = openSockets()
  const { child } = await containers.run(0, listenAnywhere(8084))
  await sleep(lookedForMs)
  assert.equal(follower.poll().find({ local_port: 8084 }).length, 1)
  assert.ok(openSockets() >= before + 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await sleep(lookedForMs)
  follower.poll()
  assert.deepEqual(follower.find({ local_port: 8084 }), [])
  // Other namespaces of this machine may have come or gone meanwhile; ours are not among those entered.
  const ours = [containers.inode(0), containers.inode(1)]
  assert.deepEqual(
    follower.source.addresses!().filter(({ namespace }) => ours.includes(namespace)),
    [],
  )
})

/** Reads until an event fits, with its process. */
async function eventOf(
  source: EventSource,
  fits: (event: SocketEvent) => boolean,
): Promise<[SocketEvent, Process | null]> {
  for (let i = 0; i < 50; i++) {
    const { events, processes } = source.read()
    const place = events.findIndex((event, at) => fits(event) && processes[at] !== null)
    if (place >= 0) return [events[place]!, processes[place]!]
    await sleep(20)
  }
  throw new Error('no such event within a second')
}

for (const mechanism of linuxMechanisms)
  test(`${mechanism}: events of processes in a namespace name its address; loopback in it is not told`, {
    skip: noEvents,
  }, async t => {
    // By tracepoints alone the namespace is not known of who is gone when his event is read.
    const stay = '; print("done", flush=True); import sys; sys.stdin.read()'
    const containers = makeContainers(t)
    await containers.run(1, listenAnywhere(8085))
    const { source } = openLinuxEvents([mechanism], { allNamespaces: true })
    t.after(() => source!.close())
    const isTo = (port: number, kind: string) => (event: SocketEvent) =>
      event.kind === kind && event.remote_port === port
    const connect = `import socket; socket.create_connection(("198.51.100.2",8085)).close()${stay}`
    const client = await containers.run(0, connect)
    const [connected, who] = await eventOf(source!, isTo(8085, 'connect'))
    assert.deepEqual([connected.local_ip, who?.pid], ['198.51.100.1', client.pid])

    const send = `import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("",8086)); s.sendto(b"x",("198.51.100.2",8087))${stay}`
    const sender = await containers.run(0, send)
    const [sent, by] = await eventOf(source!, isTo(8087, 'send'))
    assert.deepEqual([sent.local_ip, sent.local_port, by?.pid], ['198.51.100.1', 8086, sender.pid])

    const sendMapped = `import socket; s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); s.bind(("::",8090)); s.sendto(b"x",("::ffff:198.51.100.2",8091))${stay}`
    const mappedSender = await containers.run(0, sendMapped)
    const [mapped, mappedBy] = await eventOf(source!, isTo(8091, 'send'))
    assert.deepEqual([mapped.local_ip, mapped.local_port, mappedBy?.pid], ['198.51.100.1', 8090, mappedSender.pid])

    const within = `import socket; s=socket.create_server(("127.0.0.1",8088)); socket.create_connection(("127.0.0.1",8088)).close()${stay}`
    await containers.run(0, within)
    await sleep(100)
    const owned = source!.read()
    const ofLoopback = owned.events.filter(
      ({ local_port, remote_port }, i) => owned.processes[i] !== null && (local_port === 8088 || remote_port === 8088),
    )
    assert.deepEqual(ofLoopback, [])
  })

test('ebpf: who is gone before its event is read is told with the address of its namespace, while others are there', {
  skip: noEvents,
}, async t => {
  const containers = makeContainers(t)
  await containers.run(0, listenAnywhere(8092))
  const { source } = openLinuxEvents(['ebpf'], { allNamespaces: true })
  t.after(() => source!.close())
  const send =
    'import socket; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("",8092)); s.sendto(b"x",("198.51.100.2",8093))'
  ip('netns', 'exec', containers.names[0], 'python3', '-c', send)
  const [sent, by] = await eventOf(source!, event => event.remote_port === 8093)
  assert.deepEqual([sent.local_ip, sent.local_port], ['198.51.100.1', 8092])
  assert.match(by!.name, /^python3/)
})

test('without the right to enter namespaces it says so, and tells its own', { skip }, () => {
  const module = new URL('linux.ts', import.meta.url).href
  const script = `const { openLinuxSource } = await import('${module}'); const source = openLinuxSource(true); source.poll(); console.log(source.restriction, source.addresses())`
  const { stdout, stderr } = spawnSync(
    'setpriv',
    ['--bounding-set=-sys_admin', '--inh-caps=-sys_admin', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8' },
  )
  assert.match(
    stdout,
    /only the host's own network namespace is seen, not those of containers: that needs CAP_SYS_ADMIN \[\]/,
    stderr,
  )
})
