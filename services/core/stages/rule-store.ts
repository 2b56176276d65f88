import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import { commonLabel, type Inference } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'
import { type Stored, storedTogether } from '../stored.ts'

interface Rule {
  program: Label
  /** Sessions that agreed since the last disagreement. */
  agreements: number
  /** Null while nobody disagreed. */
  disagreedUs: number | null
}

/**
 * Stage A2: (protocol, remote address, remote port) belongs to one program. A rule holds once enough sessions agree and for as
 * long as none disagrees; a disagreement suspends it for its whole time to live.
 */
export class RuleStore {
  /** By protocol, then by remote end. */
  readonly #rules: Readonly<Record<string, BoundedMap<string, Rule>>>
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#constants = constants
    const { tableEntries, ruleTtlUs } = constants
    this.#rules = { tcp: new BoundedMap(tableEntries, ruleTtlUs), udp: new BoundedMap(tableEntries, ruleTtlUs) }
    this.stored = storedTogether(Object.values(this.#rules))
  }

  learn(facts: SessionFacts, { remotePort }: SessionKeys, program: Label): void {
    const nowUs = facts.firstUs
    const rules = this.#rules[facts.proto]!
    const rule = rules.get(remotePort, nowUs) ?? { program, agreements: 0, disagreedUs: null }
    if (rule.program.process === program.process) {
      rule.program = commonLabel(rule.program, program)
      rule.agreements++
    } else {
      rule.program = program
      rule.agreements = 1
      rule.disagreedUs = nowUs
    }
    rules.set(remotePort, rule, nowUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    const rule = this.#rules[facts.proto]!.get(keys.remotePort, facts.firstUs)
    if (!rule || rule.agreements < this.#constants.ruleAgreements) return null
    if (rule.disagreedUs !== null && facts.firstUs - rule.disagreedUs <= this.#constants.ruleTtlUs) return null
    return { label: rule.program, reason: 'remote end has one program', support: rule.agreements, share: null }
  }

  expire(nowUs: number): void {
    for (const rules of Object.values(this.#rules)) rules.expire(nowUs)
  }
}
