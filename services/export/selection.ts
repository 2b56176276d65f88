import type { Stage } from '#schemas'
import type { TableSession } from './table-session.ts'

/** Which sessions belong into a dataset; null asks for nothing. */
export interface Selection {
  /** Labels of stages that infer must have this confidence at least; stage A, which states none, always has. */
  minConfidence: number | null
  /** Only sessions labeled by these. */
  stages: readonly Stage[] | null
  /** First packet at this moment or later, and before that; microseconds since the epoch. */
  sinceUs: number | null
  untilUs: number | null
}

export const selects =
  ({ minConfidence, stages, sinceUs, untilUs }: Selection) =>
  ({ stage, confidence, first_us }: Pick<TableSession, 'stage' | 'confidence' | 'first_us'>): boolean => {
    if (sinceUs !== null && first_us < sinceUs) return false
    if (untilUs !== null && first_us >= untilUs) return false
    if (stages !== null && (stage === null || !stages.includes(stage))) return false
    return minConfidence === null || stage === 'A' || (confidence ?? -1) >= minConfidence
  }
