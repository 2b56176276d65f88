import type { Batch } from './bus/bus.ts'

/** More than a Redis that syncs its file every second, or fails over, can lose, milliseconds. */
export const storeLossMs = 10_000

/** Commits are so far apart, as a share of the lag: each costs the broker a write, and trails anyway. */
const spacingShare = 0.1

/** Batches of one partition that were written and are not committed: commits trail the writes by `lagMs` and a little more. */
export class TrailingCommits {
  readonly #lagMs: number
  readonly #mayCommit: () => boolean
  /** Oldest first. */
  readonly #written: { batch: Batch; atMs: number }[] = []
  #committedMs = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | null = null

  /** `mayCommit`: whether what was written is still known to be in the store. */
  constructor(lagMs: number, mayCommit: () => boolean) {
    this.#lagMs = lagMs
    this.#mayCommit = mayCommit
  }

  add(batch: Batch): void {
    this.#written.push({ batch, atMs: performance.now() })
    if (this.#lagMs > 0) this.#commitLater()
  }

  /** Commits the newest batch that was written long enough ago. */
  async commit(): Promise<void> {
    const nowMs = performance.now()
    if (nowMs - this.#committedMs < this.#lagMs * spacingShare) return
    const beforeMs = nowMs - this.#lagMs
    const ripe = this.#written.findLastIndex(({ atMs }) => atMs <= beforeMs)
    if (ripe < 0 || !this.#mayCommit()) return
    this.#committedMs = nowMs
    const [last] = this.#written.splice(0, ripe + 1).slice(-1)
    await last!.batch.commit()
  }

  /** No further batch may come that would bring the commit of this one with it. */
  #commitLater(): void {
    this.#timer ??= setTimeout(async () => {
      this.#timer = null
      // One that fails is made good by the next.
      await this.commit().catch(() => {})
      if (this.#written.length > 0 && this.#mayCommit()) this.#commitLater()
    }, this.#lagMs).unref()
  }
}
