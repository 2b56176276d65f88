import { createReadStream, createWriteStream, existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { defaultConstants } from '#core/constants.ts'
import type { LabeledSession } from '#schemas'
import type { WindowsEvidence } from '../agent/windows-log-record.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { labelCapture } from './label.ts'
import { openSocketLogs } from './socket-logs.ts'

/** A folder of process_truth: captures, the hosts' event logs, and who owned what (format proclabel-truth-1). */
export interface TruthSet {
  name: string
  log: string
  captures: TruthCapture[]
  /** By host and kind of event: event time less the SYN's capture time, seconds. */
  offsets: Record<string, Partial<Record<TruthKind, { median: number; min: number; max: number }>>>
  /** The programs that any event of the host (a connection, a bind, a listen) names on the session's local port. */
  portUsers: (session: LabeledSession) => ReadonlySet<string>
}

export interface TruthCapture {
  file: string
  /** Events of the same 5-tuple are hours away. */
  trap: boolean
  sessions: TruthSession[]
}

export interface TruthSession {
  proto: string
  a: string
  a_port: number
  b: string
  b_port: number
  first_ts: string
  last_ts: string
  labelled: boolean
  owners: TruthOwner[]
}

/** A connection has `src` and `dst`, a bind or listen `lport`. */
interface TruthEvent {
  host: string
  image: string
  proto: string
  src?: [string, number]
  dst?: [string, number]
  lport?: number
}

/** Who owned one end, and which logs say so. */
export interface TruthOwner {
  side: 'a' | 'b'
  host: string
  pid: number
  image: Partial<Record<TruthKind, string>>
}

export type TruthKind = 'sysmon3' | 'wfp5156'

export const truthKinds: Readonly<Record<WindowsEvidence, TruthKind>> = { sysmon: 'sysmon3', security: 'wfp5156' }

/** Every set below `root`, in order of name. */
export function readTruthSets(root: string): TruthSet[] {
  const folders = readdirSync(root).map(name => path.join(root, name))
  return folders.filter(folder => existsSync(path.join(folder, 'truth.json'))).map(readTruthSet)
}

function readTruthSet(folder: string): TruthSet {
  const truth = JSON.parse(readFileSync(path.join(folder, 'truth.json'), 'utf8'))
  return {
    name: path.basename(folder),
    log: path.join(folder, 'host-log.jsonl.gz'),
    captures: truth.captures.map((capture: { capture: string; trap?: string; truth: TruthSession[] }) => ({
      file: path.join(folder, capture.capture),
      trap: capture.trap !== undefined,
      sessions: capture.truth,
    })),
    offsets: truth.observed_event_minus_syn_s,
    portUsers: ({ host_id, proto, local_ip, local_port }) => {
      const isHere = ([ip, port]: [string, number]) => ip === local_ip && port === local_port
      const users = (truth.network_events as TruthEvent[]).filter(
        event =>
          event.host === host_id &&
          event.proto === proto &&
          (event.src ? isHere(event.src) || isHere(event.dst!) : event.lport === local_port),
      )
      return new Set(users.map(({ image }) => programOf(image)))
    },
  }
}

/** Labels a capture as `proclabel label --sockets LOG --evidence EVIDENCE` does. */
export async function labelWithLog(file: string, log: string, evidence: WindowsEvidence): Promise<LabeledSession[]> {
  const sessions: LabeledSession[] = []
  const packets = await openCapture(file)
  const logs = await openSocketLogs([log], evidence)
  const sink = (session: LabeledSession) => void sessions.push(session)
  await labelCapture({ packets, logs, constants: defaultConstants, sensorId: 'test', sink })
  await packets.close()
  return sessions
}

const timeFields = new Set(['EventTime', 'EventReceivedTime', '@timestamp', 'UtcTime', 'TimeCreated'])
const timeText = /^(\d{4}-\d\d-\d\d)([ T])(\d\d:\d\d:\d\d)(?:\.(\d+))?(.*)$/

/**
 * Writes the log as a host whose clock is `shiftUs` ahead would have written it: every time of every record moved, in the
 * format and to the fineness that it had.
 */
export async function shiftLog(log: string, shiftUs: number, out: string): Promise<void> {
  const input = createReadStream(log).pipe(createGunzip())
  await pipeline(
    input,
    async function* (chunks) {
      let text = ''
      for await (const chunk of chunks) text += chunk
      for (const line of text.split('\n')) if (line !== '') yield `${shiftLine(line, shiftUs)}\n`
    },
    createWriteStream(out),
  )
}

function shiftLine(line: string, shiftUs: number): string {
  const record = JSON.parse(line)
  for (const field of timeFields) {
    if (typeof record[field] === 'string') record[field] = shiftTime(record[field], shiftUs)
  }
  return JSON.stringify(record)
}

function shiftTime(text: string, shiftUs: number): string {
  const match = timeText.exec(text)
  if (!match) throw new Error(`no time: ${text}`)
  const [, date, separator, time, fraction = '', zone] = match
  const ms = Date.parse(`${date}T${time}.${fraction.slice(0, 3).padEnd(3, '0')}Z`) + shiftUs / 1000
  const [newDate, newTime] = new Date(ms).toISOString().split('T') as [string, string]
  // toISOString: hh:mm:ss.mmmZ; finer digits stay as they were.
  const newFraction = fraction === '' ? '' : `.${(newTime.slice(9, 12) + fraction.slice(3)).slice(0, fraction.length)}`
  return `${newDate}${separator}${newTime.slice(0, 8)}${newFraction}${zone}`
}

/** One label held against truth, or the want of one. */
export interface TruthVerdict {
  session: LabeledSession
  /**
   * right: truth names this owner, or another event of the host names this program on this port. wrong: truth names another.
   * missed: no label, though the log that was used names the owner. untold: a label where no log names anyone.
   */
  verdict: 'right' | 'wrong' | 'missed' | 'untold' | 'unknown'
  /** Who truth says it is, as `name:pid`; null where it does not say. */
  truly: string | null
}

/** Holds the record of each monitored end of a session against truth. */
export function judgeLabels(
  sessions: readonly LabeledSession[],
  set: TruthSet,
  capture: TruthCapture,
  kind: TruthKind,
): TruthVerdict[] {
  return sessions.map(session => {
    const owner = findOwner(session, capture)
    const truly = owner ? `${[...namesOf(owner)].join('|')}:${owner.pid}` : null
    return { session, verdict: judge(session, set, owner, kind), truly }
  })
}

function judge(
  session: LabeledSession,
  set: TruthSet,
  owner: TruthOwner | null,
  kind: TruthKind,
): TruthVerdict['verdict'] {
  const { label, stage } = session
  if (label === null) return owner?.image[kind] === undefined ? 'unknown' : 'missed'
  const name = label.process.toLowerCase()
  if (owner) {
    // An inferred label names the program alone.
    const isPid = stage === 'A' ? label.pid === owner.pid : label.pid === null || label.pid === owner.pid
    return isPid && namesOf(owner).has(name) ? 'right' : 'wrong'
  }
  const seen = set.portUsers(session)
  if (seen.size === 0) return 'untold'
  return seen.has(name) ? 'right' : 'wrong'
}

/** The owner that truth names for the session's local end; null where it names none. */
function findOwner(session: LabeledSession, { sessions }: TruthCapture): TruthOwner | null {
  for (const known of sessions) {
    if (!known.labelled || !isSame(session, known)) continue
    const owner = known.owners.find(({ host, side }) => host === session.host_id && isAt(side, session, known))
    if (owner) return owner
  }
  return null
}

/** Owners that the log names and no record has: each should have had a session. */
export function ownersWithoutSession(
  sessions: readonly LabeledSession[],
  { sessions: known }: TruthCapture,
  kind: TruthKind,
): string[] {
  return known.flatMap(truth =>
    (truth.labelled ? truth.owners : [])
      .filter(({ image }) => image[kind] !== undefined)
      .filter(
        ({ host, side }) =>
          !sessions.some(session => session.host_id === host && isSame(session, truth) && isAt(side, session, truth)),
      )
      .map(({ host }) => `${host} ${truth.proto} ${truth.a}:${truth.a_port} ${truth.b}:${truth.b_port}`),
  )
}

const toUs = (seconds: string): number => Math.round(Number(seconds) * 1e6)
const programOf = (image: string): string => image.split('\\').at(-1)!.toLowerCase()
const namesOf = ({ image }: TruthOwner): ReadonlySet<string> => new Set(Object.values(image).map(programOf))

function isSame(session: LabeledSession, { proto, a, a_port, b, b_port, first_ts, last_ts }: TruthSession): boolean {
  const { local_ip, local_port, remote_ip, remote_port, first_us, last_us } = session
  const ends = [`${local_ip} ${local_port}`, `${remote_ip} ${remote_port}`]
  return (
    session.proto === proto &&
    ends.includes(`${a} ${a_port}`) &&
    ends.includes(`${b} ${b_port}`) &&
    first_us <= toUs(last_ts) &&
    last_us >= toUs(first_ts)
  )
}

function isAt(side: 'a' | 'b', session: LabeledSession, { a, a_port, b, b_port }: TruthSession): boolean {
  const [ip, port] = side === 'a' ? [a, a_port] : [b, b_port]
  return session.local_ip === ip && session.local_port === port
}

/** A session and its label in a line, for messages. */
export function wordsOf({ session, truly }: TruthVerdict): string {
  const { host_id, proto, local_ip, local_port, remote_ip, remote_port, stage, label, unknown_cause, evidence } =
    session
  const what = label ? `${stage} ${label.process}:${label.pid}` : `unknown ${unknown_cause}`
  const ends = `${host_id} ${proto} ${local_ip}:${local_port} ${remote_ip}:${remote_port}`
  return `${ends}: ${what} (${evidence.reason}), truly ${truly}`
}
