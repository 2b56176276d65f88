/**
 * CPU of a poll of 500 sockets, with the JavaScript that makes records of it: on this machine's TCP hash, and in a fresh
 * network namespace with an ordinary one (`net.ipv4.tcp_child_ehash_entries=4096`). Needs root.
 *
 * `node services/e2e/bench/poll.ts [--sockets 500] [--runs 7]`
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import os from 'node:os'
import { parseArgs } from 'node:util'
import { runAgent } from '../../agent/agent.ts'
import { openLinuxSource } from '../../agent/linux.ts'
import { SnapshotBuilder } from '../../agent/snapshots.ts'

const { values } = parseArgs({
  options: {
    sockets: { type: 'string', default: '500' },
    runs: { type: 'string', default: '7' },
    inside: { type: 'boolean', default: false },
  },
})
const sockets = Number(values.sockets)
const runs = Number(values.runs)
const CHILD_HASH = '/proc/sys/net/ipv4/tcp_child_ehash_entries'

/** CPU of this process, user and system, microseconds. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

async function openConnections(count: number): Promise<() => void> {
  const held: Socket[] = []
  const server: Server = createServer(socket => held.push(socket))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const pairs = Math.floor((count - 1) / 2)
  await Promise.all(
    Array.from({ length: pairs }, async () => {
      const socket = connect(port, '127.0.0.1')
      held.push(socket)
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    }),
  )
  return () => {
    for (const socket of held) socket.destroy()
    server.close()
  }
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

/** The agent as it runs, a poll every 50 ms: with its timers, and with caches that others have used meanwhile. */
async function measureAgent(): Promise<number[]> {
  const figures: number[] = []
  let last: { cpu: number; polls: number } | null = null
  const stop = new AbortController()
  await runAgent({
    source: openLinuxSource(),
    publish: () => {},
    signal: stop.signal,
    onProgress: ({ polls }) => {
      const now = { cpu: cpuUs(), polls }
      if (last !== null) figures.push((now.cpu - last.cpu) / (now.polls - last.polls))
      last = now
      if (figures.length === runs) stop.abort()
    },
  })
  return figures
}

/** What the timer alone costs, waking an idle processor: a part of the figure above that is no poll. */
async function measureEmptyTimer(): Promise<number[]> {
  const figures: number[] = []
  for (let run = 0; run < runs; run++) {
    const before = cpuUs()
    for (let i = 0; i < 20; i++) await new Promise(resolve => setTimeout(resolve, 50))
    figures.push((cpuUs() - before) / 20)
  }
  return figures
}

async function measureHere(): Promise<void> {
  const close = await openConnections(sockets)
  console.log(`  back to back:    ${describe(measureBackToBack())}`)
  console.log(`  agent, 50 ms:    ${describe(await measureAgent())}`)
  console.log(`  its timer alone: ${describe(await measureEmptyTimer())}`)
  close()
}

/** In a network namespace of its own, so that only our sockets are in the table. 0 buckets: the machine's hash is shared. */
function measureInNamespace(buckets: number): void {
  const before = readFileSync(CHILD_HASH, 'utf8')
  const again = [process.execPath, import.meta.filename, '--inside', `--sockets=${sockets}`, `--runs=${runs}`]
  writeFileSync(CHILD_HASH, String(buckets))
  try {
    const up = 'ip link set lo up && exec "$@"'
    const { status } = spawnSync('unshare', ['--net', 'sh', '-c', up, 'sh', ...again], { stdio: 'inherit' })
    if (status !== 0) process.exitCode = 1
  } finally {
    writeFileSync(CHILD_HASH, before)
  }
}

if (values.inside) {
  await measureHere()
} else {
  const cpu = os.cpus()
  const commit = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).stdout.trim()
  const processes = readdirSync('/proc').filter(name => /^\d+$/.test(name)).length
  console.log(`CPU of a poll of ${sockets} TCP sockets; ${cpu.length} x ${cpu[0]?.model}, Linux ${os.release()}`)
  console.log(`Node ${process.version}, commit ${commit}, ${processes} processes, ${new Date().toISOString()}`)
  console.log(
    `this machine's TCP hash, ${readFileSync('/proc/sys/net/ipv4/tcp_ehash_entries', 'utf8').trim()} buckets:`,
  )
  measureInNamespace(0)
  console.log('a TCP hash of ordinary size, 4096 buckets:')
  measureInNamespace(4096)
}
