import type { Label } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import { commonLabel, type Inference } from './program.ts'
import type { Stored } from './stored.ts'

interface Counts {
  total: number
  /** Of the program that was seen most often. */
  most: number
  /** Few, one for each process name. */
  programs: { label: Label; count: number }[]
}

const programIn = ({ programs }: Counts, process: string) => programs.find(({ label }) => label.process === process)

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
    const counts = this.#counts.get(key, nowUs) ?? { total: 0, most: 0, programs: [] }
    const known = programIn(counts, program.process)
    counts.total++
    if (known) {
      known.count++
      counts.most = Math.max(counts.most, known.count)
      known.label = commonLabel(known.label, program)
    } else if (counts.programs.length < this.#programsPerKey) {
      // Beyond the limit a program counts in the total alone: it can only lower a share.
      counts.programs = [...counts.programs, { label: program, count: 1 }]
      counts.most = Math.max(counts.most, 1)
    }
    this.#counts.set(key, counts, nowUs)
  }

  /** The program with at least `share` of at least `minimum` sessions. */
  dominant(key: string, nowUs: number, minimum: number, share: number, reason: string): Inference | null {
    return ProgramCounts.dominantOver([this], key, nowUs, minimum, share, reason)
  }

  /** The same over several tables, as if all had been counted in one. */
  static dominantOver(
    tables: readonly ProgramCounts[],
    key: string,
    nowUs: number,
    minimum: number,
    share: number,
    reason: string,
  ): Inference | null {
    const found: Counts[] = []
    let total = 0
    for (const table of tables) {
      const counts = table.#counts.get(key, nowUs)
      if (!counts) continue
      found.push(counts)
      total += counts.total
    }
    if (total < minimum) return null
    // Whoever has the share of all has it in one of the tables at least.
    for (const counts of found) {
      if (counts.most / counts.total < share) continue
      for (const { label, count } of counts.programs) {
        if (count / counts.total < share) continue
        const everywhere = found.flatMap(one => programIn(one, label.process) ?? [])
        const has = everywhere.reduce((sum, one) => sum + one.count, 0) / total
        const common = everywhere.map(one => one.label).reduce(commonLabel)
        if (has >= share) return { label: common, reason, support: total, share: has }
      }
    }
    return null
  }

  expire(nowUs: number): void {
    this.#counts.expire(nowUs)
  }
}
