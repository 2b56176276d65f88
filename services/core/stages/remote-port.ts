import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import { type Inference, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'

/** Stage C: who last talked to this remote address and port, over TCP or UDP. Sessions the host opened only. */
export class RemotePortCache {
  readonly #entries: BoundedMap<Label>

  constructor(constants: MatchConstants) {
    this.#entries = new BoundedMap(constants.tableEntries, constants.remotePortTtlUs)
  }

  learn(facts: SessionFacts, label: Label): void {
    if (facts.direction === 'out') this.#entries.set(keyOf(facts), programOf(label), facts.firstUs)
  }

  infer(facts: SessionFacts): Inference | null {
    if (facts.direction !== 'out') return null
    const label = this.#entries.get(keyOf(facts), facts.firstUs)
    return label ? { label, reason: 'last program at the remote end', support: 1, share: null } : null
  }

  expire(nowUs: number): void {
    this.#entries.expire(nowUs)
  }
}

function keyOf(facts: SessionFacts): string {
  return `${facts.remoteIp} ${facts.remotePort}`
}
