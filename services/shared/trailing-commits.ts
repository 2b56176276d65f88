import type { Batch } from './bus/bus.ts'

/** More than a Redis that syncs its file every second, or fails over, can lose, milliseconds. */
export const storeLossMs = 10_000

/** Batches of one partition that were written and are not committed: commits trail the writes by `lagMs`. */
export class TrailingCommits {
  readonly #lagMs: number
  /** Oldest first. */
  readonly #written: { batch: Batch; atMs: number }[] = []

  constructor(lagMs: number) {
    this.#lagMs = lagMs
  }

  add(batch: Batch): void {
    this.#written.push({ batch, atMs: performance.now() })
  }

  /** Commits the newest batch that was written long enough ago. */
  async commit(): Promise<void> {
    const beforeMs = performance.now() - this.#lagMs
    const ripe = this.#written.findLastIndex(({ atMs }) => atMs <= beforeMs)
    if (ripe < 0) return
    const [last] = this.#written.splice(0, ripe + 1).slice(-1)
    await last!.batch.commit()
  }
}
