/** Runs that are remembered; the one heard of longest ago leaves first. */
const runsKept = 16
/** Messages of a run that are held at most: then those that they wait for are taken for lost. */
const mostHeld = 4

interface Run<M> {
  /** Number of the message that is due. */
  next: number
  held: Map<number, M>
}

/**
 * Puts the messages of sources back in their order: one that has overtaken others is held until they have come, or are taken
 * for lost. One that comes after its turn is not held.
 */
export class InOrder<M> {
  readonly #runs = new Map<string, Run<M>>()

  /** The messages whose turn it is now that this one has come, in their order. */
  take(runKey: string, seq: number, message: M): M[] {
    const known = this.#runs.get(runKey)
    // A run begins at 0: what is seen first and is no further from there has overtaken the first.
    const run = known ?? { next: seq <= mostHeld ? 0 : seq, held: new Map() }
    this.#runs.delete(runKey)
    this.#runs.set(runKey, run)
    if (!known && this.#runs.size > runsKept) this.#runs.delete(this.#runs.keys().next().value!)
    if (seq < run.next) return [message]
    if (seq > run.next) {
      run.held.set(seq, message)
      return run.held.size > mostHeld ? release(run) : []
    }
    const due = [message]
    for (run.next = seq + 1; run.held.has(run.next); run.next++) {
      due.push(run.held.get(run.next)!)
      run.held.delete(run.next)
    }
    return due
  }

  /** All that are held: what they wait for does not come any more. */
  releaseAll(): M[] {
    return Array.from(this.#runs.values(), release).flat()
  }

  /** See Stored. */
  state(): ReadonlyMap<string, Run<M>> {
    return this.#runs
  }

  restore(runs: ReadonlyMap<string, Run<M>>): void {
    for (const [key, run] of runs) this.#runs.set(key, run)
  }
}

function release<M>(run: Run<M>): M[] {
  const numbers = [...run.held.keys()].sort((a, b) => a - b)
  const messages = numbers.map(number => run.held.get(number)!)
  run.held.clear()
  run.next = Math.max(run.next, (numbers.at(-1) ?? 0) + 1)
  return messages
}
