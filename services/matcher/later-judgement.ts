import type { Judgement } from '#core/session.ts'
import type { SessionFacts } from '#core/session-facts.ts'
import { justThen } from '#core/stages/remote-port.ts'
import { isInferable } from '#core/unknown-cause.ts'

/**
 * Stage C knows who was at a remote end just then, and forgets it: what the stages behind it, or nobody, can say later counts
 * less. Not where it has turned out since that no stage may guess.
 */
export function knewBetter(before: Judgement, now: Judgement, facts: SessionFacts): boolean {
  if (before.stage !== 'C' || before.evidence.reason !== justThen) return false
  return now.label === null ? isInferable(facts, now.unknown_cause) : ['D', 'F', 'N'].includes(now.stage!)
}

/** The part of a judgement that a stage which infers decides. */
export function inferredPart({ label, stage, confidence, unknown_cause, evidence }: Judgement): Partial<Judgement> {
  return { label, stage, confidence, unknown_cause, evidence }
}
