/** Share of the time that snapshots may take, where they can wait. */
const share = 0.1

/**
 * When a snapshot may be made. Hosts begin together and have as much to say, so their snapshots would fall due at one
 * moment, and everything else would wait for all of them. Times are milliseconds of any one clock.
 */
export class SnapshotPace {
  #freeAtMs = Number.NEGATIVE_INFINITY

  isFree(nowMs: number): boolean {
    return nowMs >= this.#freeAtMs
  }

  spent(fromMs: number, untilMs: number): void {
    this.#freeAtMs = untilMs + (untilMs - fromMs) * (1 / share - 1)
  }
}
