import type { Label } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import { commonLabel, type Inference } from './program.ts'
import type { Stored } from './stored.ts'

interface Counts {
  total: number
  programs: Map<string, { label: Label; count: number }>
}

/** How often each program was seen for a key; answers with the one that dominates. */
export class ProgramCounts {
  readonly #counts: BoundedMap<string, Counts>
  readonly stored: Stored
  readonly #programsPerKey: number

  constructor(limit: number, ttlUs: number, programsPerKey: number) {
    this.#counts = new BoundedMap(limit, ttlUs)
    this.stored = this.#counts
    this.#programsPerKey = programsPerKey
  }

  add(key: string, program: Label, nowUs: number): void {
    const counts = this.#counts.get(key, nowUs) ?? { total: 0, programs: new Map() }
    const known = counts.programs.get(program.process)
    counts.total++
    if (known) {
      known.count++
      known.label = commonLabel(known.label, program)
    } else if (counts.programs.size < this.#programsPerKey) {
      // Beyond the limit a program counts in the total alone: it can only lower a share.
      counts.programs.set(program.process, { label: program, count: 1 })
    }
    this.#counts.set(key, counts, nowUs)
  }

  /** The program with at least `share` of at least `minimum` sessions. */
  dominant(key: string, nowUs: number, minimum: number, share: number, reason: string): Inference | null {
    const counts = this.#counts.get(key, nowUs)
    if (!counts || counts.total < minimum) return null
    for (const { label, count } of counts.programs.values()) {
      const has = count / counts.total
      if (has >= share) return { label, reason, support: counts.total, share: has }
    }
    return null
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}
