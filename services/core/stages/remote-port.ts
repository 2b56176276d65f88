import type { Label } from '#schemas'
import { BoundedMap } from '../bounded-map.ts'
import type { MatchConstants } from '../constants.ts'
import type { Inference } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import type { SessionKeys } from '../session-keys.ts'
import type { Stored } from '../stored.ts'

interface Use {
  program: Label
  atUs: number
}

interface Entry {
  /** The last ones, in the order in which they were learned. */
  uses: readonly Use[]
  /** Several programs talked to it within the time to live. */
  isShared: boolean
}

/** Why a program is said that was seen at the remote end within `remotePortNearUs`. */
export const justThen = 'program at the remote end just then'

/** Uses kept of a remote end: in post-processing the nearest may come after the session. */
const usesKept = 16

/**
 * Stage C: who talked to this remote address and port, over TCP or UDP. Sessions the host opened only. It was most likely who
 * talked to that end at almost the same time: programs open connections in bursts. Else an end that several programs use, such
 * as the name server, says nothing. With `remotePortShared` the last one is always taken.
 */
export class RemotePortCache {
  readonly #entries: BoundedMap<string, Entry>
  readonly #constants: MatchConstants
  readonly stored: Stored

  constructor(constants: MatchConstants) {
    this.#entries = new BoundedMap(constants.tableEntries, constants.remotePortTtlUs)
    this.#constants = constants
    this.stored = this.#entries
  }

  learn(facts: SessionFacts, keys: SessionKeys, program: Label): void {
    if (facts.direction !== 'out') return
    const before = this.#entries.get(keys.remotePort, facts.firstUs)
    const uses = [...(before?.uses ?? []).slice(1 - usesKept), { program, atUs: facts.firstUs }]
    const isShared =
      before !== undefined && (before.isShared || before.uses.at(-1)!.program.process !== program.process)
    this.#entries.set(keys.remotePort, { uses, isShared }, facts.firstUs)
  }

  infer(facts: SessionFacts, keys: SessionKeys): Inference | null {
    if (facts.direction !== 'out') return null
    const entry = this.#entries.get(keys.remotePort, facts.firstUs)
    if (!entry) return null
    const last = entry.uses.at(-1)!.program
    const distanceUs = ({ atUs }: Use) => Math.abs(atUs - facts.firstUs)
    const nearest = entry.uses.reduce((best, use) => (distanceUs(use) <= distanceUs(best) ? use : best))
    const found = { support: 1, share: null }
    if (this.#constants.remotePortShared) return { label: last, reason: 'last program at the remote end', ...found }
    if (distanceUs(nearest) <= this.#constants.remotePortNearUs)
      return { label: nearest.program, reason: justThen, ...found }
    return entry.isShared ? null : { label: last, reason: 'only program at the remote end', ...found }
  }

  expire(nowUs: number): void {
    this.#entries.expire(nowUs)
  }
}
