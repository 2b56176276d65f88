/**
 * Where a message stands among those of its source's run. `first`: no run of its source is known; `new-run`: another one is, of
 * which nobody knows how it ended. `late`: it was missing until now.
 */
export type Place = { kind: 'first' | 'new-run' | 'next' | 'late' | 'repeated' } | { kind: 'gap'; missing: number }

/** Runs that are remembered; the one heard of longest ago leaves first. */
const runsKept = 16
/** Numbers of a run that are waited for; a message that comes later than that counts as repeated. */
const missingKept = 1024
/** How far before the first message of a run that is seen others may still come. */
const beforeFirst = 16

interface Run {
  source: string
  last: number
  missing: Set<number>
}

/** Sequence numbers of sources that may repeat themselves or be overtaken: each message counts once. */
export class Sequences {
  readonly #runs = new Map<string, Run>()

  take(source: string, runId: string, seq: number): Place {
    const runKey = `${source}/${runId}`
    const run = this.#runs.get(runKey)
    if (!run) {
      const isKnown = [...this.#runs.values()].some(other => other.source === source)
      this.#runs.set(runKey, { source, last: seq, missing: range(Math.max(0, seq - beforeFirst), seq) })
      if (this.#runs.size > runsKept) this.#runs.delete(this.#runs.keys().next().value!)
      return { kind: isKnown ? 'new-run' : 'first' }
    }
    this.#runs.delete(runKey)
    this.#runs.set(runKey, run)
    if (seq <= run.last) return { kind: run.missing.delete(seq) ? 'late' : 'repeated' }
    const missing = seq - run.last - 1
    if (missing > 0) {
      for (const number of range(Math.max(run.last + 1, seq - missingKept), seq)) run.missing.add(number)
      for (const number of run.missing) {
        if (run.missing.size <= missingKept) break
        run.missing.delete(number)
      }
    }
    run.last = seq
    return missing === 0 ? { kind: 'next' } : { kind: 'gap', missing }
  }

  /** See Stored. */
  state(): ReadonlyMap<string, Run> {
    return this.#runs
  }

  restore(runs: ReadonlyMap<string, Run>): void {
    for (const [key, run] of runs) this.#runs.set(key, run)
  }
}

function range(from: number, to: number): Set<number> {
  const numbers = new Set<number>()
  for (let number = from; number < to; number++) numbers.add(number)
  return numbers
}
