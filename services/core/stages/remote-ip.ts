import type { Label } from '#schemas'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import { ProgramCounts } from '../program-counts.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { Stored } from '../stored.ts'

/** Stage D: which program owns nearly all sessions with a remote address. */
export class RemoteIpStatistics {
  readonly #counts: ProgramCounts
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#counts = new ProgramCounts(constants.tableEntries, constants.remoteIpTtlUs, constants.processesPerKey)
    this.stored = this.#counts.stored
  }

  learn(facts: SessionFacts, program: Label): void {
    this.#counts.add(facts.remoteIp, program, facts.firstUs)
  }

  infer(facts: SessionFacts): Inference | null {
    const { remoteIpSessions, remoteIpShare } = this.#constants
    const reason = 'one program dominates the remote address'
    return this.#counts.dominant(facts.remoteIp, facts.firstUs, remoteIpSessions, remoteIpShare, reason)
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}
