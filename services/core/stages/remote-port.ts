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
  /** Sessions of this program in a row. */
  run: number
  lastUs: number
}

/**
 * Stage C: who last talked to this remote address and port, over TCP or UDP. Sessions the host opened only. An end that
 * several programs use, such as the name server, is said to have the last one's for a moment after that has talked to it
 * several times in a row: programs open connections in bursts. With `remotePortShared` the last one is always taken.
 */
export class RemotePortCache {
  readonly #programs: BoundedMap<string, Entry>
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#programs = new BoundedMap(constants.tableEntries, constants.remotePortTtlUs)
    this.#constants = constants
    this.stored = this.#programs
  }

  learn(facts: SessionFacts, keys: SessionKeys, program: Label): void {
    if (facts.direction !== 'out') return
    const before = this.#programs.get(keys.remotePort, facts.firstUs)
    const isOther = before !== undefined && before.label.process !== program.process
    const isShared = isOther || before?.isShared === true
    const run = isOther ? 1 : (before?.run ?? 0) + 1
    this.#programs.set(keys.remotePort, { label: program, isShared, run, lastUs: facts.firstUs }, facts.firstUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    if (facts.direction !== 'out') return null
    const entry = this.#programs.get(keys.remotePort, facts.firstUs)
    if (!entry) return null
    const { label, isShared, run, lastUs } = entry
    if (!isShared || this.#constants.remotePortShared)
      return { label, reason: 'last program at the remote end', support: 1, share: null }
    const { remotePortRun, remotePortRunUs } = this.#constants
    if (run < remotePortRun || Math.abs(facts.firstUs - lastUs) > remotePortRunUs) return null
    return { label, reason: 'burst of one program at the remote end', support: run, share: null }
  }

  expire(nowUs: number): void {
    this.#programs.expire(nowUs)
  }
}
