import { setTimeout as sleep } from 'node:timers/promises'
import { ProclabelError } from './errors.ts'

const firstWaitMs = 50
const longestWaitMs = 5_000

/** Does `attempt` again, with growing pauses, for as long as it fails in a way that may pass. Rejects when `signal` aborts. */
export async function untilDone<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
  for (let waitMs = firstWaitMs; ; waitMs = Math.min(2 * waitMs, longestWaitMs)) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof ProclabelError && error.retryable)) throw error
    }
    await sleep(waitMs, undefined, { signal })
  }
}
