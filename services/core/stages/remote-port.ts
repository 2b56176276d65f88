import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'
import type { Stored } from '../stored.ts'

interface Entry {
  label: Label
  /** Another program talked to it too, within the time to live. */
  isShared: boolean
}

/**
 * Stage C: who last talked to this remote address and port, over TCP or UDP. Sessions the host opened only. An end that
 * several programs use, such as the name server, says nothing, unless `remotePortShared` has the last of them taken.
 */
export class RemotePortCache {
  readonly #programs: BoundedMap<string, Entry>
  readonly #takesShared: boolean
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#programs = new BoundedMap(constants.tableEntries, constants.remotePortTtlUs)
    this.#takesShared = constants.remotePortShared
    this.stored = this.#programs
  }

  learn(facts: SessionFacts, keys: SessionKeys, program: Label): void {
    if (facts.direction !== 'out') return
    const before = this.#programs.get(keys.remotePort, facts.firstUs)
    const isShared = before !== undefined && (before.isShared || before.label.process !== program.process)
    this.#programs.set(keys.remotePort, { label: program, isShared }, facts.firstUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    if (facts.direction !== 'out') return null
    const entry = this.#programs.get(keys.remotePort, facts.firstUs)
    if (!entry || (entry.isShared && !this.#takesShared)) return null
    return { label: entry.label, reason: 'last program at the remote end', support: 1, share: null }
  }

  expire(nowUs: number): void {
    this.#programs.expire(nowUs)
  }
}
