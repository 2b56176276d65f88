import type { LabeledSession } from '#schemas'
import type { TruthLine, TruthTable } from './truth-line.ts'

/** One record of a session held against its truth. */
export type Verdict = 'right' | 'wrong' | 'unlabeled'

export interface Judged {
  session: LabeledSession
  truth: TruthLine
  verdict: Verdict
}

/** Sessions by what was said of them. */
export interface Tally {
  sessions: number
  labeled: number
  right: number
}

export interface Score {
  /** Sessions with truth, as they were told when they ended. */
  live: Judged[]
  /** The same sessions by their last revision. */
  final: Judged[]
  /** Sessions of which truth says nothing. */
  untold: number
  /** Lines of truth that no session was found for. */
  unseen: number
}

/**
 * An owner is right when its program is, and its process too: a stage that infers names the program alone, and truth may do
 * so. Names are compared without their case, as Windows does.
 */
export function verdictOf({ label }: LabeledSession, { owners }: TruthLine): Verdict {
  if (label === null) return 'unlabeled'
  const name = label.process.toLowerCase()
  const isRight = owners.some(
    ({ process, pid }) => process.toLowerCase() === name && (label.pid === null || pid === null || label.pid === pid),
  )
  return isRight ? 'right' : 'wrong'
}

/** Gathers the records of sessions, of which the first `closed` one and the last revision count. */
export class Scorer {
  readonly #truth: TruthTable
  readonly #live = new Map<string, LabeledSession>()
  readonly #final = new Map<string, LabeledSession>()

  constructor(truth: TruthTable) {
    this.#truth = truth
  }

  add(session: LabeledSession): void {
    const { session_id, revision, state } = session
    const live = this.#live.get(session_id)
    if (state === 'closed' && (!live || live.revision > revision)) this.#live.set(session_id, session)
    const final = this.#final.get(session_id)
    if (!final || final.revision <= revision) this.#final.set(session_id, session)
  }

  score(): Score {
    const score: Score = { live: [], final: [], untold: 0, unseen: 0 }
    const seen = new Set<TruthLine>()
    for (const [id, session] of this.#final) {
      const truth = this.#truth.find(session)
      if (truth === null) {
        score.untold++
        continue
      }
      seen.add(truth)
      const live = this.#live.get(id) ?? session
      score.final.push({ session, truth, verdict: verdictOf(session, truth) })
      score.live.push({ session: live, truth, verdict: verdictOf(live, truth) })
    }
    score.unseen = this.#truth.size - seen.size
    return score
  }
}

export function tally(judged: readonly Judged[]): Tally {
  const labeled = judged.filter(({ verdict }) => verdict !== 'unlabeled')
  const right = labeled.filter(({ verdict }) => verdict === 'right').length
  return { sessions: judged.length, labeled: labeled.length, right }
}

/**
 * The interval that holds a share with 95 % confidence: E. B. Wilson, "Probable inference, the law of succession, and
 * statistical inference", 1927. `[0, 1]` for nothing.
 */
export function wilson(part: number, whole: number): [low: number, high: number] {
  if (whole === 0) return [0, 1]
  const z = 1.959964
  const share = part / whole
  const middle = share + (z * z) / (2 * whole)
  const reach = z * Math.sqrt((share * (1 - share)) / whole + (z * z) / (4 * whole * whole))
  const scale = 1 + (z * z) / whole
  return [Math.max(0, (middle - reach) / scale), Math.min(1, (middle + reach) / scale)]
}

/** Lower bounds, in microseconds, of the classes by which sessions are told apart by their length. */
const lengthClasses: readonly [title: string, fromUs: number][] = [
  ['10 s and more', 10_000_000],
  ['1 s to 10 s', 1_000_000],
  ['100 ms to 1 s', 100_000],
  ['50 ms to 100 ms', 50_000],
  ['5 ms to 50 ms', 5000],
  ['under 5 ms', Number.NEGATIVE_INFINITY],
]

export function lengthClass({ first_us, last_us }: LabeledSession): string {
  return lengthClasses.find(([, fromUs]) => last_us - first_us >= fromUs)![0]
}

/** Lower bounds of the classes of stated confidence. Stage A states none: its labels are a class of their own. */
const confidenceClasses = [0.999, 0.99, 0.95, 0.9, 0.8, 0.5, 0] as const

/** Of the labels with a confidence in a class: how many, what they stated on average, and how many were right. */
export interface CalibrationRow {
  from: number
  labels: number
  stated: number
  right: number
}

export function calibration(judged: readonly Judged[]): CalibrationRow[] {
  const rows = confidenceClasses.map((from): CalibrationRow => ({ from, labels: 0, stated: 0, right: 0 }))
  for (const { session, verdict } of judged) {
    if (verdict === 'unlabeled' || session.confidence === null) continue
    const row = rows.find(({ from }) => session.confidence! >= from)!
    row.labels++
    row.stated += session.confidence
    if (verdict === 'right') row.right++
  }
  for (const row of rows) row.stated /= row.labels
  return rows.filter(({ labels }) => labels > 0)
}
