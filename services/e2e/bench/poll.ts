/**
 * CPU of a poll, with the JavaScript that makes records of it, beside `ss -tunap` and a reading of /proc; and of a whole agent,
 * by polls alone and with kernel events, at rest, with a little traffic and under 2,000 connections a second, with its memory. On this machine's TCP
 * hash, and in a fresh network namespace with an ordinary one (`net.ipv4.tcp_child_ehash_entries=4096`). Needs root.
 *
 * `node services/e2e/bench/poll.ts [--sockets 50,500,5000] [--runs 5]`
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { runAgent } from '../../agent/agent.ts'
import type { EventSource } from '../../agent/event-source.ts'
import { openLinuxSource } from '../../agent/linux.ts'
import { openLinuxEvents } from '../../agent/linux-events.ts'
import { SnapshotBuilder } from '../../agent/snapshots.ts'
import { openConnections, startLoad } from './connections.ts'
import { runInNamespaces } from './namespace.ts'

const { values } = parseArgs({
  options: {
    sockets: { type: 'string', default: '50,500,5000' },
    runs: { type: 'string', default: '5' },
    inside: { type: 'boolean', default: false },
  },
})
const counts = values.sockets.split(',').map(Number)
const runs = Number(values.runs)

/** CPU of this process, user and system, microseconds. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

function describe(figures: number[]): string {
  const sorted = figures.toSorted((a, b) => a - b)
  const ms = (us: number) => (us / 1000).toFixed(3)
  return `median ${ms(sorted[Math.floor(sorted.length / 2)]!)} ms, ${ms(sorted[0]!)} to ${ms(sorted.at(-1)!)} in ${figures.length} runs`
}

/** Polls one after the other, as messages of 20: what a poll costs while the caches are warm. */
function measureBackToBack(): number[] {
  const source = openLinuxSource()
  const snapshots = new SnapshotBuilder('bench', 'bench', 5)
  const pollAndGather = (polls: number) => {
    for (let i = 1; i <= polls; i++) {
      snapshots.add(source.poll())
      if (i % 20 === 0) snapshots.take()
    }
  }
  pollAndGather(100)
  const figures = Array.from({ length: runs }, () => {
    const before = cpuUs()
    pollAndGather(200)
    return (cpuUs() - before) / 200
  })
  source.close()
  console.log(`  ${snapshots.socketCount} sockets in the table`)
  return figures
}

const warmUpMessages = 3

/** What a second of the agent costs once it has run for some, microseconds of CPU, as `--period 50 --calm-period 500` run it. */
async function measureAgent(events: EventSource | null): Promise<number[]> {
  const figures: number[] = []
  let last: { cpu: number; ms: number } | null = null
  const stop = new AbortController()
  await runAgent({
    source: openLinuxSource(),
    events,
    calmPollPeriodMs: 500,
    publish: () => {},
    signal: stop.signal,
    onProgress: ({ messages }) => {
      if (messages <= warmUpMessages || figures.length === runs) return
      const now = { cpu: cpuUs(), ms: performance.now() }
      if (last !== null) figures.push(((now.cpu - last.cpu) * 1000) / (now.ms - last.ms))
      last = now
      if (figures.length === runs) stop.abort()
    },
  })
  return figures
}

/** CPU of children that have ended, microseconds, in hundredths of a second (proc_pid_stat(5), fields 16 and 17). */
function childrenUs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ')
  return (Number(fields[13]) + Number(fields[14])) * 10_000
}

function measureSs(): number[] {
  return Array.from({ length: runs }, () => {
    const before = childrenUs()
    for (let i = 0; i < 10; i++) spawnSync('ss', ['-tunap'], { stdio: 'ignore' })
    return (childrenUs() - before) / 10
  })
}

/** The tables of /proc/net and every descriptor, as a program without netlink finds owners. */
function readProc(): number {
  const owners = new Map<string, string>()
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const target = readlinkSync(`/proc/${pid}/fd/${fd}`)
        if (target.startsWith('socket:[')) owners.set(target.slice(8, -1), pid)
      }
    } catch {
      // Ended meanwhile.
    }
  }
  let found = 0
  for (const table of ['tcp', 'tcp6', 'udp', 'udp6']) {
    for (const line of readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1)) {
      if (owners.has(line.trim().split(/\s+/)[9] ?? '')) found++
    }
  }
  return found
}

function measureProc(): number[] {
  return Array.from({ length: runs }, () => {
    const before = cpuUs()
    for (let i = 0; i < 5; i++) readProc()
    return (cpuUs() - before) / 5
  })
}

/** Polls alone, with a connection in every period: then each of them reads the table, and looks for the owners of those that stay. */
async function measureWithTraffic(holdS: number): Promise<number[]> {
  const load = await startLoad(20, holdS)
  const figures = await measureAgent(null)
  await load.stop()
  return figures
}

/** The agent under load: connections a second, and what a second of it costs. */
async function measureUnderLoad(): Promise<{ rate: number; figures: number[]; events: number; lost: number }> {
  const load = await startLoad(2000)
  const { source } = openLinuxEvents()
  let events = 0
  let lost = 0
  const counted: EventSource = {
    ...source!,
    read: () => {
      const reading = source!.read()
      events += reading.events.length
      lost += reading.lost
      return reading
    },
  }
  const begunMs = performance.now()
  const figures = await measureAgent(counted)
  const seconds = (performance.now() - begunMs) / 1000
  return { rate: await load.stop(), figures, events: events / seconds, lost }
}

/** Resident memory of a process, MiB (proc_pid_status(5)). */
const residentMiB = (pid: number): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]) / 1024)

/** Of a command that runs for 15 seconds, the second time: then its code comes from the compile cache. */
async function measureMemory(...args: string[]): Promise<number> {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'proclabel-bench-'))
  let memory = 0
  for (let time = 0; time < 2; time++) {
    const child = spawn(
      process.execPath,
      args.map(arg => arg.replace('FOLDER', folder)),
      { stdio: 'ignore' },
    )
    await new Promise(resolve => setTimeout(resolve, 15_000))
    memory = residentMiB(child.pid!)
    child.kill()
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true })
  return memory
}

const command = fileURLToPath(new URL('../../cli/proclabel.mjs', import.meta.url))

async function tellMemory(): Promise<void> {
  const node = await measureMemory('-e', 'setTimeout(() => {}, 60_000)')
  const record = await measureMemory(command, 'record', '--out', 'FOLDER')
  const agent = await measureMemory(command, 'agent', '--brokers', '127.0.0.1:9', '--spool', 'FOLDER')
  console.log(`resident: agent ${agent} MiB (its broker away), record ${record}, a Node that does nothing ${node}`)
}

async function measureHere(): Promise<void> {
  for (const count of counts) {
    const close = await openConnections(count)
    console.log(`  a poll:                 ${describe(measureBackToBack())}`)
    console.log(`  ss -tunap:              ${describe(measureSs())}`)
    console.log(`  /proc in JavaScript:    ${describe(measureProc())}`)
    console.log(`  a second of the agent:  ${describe(await measureAgent(null))}`)
    console.log(`  with 20 connections/s:  ${describe(await measureWithTraffic(0))}`)
    console.log(`  each held for 1 s:      ${describe(await measureWithTraffic(1))}`)
    console.log(`  with kernel events:     ${describe(await measureAgent(openLinuxEvents().source))}`)
    close()
  }
  const { rate, figures, events, lost } = await measureUnderLoad()
  console.log(`  a second under load:    ${describe(figures)}`)
  console.log(`  ${rate} connections/s, ${Math.round(events)} events/s, ${lost} lost`)
}

if (values.inside) {
  await measureHere()
} else {
  const cpu = os.cpus()
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim()
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name)).length
  console.log(`CPU of polls and agents; ${cpu.length} x ${cpu[0]?.model}, Linux ${os.release()}`)
  console.log(`Node ${process.version}, commit ${commit}, ${processes} processes, ${new Date().toISOString()}`)
  runInNamespaces(import.meta.filename)
  await tellMemory()
}
