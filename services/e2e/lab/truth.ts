import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { LabeledSession } from '#schemas'
import { ended, type LabNetwork, type Side } from './network.ts'
import type { Program } from './programs.ts'

/** A run that the laboratory started: which program, and the pid that the kernel gave it. */
export interface Run {
  name: string
  pid: number
  /** Base name of the program's file. */
  process: string
}

/** Who truly owns the session; told by the addresses and ports that the laboratory gave out, not by any socket table. */
export class Truth {
  readonly #byRemoteIp = new Map<string, Run>()
  readonly #byLocalPort = new Map<string, Run>()
  readonly #byServerPort = new Map<number, Run>()

  /** Nobody but this run talks to the address. */
  ownsRemote(ip: string, run: Run): void {
    this.#byRemoteIp.set(ip, run)
  }

  /** The run said that it talked to the address from this port. */
  ownsLocal(remoteIp: string, localPort: number, run: Run): void {
    this.#byLocalPort.set(`${remoteIp} ${localPort}`, run)
  }

  /** The run accepts on this port of the host. */
  serves(localPort: number, run: Run): void {
    this.#byServerPort.set(localPort, run)
  }

  ownerOf({ remote_ip, local_port }: LabeledSession): Run | null {
    return (
      this.#byLocalPort.get(`${remote_ip} ${local_port}`) ??
      this.#byRemoteIp.get(remote_ip) ??
      this.#byServerPort.get(local_port ?? -1) ??
      null
    )
  }
}

/** Runs a program on a host to its end. Throws when it did not do what it was to do. */
export async function runProgram(
  network: LabNetwork,
  name: string,
  program: Program,
  onStart: (run: Run) => void,
  host: Side = 'host',
): Promise<Run & { ports: number[] }> {
  const child = network.start(host, program.command, program.args, { stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin!.on('error', () => {}) // a program that ended without reading
  child.stdin!.end(program.input ?? '')
  const run = { name, pid: child.pid!, process: path.basename(program.command) }
  onStart(run)
  const { status, output, errors } = await ended(child)
  if (!(program.statuses ?? [0]).includes(status ?? -1)) throw new Error(`${name} ended with ${status}: ${errors}`)
  return { ...run, ports: [...output.matchAll(/^port (\d+)$/gm)].map(([, port]) => Number(port)) }
}

export interface Scored {
  session: LabeledSession
  truth: Run
  /** Polls of the socket table within the session's packets. */
  polls: number
  verdict: 'right' | 'wrong' | 'unknown'
}

/** Every TCP and UDP session with its truth. Throws for a session that the laboratory did not make. */
export function score(sessions: readonly LabeledSession[], truth: Truth, pollTimesUs: readonly number[]): Scored[] {
  return sessions.flatMap(session => {
    if (session.proto !== 'tcp' && session.proto !== 'udp') return []
    const owner = truth.ownerOf(session)
    if (owner === null || session.host_id === null)
      throw new Error(`not a session that the laboratory made on the host: ${JSON.stringify(session)}`)
    const { first_us, last_us, label } = session
    const polls = pollTimesUs.filter(timeUs => timeUs >= first_us && timeUs <= last_us).length
    // A stage that infers names the program alone.
    const isOwner = label?.pid === owner.pid || (label?.pid === null && session.stage !== 'A')
    const isRight = isOwner && label?.process === owner.process
    return { session, truth: owner, polls, verdict: label === null ? 'unknown' : isRight ? 'right' : 'wrong' }
  })
}

/** One line a program: sessions, how long they lived, and how they were judged. */
export function scoreTable(scored: readonly Scored[]): string {
  const lines = Object.entries(Object.groupBy(scored, ({ truth }) => truth.name)).map(([name, list = []]) => {
    const outcomes = list.map(
      ({ session, verdict }) =>
        `${verdict} ${session.stage ?? session.unknown_cause}${session.label?.pid === null ? ' (name alone)' : ''}`,
    )
    const counted = Object.entries(Object.groupBy(outcomes, outcome => outcome)).map(
      ([outcome, n]) => `${n?.length} ${outcome}`,
    )
    const ms = list.map(({ session }) => Math.round((session.last_us - session.first_us) / 1000))
    return `${name.padEnd(24)} ${String(list.length).padStart(3)}  ${`${Math.min(...ms)}-${Math.max(...ms)} ms`.padEnd(12)}  ${counted.join(', ')}`
  })
  return lines.join('\n')
}

export const readSessions = (file: string): LabeledSession[] => readJsonLines(file) as LabeledSession[]

export const readJsonLines = (file: string): unknown[] =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))

/** When the socket table was polled, microseconds since the epoch, as the log of `proclabel record` tells. */
export const pollTimes = (log: string): number[] =>
  (readJsonLines(log) as { polls?: { time_us: number }[] }[])
    .flatMap(({ polls }) => polls ?? [])
    .map(poll => poll.time_us)
