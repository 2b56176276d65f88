import { readFileSync } from 'node:fs'
import type { LabeledSession } from '#schemas'

/** A process that had one session, as it or whoever it talked with said, and not any socket table. */
export interface ProcessRun {
  role: string
  proto: 'tcp' | 'udp'
  family: 4 | 6
  local_port: number
  remote_port: number
  pid: number
  /** Base name of the program's file. */
  name: string
}

/** What processes of ../short/generator.cc said of themselves. */
export const readRuns = (file: string): (ProcessRun & { life_us: number })[] =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))

/** By which a run and its session are found. */
export const runKey = (proto: string, family: number, localPort: number | null, remotePort: number | null): string =>
  [proto, family, localPort, remotePort].join(' ')

export const sessionKey = ({ proto, local_ip, local_port, remote_port }: LabeledSession): string =>
  runKey(proto, local_ip.includes(':') ? 6 : 4, local_port, remote_port)

/** How runs were labeled. */
export interface RunScore {
  right: number
  /** Without a label, or with no more than the name of it. */
  missed: { run: ProcessRun; session: LabeledSession | undefined }[]
  wrong: { run: ProcessRun; session: LabeledSession }[]
}

export function scoreRuns(runs: readonly ProcessRun[], sessions: readonly LabeledSession[]): RunScore {
  const byPorts = new Map(sessions.map(session => [sessionKey(session), session]))
  const scored: RunScore = { right: 0, missed: [], wrong: [] }
  for (const run of runs) {
    const session = byPorts.get(runKey(run.proto, run.family, run.local_port, run.remote_port))
    const label = session?.label
    if (!label) scored.missed.push({ run, session })
    else if (label.process !== run.name || (label.pid !== null && label.pid !== run.pid))
      scored.wrong.push({ run, session })
    else if (label.pid === null) scored.missed.push({ run, session })
    else scored.right++
  }
  return scored
}

export const scoreWords = ({ right, missed, wrong }: RunScore): string => {
  const all = right + missed.length + wrong.length
  const byRole = new Map<string, number>()
  for (const { run } of missed) byRole.set(run.role, (byRole.get(run.role) ?? 0) + 1)
  const roles = [...byRole].map(([role, count]) => `${count} ${role}`).join(', ')
  return `${right} of ${all} right (${((100 * right) / all).toFixed(2)} %), ${wrong.length} wrong, ${missed.length} unknown${roles && ` (${roles})`}`
}
