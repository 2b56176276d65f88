import type { Label } from '#schemas'
import { defaultConstants, type MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import { ProgramCounts } from '../program-counts.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'
import type { Stored } from '../stored.ts'

/**
 * Stage N, in post-processing: which program asks for a server name, for a registrable domain, or greets with this JA4 on this
 * port.
 */
export class ServerNames {
  readonly #counts: ProgramCounts
  readonly #constants: MatchConstants
  readonly #minimum: number
  readonly stored: Stored

  constructor(constants: MatchConstants, minimum: number = constants.nameSessions) {
    this.#constants = constants
    this.#minimum = minimum
    this.#counts = new ProgramCounts(constants.tableEntries, constants.nameTtlUs, constants.processesPerKey)
    this.stored = this.#counts.stored
  }

  learn(facts: SessionFacts, { names }: SessionKeys, program: Label): void {
    for (const { key } of names) this.#counts.add(key, program, facts.firstUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    return ServerNames.inferOver([this], facts, keys)
  }

  /** What several would answer that had learned as one; the first one's constants count. */
  static inferOver(all: readonly ServerNames[], facts: SessionFacts, { names }: SessionKeys): Inference | null {
    const [first] = all
    if (!first) return null
    const { greetingSessions, nameShare } = first.#constants
    const tables = all.map(one => one.#counts)
    for (const { key, reason, isGreeting } of names) {
      const minimum = isGreeting ? Math.max(greetingSessions, first.#minimum) : first.#minimum
      const found = ProgramCounts.dominantOver(tables, key, facts.firstUs, minimum, nameShare, reason)
      if (found) return found
    }
    return null
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}

/**
 * What stage N learned on all hosts: asked after a host's own, and with more support, since hosts differ in their programs.
 * Within one process the matcher has it, between several the resolver.
 */
export class SharedNames extends ServerNames {
  constructor(constants: MatchConstants = defaultConstants) {
    super(constants, constants.sharedNameSessions)
  }
}
