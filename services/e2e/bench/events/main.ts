/**
 * What kernel events cost: the processes they are of, a connection or a datagram, and who reads them every 50 ms. Without, by eBPF and
 * by tracepoints, in turn. Needs root and a C++ compiler.
 *
 * `node services/e2e/bench/events/main.ts [--runs 5]`
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { linuxMechanisms, openLinuxEvents } from '../../../agent/linux-events.ts'
import { machine, spread } from '../measure.ts'

const { values } = parseArgs({ options: { runs: { type: 'string', default: '5' } } })
const kinds = { tcp: 20_000, udp: 500_000, 'connected-udp': 500_000 }
const readEveryMs = 50

interface Cost {
  /** Of the process that makes the traffic, for one connection or datagram, µs of CPU. */
  loadUs: number
  /** Of this process, for all of it, ms of CPU. */
  readerMs: number
  events: number
  lost: number
}

async function measure(load: string, kind: keyof typeof kinds, mechanism: string | null): Promise<Cost> {
  const source = mechanism === null ? null : openLinuxEvents([mechanism]).source
  if (mechanism !== null && source === null) throw new Error(`${mechanism} cannot be had here`)
  const cost = { loadUs: 0, readerMs: 0, events: 0, lost: 0 }
  const read = () => {
    const reading = source?.read()
    cost.events += reading?.events.length ?? 0
    cost.lost += reading?.lost ?? 0
  }
  source?.read()
  await sleep(200)
  const before = process.cpuUsage()
  const timer = setInterval(read, readEveryMs)
  const child = spawn(load, [kind, String(kinds[kind])], { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
  clearInterval(timer)
  read()
  const { user, system } = process.cpuUsage(before)
  source?.close()
  return { ...cost, loadUs: Number(printed), readerMs: (user + system) / 1000 }
}

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-bench-events-'))
try {
  const load = path.join(folder, 'load')
  const source = fileURLToPath(new URL('load.cc', import.meta.url))
  execFileSync(process.env.CXX ?? 'g++', ['-std=c++20', '-O2', source, '-o', load])
  console.log(machine())
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    const mechanisms = [null, ...linuxMechanisms]
    const costs: Cost[][] = mechanisms.map(() => [])
    for (let run = 0; run < Number(values.runs); run++)
      for (const [i, mechanism] of mechanisms.entries()) costs[i]!.push(await measure(load, kind, mechanism))
    for (const [i, mechanism] of mechanisms.entries()) {
      const of = (field: keyof Cost) => costs[i]!.map(cost => cost[field])
      const words = `${spread(of('loadUs'))} µs each; reader ${spread(of('readerMs'), 0)} ms, ${spread(of('events'), 0)} events, ${spread(of('lost'), 0)} lost`
      console.log(`${kind} × ${kinds[kind]}, ${mechanism ?? 'no events'}: ${words}`)
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}
