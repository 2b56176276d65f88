import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import { commonLabel, type Inference, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'

interface Rule {
  label: Label
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
  readonly #rules: BoundedMap<Rule>
  readonly #constants: MatchConstants

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#rules = new BoundedMap(constants.tableEntries, constants.ruleTtlUs)
  }

  learn(facts: SessionFacts, label: Label): void {
    const key = ruleKey(facts)
    const nowUs = facts.firstUs
    const rule = this.#rules.get(key, nowUs)
    const agrees = rule?.label.process === label.process
    this.#rules.set(
      key,
      {
        label: agrees ? commonLabel(rule.label, programOf(label)) : programOf(label),
        agreements: agrees ? rule.agreements + 1 : 1,
        disagreedUs: rule && !agrees ? nowUs : (rule?.disagreedUs ?? null),
      },
      nowUs,
    )
  }

  infer(facts: SessionFacts): Inference | null {
    const rule = this.#rules.get(ruleKey(facts), facts.firstUs)
    if (!rule || rule.agreements < this.#constants.ruleAgreements) return null
    if (rule.disagreedUs !== null && facts.firstUs - rule.disagreedUs <= this.#constants.ruleTtlUs) return null
    return { label: rule.label, reason: 'remote end has one program', support: rule.agreements, share: null }
  }

  expire(nowUs: number): void {
    this.#rules.expire(nowUs)
  }
}

function ruleKey(facts: SessionFacts): string {
  return `${facts.proto} ${facts.remoteIp} ${facts.remotePort}`
}
