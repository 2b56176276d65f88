import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'
import type { Stored } from '../stored.ts'
import { type DirectView, hasOtherOwner } from './direct.ts'

interface Entry {
  program: Label
  lastUs: number
}

/** Stage B: what the same 5-tuple was labeled a while ago, if the port has had no other owner since. */
export class TupleCache {
  readonly #entries: BoundedMap<string, Entry>
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#entries = new BoundedMap(constants.tableEntries, constants.keepUs)
    this.stored = this.#entries
  }

  learn(facts: SessionFacts, keys: SessionKeys, program: Label): void {
    this.#entries.set(keys.tuple, { program, lastUs: facts.lastUs }, facts.lastUs)
  }

  /** The session that taught went on. */
  touch(facts: SessionFacts, keys: SessionKeys): void {
    const entry = this.#entries.get(keys.tuple, facts.lastUs)
    if (entry) entry.lastUs = Math.max(entry.lastUs, facts.lastUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys, view: Pick<DirectView, 'timeline' | 'clocks'>): Inference | null {
    const entry = this.#entries.get(keys.tuple, facts.firstUs)
    if (!entry || entry.lastUs > facts.firstUs) return null
    if (facts.firstUs - entry.lastUs > this.#constants.tupleCacheTtlUs) return null
    if (hasOtherOwner(facts, [entry.program], entry.lastUs, view)) return null
    return { label: entry.program, reason: 'same 5-tuple a while ago', support: 1, share: null }
  }

  expire(nowUs: number): void {
    this.#entries.expire(nowUs)
  }
}
