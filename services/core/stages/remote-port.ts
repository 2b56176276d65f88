import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'

/** Stage C: who last talked to this remote address and port, over TCP or UDP. Sessions the host opened only. */
export class RemotePortCache {
  readonly #programs: BoundedMap<string, Label>

  constructor(constants: MatchConstants) {
    this.#programs = new BoundedMap(constants.tableEntries, constants.remotePortTtlUs)
  }

  learn(facts: SessionFacts, keys: SessionKeys, program: Label): void {
    if (facts.direction === 'out') this.#programs.set(keys.remotePort, program, facts.firstUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    if (facts.direction !== 'out') return null
    const label = this.#programs.get(keys.remotePort, facts.firstUs)
    return label ? { label, reason: 'last program at the remote end', support: 1, share: null } : null
  }

  expire(nowUs: number): void {
    this.#programs.expire(nowUs)
  }
}
