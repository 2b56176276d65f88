import { setImmediate } from 'node:timers/promises'

/**
 * Pieces of long work, one in each round of the event loop. Between two of them it looks at its sockets and timers, so that
 * a time limit passes only where the answer was not there in time, and not where nobody looked.
 */
export class Turns {
  #last: Promise<void> = Promise.resolve()

  /** Resolves in a round of its own: after those that asked before, and never in the round of the one before. */
  next(): Promise<void> {
    this.#last = this.#last.then(() => setImmediate())
    return this.#last
  }
}
