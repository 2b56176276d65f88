import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Process, SocketEvents, SocketSnapshot } from '#schemas'
import type { EventSource } from '../agent/event-source.ts'
import { openLinuxSource } from '../agent/linux.ts'
import { linuxMechanisms, openLinuxEvents } from '../agent/linux-events.ts'
import { Follower } from '../agent/source-follower.ts'
import { waitForOutput } from './lab/network.ts'
import { proclabel } from './lab/recording.ts'

const isRoot = process.getuid?.() === 0
if (!isRoot && process.env.CI === 'true') throw new Error('needs root')
const whyNoEvents = (): string | false => {
  if (!isRoot) return 'needs root'
  const { source, refusals } = openLinuxEvents()
  source?.close()
  return source === null ? refusals.join() : false
}
const noEvents = whyNoEvents()

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-identity-'))
after(() => rmSync(folder, { recursive: true }))

async function listen(t: TestContext): Promise<{ port: number; nextClient: () => Promise<number> }> {
  const server = net.createServer(socket => socket.on('error', () => {})).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return {
    port: (server.address() as net.AddressInfo).port,
    nextClient: async () => ((await once(server, 'connection')) as [net.Socket])[0].remotePort!,
  }
}

interface Client {
  child: ChildProcess
  pid: number
  localPort: number
}

/** Programs of these names: bash can connect, and is called by its file. */
const programs = ['alder', 'birch'].map(name => path.join(folder, name)) as [string, string]

test('a process id that is used again at once never gets the former process’s name', { skip: noEvents }, async t => {
  for (const program of programs) copyFileSync('/bin/bash', program)
  const { port, nextClient } = await listen(t)
  const { source: events } = openLinuxEvents()
  const follower = new Follower(openLinuxSource())
  t.after(() => {
    events!.close()
    follower.source.close()
  })
  const connect = async (program: string, afterwards: string): Promise<Client> => {
    const connected = nextClient()
    const script = `exec 3<>/dev/tcp/127.0.0.1/${port}; ${afterwards}`
    const child = spawn(program, ['-c', script], { stdio: ['pipe', 'ignore', 'inherit'] })
    return { child, pid: child.pid!, localPort: await connected }
  }
  const end = async ({ child }: Client) => {
    const ended = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null
    child.stdin!.end()
    await ended
  }
  /** Polls see the first kind, events alone the second. */
  for (const afterwards of ['read x', 'exit 0']) {
    let again = 0
    // Another process of this machine may get the number in between.
    for (let round = 0; round < 200 && again < 10; round++) {
      events!.read()
      const first = await connect(programs[0], afterwards)
      if (afterwards === 'read x') assert.equal(ownerOf(follower, first)?.name, 'alder')
      await end(first)
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(first.pid - 1))
      const second = await connect(programs[1], afterwards)
      if (second.pid === first.pid) again++
      if (afterwards === 'read x') assert.equal(ownerOf(follower, second)?.name, 'birch')
      await end(second)
      const told = connects(events!)
      assert.deepEqual(
        [first, second].map(({ localPort }) => [told.get(localPort)?.name, told.get(localPort)?.pid]),
        [
          ['alder', first.pid],
          ['birch', second.pid],
        ],
      )
    }
    assert.equal(again, 10, 'the same number came again')
  }
})

const ownerOf = (follower: Follower, { localPort }: Client): Process | undefined =>
  follower.poll().ownersOf(follower.one({ proto: 'tcp', local_port: localPort }))[0]

/** The processes of the connects since the last reading, by local port. */
function connects(source: EventSource): Map<number, Process> {
  const { events, processes, lost } = source.read()
  assert.equal(lost, 0)
  return new Map(
    events.flatMap(({ kind, local_port }, i) =>
      kind === 'connect' && processes[i] ? [[local_port!, processes[i]]] : [],
    ),
  )
}

test('in a pid namespace of its own, where numbers are others, it takes no kernel events', { skip: noEvents }, () => {
  const module = new URL('../agent/linux-events.ts', import.meta.url).href
  const script = `console.log((await import('${module}')).openLinuxEvents().refusals.join())`
  const inside = ['--pid', '--fork', '--mount-proc', process.execPath, '--input-type=module', '-e', script]
  const { stdout } = spawnSync('unshare', inside, { encoding: 'utf8' })
  for (const mechanism of linuxMechanisms)
    assert.match(
      stdout,
      new RegExp(`\\b${mechanism}: kernel events tell process ids of the host: run in its pid namespace`),
    )
})

/** A wall clock that is off by as many seconds as a file says; the monotonic clock is left alone. */
const steppedClock = `
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
static const volatile long* offset = static_cast<const long*>(
    mmap(nullptr, sizeof(long), PROT_READ, MAP_SHARED, open(getenv("CLOCK_OFFSET"), O_RDONLY), 0));
extern "C" int clock_gettime(clockid_t id, timespec* now) {
  const long status = syscall(SYS_clock_gettime, id, now);
  if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) now->tv_sec += *offset;
  return status;
}
extern "C" int gettimeofday(timeval* now, void*) {
  timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  *now = {time.tv_sec, time.tv_nsec / 1000};
  return 0;
}
`

test('a clock that is set on and back by an hour: times follow it, identities and sequence do not', {
  skip: noEvents,
}, async t => {
  const { port, nextClient } = await listen(t)
  const [source, shim, offset, out] = ['clock.cc', 'clock.so', 'offset', 'log'].map(name =>
    path.join(folder, name),
  ) as [string, string, string, string]
  writeFileSync(source, steppedClock)
  execFileSync(process.env.CXX ?? 'g++', ['-shared', '-fPIC', '-O1', source, '-o', shim])
  const step = (seconds: number) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt(seconds))
    writeFileSync(offset, bytes, { flag: 'r+' })
  }
  writeFileSync(offset, Buffer.alloc(8))
  const holder = spawn(
    'python3',
    ['-c', `import socket,sys; s=socket.create_connection(("127.0.0.1",${port})); sys.stdin.read()`],
    {
      stdio: ['pipe', 'ignore', 'inherit'],
    },
  )
  t.after(() => holder.kill('SIGKILL'))
  await nextClient()
  const env = { ...process.env, LD_PRELOAD: shim, CLOCK_OFFSET: offset }
  const args = [proclabel, 'record', '--out', out, '--host', 'desk']
  const record = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'], env })
  t.after(() => record.kill('SIGKILL'))
  await waitForOutput(record, 'recording')

  const hours = [0, 3600, -3600]
  const ports: number[] = []
  for (const seconds of hours) {
    step(seconds)
    await sleep(1500)
    const connected = nextClient()
    spawnSync('python3', ['-c', `import socket; socket.create_connection(("127.0.0.1",${port}))`])
    ports.push(await connected)
    await sleep(1500)
  }
  record.kill('SIGINT')
  await once(record, 'exit')

  const lines = readdirSync(out).flatMap(name => readFileSync(path.join(out, name), 'utf8').trim().split('\n'))
  const records = lines.map(line => JSON.parse(line) as { topic: string })
  const snapshots = records.filter(({ topic }) => topic === 'socket-snapshots') as unknown as SocketSnapshot[]
  const told = records.filter(({ topic }) => topic === 'socket-events') as unknown as SocketEvents[]
  const polls = snapshots.flatMap(message => message.polls)
  assert.deepEqual(
    polls.map(({ poll_seq }) => poll_seq),
    polls.map((_, i) => i),
  )
  assert.ok(polls.every((poll, i) => i === 0 || poll.monotonic_us > polls[i - 1]!.monotonic_us))
  // Each poll tells both clocks: how far apart they are shows every step, and nothing else.
  const bootUs = polls[0]!.time_us - polls[0]!.monotonic_us
  const offsets = polls.map(({ time_us, monotonic_us }) => Math.round((time_us - monotonic_us - bootUs) / 1e6) || 0)
  assert.deepEqual(
    offsets.filter((seconds, i) => seconds !== offsets[i - 1]),
    hours,
  )
  const events = told.flatMap(message => message.events)
  for (const [i, localPort] of ports.entries()) {
    const connect = events.find(({ kind, local_port }) => kind === 'connect' && local_port === localPort)!
    const nearest = polls.reduce((a, b) =>
      Math.abs(b.time_us - connect.time_us) < Math.abs(a.time_us - connect.time_us) ? b : a,
    )
    assert.equal(offsets[nearest.poll_seq], hours[i], 'told by the clock of its time')
    assert.ok(Math.abs(nearest.time_us - connect.time_us) < 1_000_000)
  }
  const starts = snapshots.flatMap(({ processes }) => processes).filter(({ pid }) => pid === holder.pid)
  assert.equal(new Set(starts.map(({ start_us }) => start_us)).size, 1, 'one process stays one')
})
