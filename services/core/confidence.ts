import type { Stage } from '#schemas'
import type { MatchConstants } from './constants.ts'
import type { SessionFacts } from './session-facts.ts'

export type InferringStage = Exclude<Stage, 'A'>

/** How often a stage was right on sessions that stage A knows. Absolute counts: sums over hosts are sums of these. */
export interface ShadowScore {
  stage: InferringStage
  /** See `stratumOf`. */
  stratum: string
  right: number
  total: number
  /** The same for sessions that events saw and polls missed. */
  missedRight: number
  missedTotal: number
}

/** Normal quantile of a two-sided interval of 95 %. */
const z95 = 1.959964

/** Lower end of the Wilson score interval (E. B. Wilson, 1927) at 95 %; 0 without samples. */
export function wilsonLowerBound(right: number, total: number): number {
  if (total === 0) return 0
  const share = right / total
  const z2 = z95 * z95
  const middle = share + z2 / (2 * total)
  const spread = z95 * Math.sqrt((share * (1 - share) + z2 / (4 * total)) / total)
  return Math.max(0, (middle - spread) / (1 + z2 / total))
}

/**
 * Duration class, protocol, direction and the reason of an answer, as `brief tcp out: one program dominates the remote address`:
 * a stage is right about some kinds of sessions, and for some of its reasons, more often than for others.
 */
export function stratumOf(facts: SessionFacts, reason: string, constants: MatchConstants): string {
  const duration = facts.lastUs - facts.firstUs < constants.briefUs ? 'brief' : 'lasting'
  return `${duration} ${facts.proto} ${facts.direction}: ${reason}`
}

/**
 * Shadow scores of one host. Sessions that events saw and polls missed resemble the ones that stage A misses: once there are
 * enough of them they alone count, before that all do.
 */
export class ShadowScores {
  readonly #constants: MatchConstants
  readonly #scores = new Map<InferringStage, Map<string, ShadowScore>>()

  constructor(constants: MatchConstants) {
    this.#constants = constants
  }

  /** See Stored. */
  state(): ReadonlyMap<InferringStage, Map<string, ShadowScore>> {
    return this.#scores
  }

  restore(scores: ReadonlyMap<InferringStage, Map<string, ShadowScore>>): void {
    for (const [stage, strata] of scores) this.#scores.set(stage, strata)
  }

  add(stage: InferringStage, stratum: string, isRight: boolean, missedByPolls: boolean): void {
    const score = this.#score(stage, stratum)
    score.total++
    if (isRight) score.right++
    if (!missedByPolls) return
    score.missedTotal++
    if (isRight) score.missedRight++
  }

  /** Adds what others have counted. */
  addScores(scores: readonly ShadowScore[]): void {
    for (const { stage, stratum, right, total, missedRight, missedTotal } of scores) {
      const score = this.#score(stage, stratum)
      score.right += right
      score.total += total
      score.missedRight += missedRight
      score.missedTotal += missedTotal
    }
  }

  /** Lower bound of the stage's precision on such sessions; null below the sample limit. */
  confidence(stage: InferringStage, stratum: string): number | null {
    const counts = this.#counts(stage, stratum)
    return counts ? wilsonLowerBound(counts.right, counts.total) : null
  }

  /** Measured too often wrong on such sessions. */
  mustAbstain(stage: InferringStage, stratum: string): boolean {
    const counts = this.#counts(stage, stratum)
    return counts !== null && counts.right / counts.total < this.#constants.precisionFloor
  }

  scores(): readonly ShadowScore[] {
    return [...this.#scores.values()].flatMap(strata => [...strata.values()])
  }

  #score(stage: InferringStage, stratum: string): ShadowScore {
    let strata = this.#scores.get(stage)
    if (!strata) {
      strata = new Map()
      this.#scores.set(stage, strata)
    }
    let score = strata.get(stratum)
    if (!score) {
      score = { stage, stratum, right: 0, total: 0, missedRight: 0, missedTotal: 0 }
      strata.set(stratum, score)
    }
    return score
  }

  #counts(stage: InferringStage, stratum: string): { right: number; total: number } | null {
    const score = this.#scores.get(stage)?.get(stratum)
    if (!score) return null
    const { confidenceSamples } = this.#constants
    if (score.missedTotal >= confidenceSamples) return { right: score.missedRight, total: score.missedTotal }
    return score.total >= confidenceSamples ? score : null
  }
}
