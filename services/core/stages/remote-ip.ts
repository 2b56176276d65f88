import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import { ProgramCounts } from '../program-counts.ts'
import type { SessionFacts } from '../session-facts.ts'
import { type Stored, storedTogether } from '../stored.ts'

/**
 * Stage D: which program owns nearly all sessions with a remote address. What a program opens in one burst counts once: a session
 * that is near a burst in time is stage C's.
 */
export class RemoteIpStatistics {
  readonly #counts: ProgramCounts
  /** By address: who was counted last, and when. */
  readonly #last: BoundedMap<string, { process: string; atUs: number }>
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#counts = new ProgramCounts(constants.tableEntries, constants.remoteIpTtlUs, constants.processesPerKey)
    this.#last = new BoundedMap(constants.tableEntries, constants.remoteIpTtlUs)
    this.stored = storedTogether([this.#counts.stored, this.#last])
  }

  learn({ remoteIp, firstUs }: SessionFacts, program: Label): void {
    const last = this.#last.get(remoteIp, firstUs)
    const isBurst = last?.process === program.process && Math.abs(firstUs - last.atUs) < this.#constants.remoteIpBurstUs
    if (isBurst) return
    this.#last.set(remoteIp, { process: program.process, atUs: firstUs }, firstUs)
    this.#counts.add(remoteIp, program, firstUs)
  }

  infer(facts: SessionFacts): Inference | null {
    const { remoteIpSessions, remoteIpShare } = this.#constants
    const reason = 'one program dominates the remote address'
    return this.#counts.dominant(facts.remoteIp, facts.firstUs, remoteIpSessions, remoteIpShare, reason)
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
    this.#last.expire(nowUs)
  }
}
