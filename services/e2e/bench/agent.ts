/**
 * CPU and memory of a whole `proclabel agent` with a real broker: polls, Avro, the Kafka client. By polls alone at rest, with a
 * connection in every period, closed at once or held for a second, and with kernel events under 2,000 connections a second. In a
 * fresh network namespace, with the broker and a TCP hash of this machine's size or an ordinary one. Needs root.
 *
 * `node services/e2e/bench/agent.ts [--sockets 500] [--seconds 20]`
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { kafkaOf } from '#shared/bus/kafka-fixture.ts'
import { applyTopics } from '../../cli/apply-topics.ts'
import { startStack } from '../stack/stack.ts'
import { openConnections, startLoad } from './connections.ts'
import { runInNamespaces } from './namespace.ts'
import { cpuSecondsOf } from './pipeline/processes.ts'

const { values } = parseArgs({
  options: {
    sockets: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '20' },
    inside: { type: 'boolean', default: false },
  },
})
const command = fileURLToPath(new URL('../../cli/proclabel.mjs', import.meta.url))
/** Until all is compiled that is compiled. */
const warmUpMs = 15_000

interface Case {
  name: string
  events: 'none' | 'best'
  /** Connections a second, and how long each is held. */
  load?: { rate: number; holdS?: number }
}

const cases: Case[] = [
  { name: 'polls, at rest', events: 'none' },
  { name: 'polls, 20 connections/s', events: 'none', load: { rate: 20 } },
  { name: 'polls, 20 connections/s held for 1 s', events: 'none', load: { rate: 20, holdS: 1 } },
  { name: 'kernel events, 20 connections/s', events: 'best', load: { rate: 20 } },
  { name: 'kernel events, 2,000 connections/s', events: 'best', load: { rate: 2000 } },
]

/** What a second of an agent costs, ms of CPU, and its resident memory, MiB. */
async function measure(brokers: readonly string[], { name, events, load }: Case): Promise<void> {
  const spool = mkdtempSync(path.join(os.tmpdir(), 'proclabel-bench-'))
  const close = await openConnections(Number(values.sockets))
  const running = load && (await startLoad(load.rate, load.holdS))
  const args = ['--brokers', brokers.join(), '--spool', spool, '--events', events, '--namespaces', 'own']
  const agent = spawn(process.execPath, [command, 'agent', ...args, '--log-level', 'error'], { stdio: 'inherit' })
  await sleep(warmUpMs)
  const figures: number[] = []
  for (let i = 0; i < 5; i++) {
    const before = cpuSecondsOf(agent.pid!)
    const beganMs = performance.now()
    await sleep((Number(values.seconds) * 1000) / 5)
    figures.push(((cpuSecondsOf(agent.pid!) - before) * 1e6) / (performance.now() - beganMs))
  }
  const residentKiB = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${agent.pid}/status`, 'utf8'))![1])
  agent.kill('SIGTERM')
  await once(agent, 'exit')
  const rate = await running?.stop()
  close()
  rmSync(spool, { recursive: true })
  const [lowest, , median, , highest] = figures.toSorted((a, b) => a - b).map(ms => ms.toFixed(1))
  const told = rate === undefined ? '' : `, ${rate} connections/s`
  console.log(
    `  ${name.padEnd(38)} ${median} ms/s (${lowest} to ${highest}), ${Math.round(residentKiB / 1024)} MiB${told}`,
  )
}

async function measureHere(): Promise<void> {
  const stack = await startStack({ kafka: true })
  try {
    const admin = kafkaOf(stack.kafka!.brokers).admin()
    await admin.connect()
    await applyTopics(admin, { partitions: 4, replication: 1 })
    await admin.disconnect()
    for (const one of cases) await measure(stack.kafka!.brokers, one)
  } finally {
    await stack.stop()
  }
}

if (values.inside) await measureHere()
else runInNamespaces(import.meta.filename)
