/**
 * What the users of one host do: daemons all the time, long connections, and programs one after the other, several at a time,
 * from the host's own namespace. Argument: a `DriverTask` as JSON. Says `ready`, begins when it reads something, and writes a
 * `DriverRun` a line.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ended } from '../../e2e/lab/network.ts'
import type { Program } from '../../e2e/lab/programs.ts'
import { Random } from '../day/random.ts'
import { daemons, lasting } from './daemons.ts'
import { kinds } from './mix.ts'
import type { Kind, Place } from './place.ts'

export interface DriverTask {
  place: Omit<Place, 'random' | 'neighbour' | 'leftMs'>
  /** Addresses of the other hosts. */
  neighbours: readonly (readonly [string, string])[]
  /** This host's place among them. */
  host: number
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

/** Long connections at the same time. */
const lastingAtOnce = 2
/** After the last start programs have so long to end. */
const graceMs = 15_000

const task: DriverTask = JSON.parse(process.argv[2]!)
const canRun = ({ needs }: { needs?: Kind['needs'] }): boolean => needs === undefined || needs in task.place.commands

function placeFor(random: Random, endMs: number): Place {
  return { ...task.place, random, neighbour: random.pick(task.neighbours), leftMs: endMs - performance.now() }
}

/** `endMs`: when it is ended if it still runs, of which `isDaemon` makes no failure. */
async function runProgram(kind: string, program: Program, endMs: number, isDaemon = false): Promise<void> {
  const { command, args, input, statuses } = program
  const child = spawn(command, args, { stdio: 'pipe', detached: true })
  child.stdin.on('error', () => {}) // a program that ended without reading
  child.stdin.end(input ?? '')
  const outcome = ended(child)
  const late = setTimeout(() => endGroup(child), Math.max(0, endMs - performance.now()))
  const { status, output, errors } = await outcome
  clearTimeout(late)
  const isDone = (statuses ?? [0]).includes(status ?? -1) || (isDaemon && performance.now() >= endMs)
  const told = output.split('\n').filter(line => line.startsWith('{'))
  const problem = isDone ? null : `status ${status}: ${errors.trim().slice(-500)}`
  const run: DriverRun = { kind, problem, told: told.map(line => JSON.parse(line)) }
  console.log(JSON.stringify(run))
}

/** A browser is many processes. */
function endGroup(child: ChildProcess): void {
  try {
    process.kill(-child.pid!, 'SIGKILL')
  } catch {
    // It has just ended.
  }
}

async function work(list: readonly Kind[], random: Random, endMs: number): Promise<void> {
  const weights = list.filter(canRun).map(kind => [kind, kind.weight] as const)
  while (performance.now() < endMs) {
    const kind = random.weighted(weights)
    await runProgram(kind.name, kind.program(placeFor(random, endMs)), endMs + graceMs)
    await sleep(random.below(600))
  }
}

console.log('ready')
await once(process.stdin, 'data')
process.stdin.destroy()
const endMs = performance.now() + 1000 * task.seconds
const randoms = Array.from({ length: task.atOnce + lastingAtOnce + 1 }, (_, i) => new Random(task.seed * 100 + i))
const [daemonRandom, ...workers] = randoms
await Promise.all([
  ...daemons
    .filter(daemon => canRun(daemon) && daemon.on.includes(task.host))
    .map(({ name, program }) => runProgram(name, program(placeFor(daemonRandom!, endMs)), endMs, true)),
  ...workers.map((random, i) => work(i < lastingAtOnce ? lasting : kinds, random, endMs)),
])
