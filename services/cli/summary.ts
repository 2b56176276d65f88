import type { LabeledSession } from '#schemas'
import { count, percent, table } from './text-table.ts'

/** What the report needs of a session. */
export type SummaryRow = Pick<
  LabeledSession,
  'host_id' | 'proto' | 'stage' | 'unknown_cause' | 'confidence' | 'bytes_in' | 'bytes_out'
> & { process: string | null }

export const summaryRow = (session: LabeledSession): SummaryRow => ({
  host_id: session.host_id,
  proto: session.proto,
  stage: session.stage,
  unknown_cause: session.unknown_cause,
  confidence: session.confidence,
  bytes_in: session.bytes_in,
  bytes_out: session.bytes_out,
  process: session.label?.process ?? null,
})

const stages: Record<NonNullable<LabeledSession['stage']>, string> = {
  A: 'direct match',
  A2: 'rule store',
  B: '5-tuple cache',
  C: 'remote IP and port cache',
  D: 'remote IP statistics',
  F: 'full socket log search',
  N: 'server name',
}
const causes: Record<NonNullable<LabeledSession['unknown_cause']>, string> = {
  'no-agent': 'no socket data of this host',
  'agent-gap': 'socket data is missing at that time',
  'capture-gap': 'packets of it were lost',
  'too-short': 'over before a poll could see it',
  ambiguous: 'several programs had the socket',
  nat: 'forwarded for containers, VMs or others',
  kernel: "the kernel's own: resets, SMB, tunnels",
  refused: 'nobody was there to accept it',
  'not-tcp-udp': 'a protocol without ports',
  'no-socket': 'nobody owned the port: raw socket or forged',
}
const postStages = new Set(['F', 'N'])

/** Counts sessions by process, stage and cause, and renders the report as text. */
export class Summary {
  #sessions = 0
  #monitored = 0
  #labeled = 0
  readonly #protocols = new Map<string, number>()
  readonly #stages = new Map<string, { sessions: number; confidence: number; measured: number }>()
  readonly #causes = new Map<string, number>()
  readonly #processes = new Map<string, { sessions: number; bytes: number }>()

  /** Sessions of monitored hosts. */
  get monitored(): number {
    return this.#monitored
  }

  add(row: SummaryRow): void {
    this.#count(row, 1)
  }

  /** So many sessions of a protocol that are no monitored host's. */
  addUnmonitored(proto: string, sessions: number): void {
    this.#sessions += sessions
    increase(this.#protocols, proto, sessions)
  }

  /** Takes back a row that was added, as when a later revision of its session replaces it. */
  remove(row: SummaryRow): void {
    this.#count(row, -1)
  }

  #count(row: SummaryRow, times: 1 | -1): void {
    this.#sessions += times
    increase(this.#protocols, row.proto, times)
    if (row.host_id !== null) this.#monitored += times
    if (row.process === null || row.stage === null) {
      if (row.host_id !== null) increase(this.#causes, row.unknown_cause ?? 'not judged', times)
      return
    }
    this.#labeled += times
    const stage = this.#stages.get(row.stage) ?? { sessions: 0, confidence: 0, measured: 0 }
    stage.sessions += times
    if (row.confidence !== null) {
      stage.measured += times
      stage.confidence += times * row.confidence
    }
    this.#stages.set(row.stage, stage)
    const process = this.#processes.get(row.process) ?? { sessions: 0, bytes: 0 }
    process.sessions += times
    process.bytes += times * (row.bytes_in + row.bytes_out)
    if (process.sessions === 0) this.#processes.delete(row.process)
    else this.#processes.set(row.process, process)
  }

  /** The report as text, with so many of the processes that have most sessions. */
  render(processesShown = 20): string {
    const tables = this.sections(processesShown).map(sectionText)
    return [this.headline().join('\n'), ...tables].join('\n\n')
  }

  /** What stands above the tables, a line each. */
  headline(): string[] {
    if (this.#sessions === 0) return ['Sessions  0']
    const protocols = sorted(this.#protocols, n => n).map(([name, n]) => `${protocolName(name)} ${count(n)}`)
    const lines = [`Sessions  ${count(this.#sessions)}  (${protocols.join(', ')})`]
    if (this.#monitored === 0)
      return [...lines, 'No session is of a monitored host: give a socket log to have them labeled.']
    const post = [...this.#stages].reduce((sum, [name, { sessions }]) => sum + (postStages.has(name) ? sessions : 0), 0)
    if (this.#monitored < this.#sessions)
      lines.push(`  of monitored hosts  ${count(this.#monitored)}  (the rates below are of these)`)
    lines.push(
      `Labeled   ${count(this.#labeled)}  ${percent(this.#labeled, this.#monitored)}` +
        `  (before post-processing ${percent(this.#labeled - post, this.#monitored)})`,
    )
    return lines
  }

  /** Its tables; none without sessions of monitored hosts. */
  sections(processesShown: number): Section[] {
    if (this.#monitored === 0) return []
    let upTo = 0
    const stageRows = Object.entries(stages).map(([name, title]) => {
      const { sessions, confidence, measured } = this.#stages.get(name) ?? { sessions: 0, confidence: 0, measured: 0 }
      upTo += sessions
      const precision =
        measured === 0 ? (name === 'A' ? 'not estimated' : 'too few samples') : percent(confidence, measured)
      return [
        ...[name, title, count(sessions), percent(sessions, this.#monitored), percent(upTo, this.#monitored)],
        sessions === 0 ? '' : precision,
      ]
    })
    const processRows = sorted(this.#processes, ({ sessions }) => sessions)
      .slice(0, processesShown)
      .map(([name, { sessions, bytes }]) => [name, count(sessions), percent(sessions, this.#labeled), count(bytes)])
    const causeRows = sorted(this.#causes, n => n).map(([cause, n]) => [
      ...[cause, (causes as Record<string, string>)[cause] ?? '', count(n), percent(n, this.#monitored)],
    ])
    const hidden = this.#processes.size - processesShown
    return [
      {
        title: 'Match rate by stage',
        note: 'F and N are post-processing.',
        head: ['Stage', '', 'Sessions', 'Share', 'Up to here', 'Precision at least'],
        rows: stageRows,
      },
      {
        title: 'Processes',
        note: hidden > 0 ? `… and ${count(hidden)} more` : null,
        head: ['Process', 'Sessions', 'Share', 'Bytes'],
        rows: processRows,
      },
      {
        title: 'Sessions without a label',
        note: null,
        head: ['Unknown because', '', 'Sessions', 'Share'],
        rows: causeRows,
      },
    ].filter(({ rows }) => rows.length > 0)
  }
}

/** A table of the report: on the terminal, and on the page. */
export interface Section {
  title: string
  /** A line below it; null for none. */
  note: string | null
  head: string[]
  rows: string[][]
}

export const sectionText = ({ head, rows, note }: Section): string =>
  `${table(head, rows)}${note === null ? '' : `\n${note}`}`

export function increase(counts: Map<string, number>, key: string, by: number): void {
  const now = (counts.get(key) ?? 0) + by
  if (now === 0) counts.delete(key)
  else counts.set(key, now)
}

/** IP protocols that a session may have by their number alone (IANA's registry). */
const numbered: Record<string, string> = { 2: 'IGMP', 47: 'GRE', 50: 'ESP', 58: 'ICMPv6', 89: 'OSPF', 132: 'SCTP' }
const protocolName = (proto: string): string => (/^\d/.test(proto) ? (numbered[proto] ?? `protocol ${proto}`) : proto)

/** Largest first; equal ones by name, so that the same sessions give the same report. */
export const sorted = <T>(map: Map<string, T>, size: (value: T) => number): [string, T][] =>
  [...map].sort((a, b) => size(b[1]) - size(a[1]) || (a[0] < b[0] ? -1 : 1))
