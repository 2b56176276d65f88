import { readFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { count, table } from '../../cli/text-table.ts'
import { cpuShareOf } from './peers.ts'
import type { AgentRecord } from './recording.ts'

/** How busy the machine was while it was recorded. */
export interface Load {
  cores: number
  /** Of all cores, 0 to 1. */
  busy: number
  /** Processes that ran or wanted to, on average over the last minute. */
  average: number
  /** CPU time of each host's agent in its running time: 1 is a core. */
  agents: [host: string, cpuShare: number][]
}

/** Measures from its making on. */
export class LoadWatch {
  readonly #agents: readonly (readonly [host: string, pid: number])[]
  readonly #startMs = performance.now()
  readonly #start = ticks()

  constructor(agents: readonly (readonly [host: string, pid: number])[]) {
    this.#agents = agents
  }

  read(): Load {
    const { all, idle } = ticks()
    return {
      cores: cpus().length,
      busy: 1 - (idle - this.#start.idle) / (all - this.#start.all),
      average: loadavg()[0]!,
      agents: this.#agents.map(([host, pid]) => [host, cpuShareOf(pid, this.#startMs)]),
    }
  }
}

/** Of all cores since the machine began: proc(5), `stat`. Waiting for a disk is idle. */
function ticks(): { all: number; idle: number } {
  const words = readFileSync('/proc/stat', 'utf8').split('\n')[0]!.trim().split(/\s+/).slice(1, 9).map(Number)
  return { all: words.reduce((sum, one) => sum + one, 0), idle: words[3]! + words[4]! }
}

/** Time between two polls of a host, milliseconds. */
export interface Pace {
  host: string
  polls: number
  median: number
  p95: number
  p99: number
  most: number
}

/** How often the agents truly polled. */
export function paces(said: Iterable<AgentRecord>): Pace[] {
  const times = new Map<string, number[]>()
  for (const { topic, record } of said) {
    if (topic !== 'socket-snapshots') continue
    const known = times.get(record.host_id) ?? []
    times.set(record.host_id, known)
    for (const poll of record.polls) known.push(poll.monotonic_us)
  }
  return Array.from(times, ([host, us]) => {
    us.sort((a, b) => a - b)
    const gaps = us.slice(1).map((at, i) => (at - us[i]!) / 1000)
    gaps.sort((a, b) => a - b)
    const quantile = (share: number): number => gaps[Math.floor(share * (gaps.length - 1))] ?? 0
    return {
      host,
      polls: us.length,
      median: quantile(0.5),
      p95: quantile(0.95),
      p99: quantile(0.99),
      most: quantile(1),
    }
  })
}

/** What a run left in its folder. */
export const readLoad = (folder: string): Load => JSON.parse(readFileSync(`${folder}/load.json`, 'utf8'))

/** Whether the agents had the time they needed: by host, and how busy the machine was. */
export function loadText({ cores, busy, average, agents }: Load, paced: readonly Pace[]): string {
  const cpu = new Map(agents)
  const rows = paced.map(({ host, polls, median, p95, p99, most }) => [
    host,
    count(polls),
    ...[median, p95, p99, most].map(ms => `${ms.toFixed(0)} ms`),
    `${(100 * (cpu.get(host) ?? 0)).toFixed(1)} %`,
  ])
  const machine = `${cores} cores, ${(100 * busy).toFixed(0)} % busy, load ${average.toFixed(1)} at the end`
  return `${machine}\n${table(['Agent', 'Polls', 'Time between, median', '95 %', '99 %', 'longest', 'CPU of a core'], rows)}`
}
