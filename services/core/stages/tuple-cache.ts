import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import { type Inference, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import { tupleKey } from '../tuple.ts'
import { type DirectView, hasOtherOwner } from './direct.ts'

interface Entry {
  label: Label
  lastUs: number
}

/** Stage B: what the same 5-tuple was labeled a while ago, if the port has had no other owner since. */
export class TupleCache {
  readonly #entries: BoundedMap<Entry>
  readonly #constants: MatchConstants

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#entries = new BoundedMap(constants.tableEntries, constants.keepUs)
  }

  learn(facts: SessionFacts, label: Label): void {
    this.#entries.set(keyOf(facts), { label, lastUs: facts.lastUs }, facts.lastUs)
  }

  /** The session that taught goes on. */
  touch(facts: SessionFacts, label: Label): void {
    const entry = this.#entries.get(keyOf(facts), facts.lastUs)
    if (entry?.label.process === label.process) entry.lastUs = Math.max(entry.lastUs, facts.lastUs)
  }

  infer(facts: SessionFacts, view: Pick<DirectView, 'timeline' | 'clocks'>): Inference | null {
    const entry = this.#entries.get(keyOf(facts), facts.firstUs)
    if (!entry || entry.lastUs > facts.firstUs) return null
    if (facts.firstUs - entry.lastUs > this.#constants.tupleCacheTtlUs) return null
    if (hasOtherOwner(facts, [entry.label], entry.lastUs, view)) return null
    return { label: programOf(entry.label), reason: 'same 5-tuple a while ago', support: 1, share: null }
  }

  expire(nowUs: number): void {
    this.#entries.expire(nowUs)
  }
}

function keyOf(facts: SessionFacts): string {
  return tupleKey(facts, facts.remoteIp, facts.remotePort)
}
