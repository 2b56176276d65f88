/**
 * What the users of one host do: programs one after the other, several at a time, from the host's own namespace. Argument: a
 * `DriverTask` as JSON. Says `ready`, begins when it reads something, and writes a `DriverRun` a line.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ended } from '../../e2e/lab/network.ts'
import { Random } from '../day/random.ts'
import { kinds, type Place } from './mix.ts'

export interface DriverTask {
  place: Omit<Place, 'random' | 'neighbour'>
  /** Addresses of the other hosts. */
  neighbours: readonly (readonly [string, string])[]
  seconds: number
  atOnce: number
  seed: number
}

/** One run of a program, when it has ended. */
export interface DriverRun {
  kind: string
  /** What went wrong; null when it did what it was to do. */
  problem: string | null
  /** What it said of its own sockets. */
  told: Told[]
}

export interface Told {
  proto: string
  local: [string, number]
  remote: [string, number]
  pid: number
  /** Seconds since the epoch. */
  time: number
}

const weights = kinds.map(kind => [kind, kind.weight] as const)

async function work({ place, neighbours }: DriverTask, random: Random, endMs: number): Promise<void> {
  while (performance.now() < endMs) {
    const kind = random.weighted(weights)
    const { command, args, input, statuses } = kind.program({ ...place, random, neighbour: random.pick(neighbours) })
    const child = spawn(command, args, { stdio: 'pipe' })
    child.stdin.on('error', () => {}) // a program that ended without reading
    child.stdin.end(input ?? '')
    const { status, output, errors } = await ended(child)
    const isDone = (statuses ?? [0]).includes(status ?? -1)
    const told = output.split('\n').filter(line => line.startsWith('{'))
    const run: DriverRun = {
      kind: kind.name,
      problem: isDone ? null : `status ${status}: ${errors.trim()}`,
      told: told.map(line => JSON.parse(line)),
    }
    console.log(JSON.stringify(run))
    await sleep(random.below(300))
  }
}

const task: DriverTask = JSON.parse(process.argv[2]!)
console.log('ready')
await once(process.stdin, 'data')
process.stdin.destroy()
const endMs = performance.now() + 1000 * task.seconds
await Promise.all(Array.from({ length: task.atOnce }, (_, i) => work(task, new Random(task.seed * 100 + i), endMs)))
