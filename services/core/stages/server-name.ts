import type { Label } from '#schemas'
import { defaultConstants, type MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import { ProgramCounts } from '../program-counts.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'

/**
 * Stage N, in post-processing: which program asks for a server name, for a registrable domain, or greets with this JA4 on this
 * port. One table per host, and one that all hosts share.
 */
export class ServerNames {
  readonly #counts: ProgramCounts
  readonly #constants: MatchConstants

  constructor(constants: MatchConstants = defaultConstants) {
    this.#constants = constants
    this.#counts = new ProgramCounts(constants.tableEntries, constants.nameTtlUs, constants.processesPerKey)
  }

  learn(facts: SessionFacts, { names }: SessionKeys, program: Label): void {
    for (const { key } of names) this.#counts.add(key, program, facts.firstUs)
  }

  infer(facts: SessionFacts, { names }: SessionKeys): Inference | null {
    const { nameSessions, nameShare } = this.#constants
    for (const { key, reason } of names) {
      const found = this.#counts.dominant(key, facts.firstUs, nameSessions, nameShare, reason)
      if (found) return found
    }
    return null
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}
