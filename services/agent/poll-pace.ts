export interface PollPaceOptions {
  /** The shortest time between two polls, milliseconds. */
  periodMs: number
  /** That between two polls while events tell everything; that of `periodMs` when not given. */
  calmPeriodMs?: number | undefined
  /** Most of one processor's time that polls may take, 0 to 1; all of it when not given. */
  maxCpuShare?: number | undefined
}

/** After events were lost polls are as frequent as they can be for so long. */
const anxiousMs = 60_000
/** Of the cost of polls so far, a new one changes this part. */
const newShare = 0.2

/**
 * When the socket table is read next. Where kernel events tell of every socket, polls only reconcile and may be rare; where
 * some were lost, or a poll of a large table would take more than its share of the processor, its cost decides. All times are
 * whole periods, doubled as often as needed, so that the pace that is told seldom changes.
 */
export class PollPace {
  readonly #periodMs: number
  readonly #calmSlots: number
  readonly #maxCpuShare: number
  #costMs = 0
  #anxiousUntilMs = Number.NEGATIVE_INFINITY

  constructor({ periodMs, calmPeriodMs = periodMs, maxCpuShare = 1 }: PollPaceOptions) {
    this.#periodMs = periodMs
    this.#calmSlots = Math.max(1, Math.round(calmPeriodMs / periodMs))
    this.#maxCpuShare = maxCpuShare
  }

  /** `costMs`: processor time that a poll took. */
  polled(costMs: number): void {
    this.#costMs = this.#costMs === 0 ? costMs : this.#costMs + newShare * (costMs - this.#costMs)
  }

  lostEvents(nowMs: number): void {
    this.#anxiousUntilMs = nowMs + anxiousMs
  }

  /** Periods from one poll to the next. `isTold`: events tell of every socket. */
  slots(isTold: boolean, nowMs: number): number {
    const wanted = isTold && nowMs >= this.#anxiousUntilMs ? this.#calmSlots : 1
    const affordable = this.#costMs / this.#maxCpuShare / this.#periodMs
    return affordable <= wanted ? wanted : wanted * 2 ** Math.ceil(Math.log2(affordable / wanted))
  }
}
