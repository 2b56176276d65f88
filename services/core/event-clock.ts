/** A jump of more than this is believed only when the next packet confirms it. */
const suspectJumpUs = 60_000_000

/**
 * Time as the packets tell it, microseconds since the epoch. It follows the newest packet, ignores packets out of order,
 * and takes a jump of over a minute, forward or back, only when the next packet is on that side too: one damaged timestamp
 * moves nothing.
 */
export class EventClock {
  // NaN for none, since a field that holds nothing but numbers is written without allocating.
  #nowUs = Number.NaN
  #suspectUs = Number.NaN

  /** Null before the first packet. */
  get nowUs(): number | null {
    return Number.isNaN(this.#nowUs) ? null : this.#nowUs
  }

  observe(timeUs: number): void {
    const nowUs = this.#nowUs
    if (Math.abs(timeUs - nowUs) <= suspectJumpUs) {
      if (timeUs > nowUs) this.#nowUs = timeUs
      this.#suspectUs = Number.NaN
    } else if (Number.isNaN(nowUs) || this.#isConfirmed(timeUs)) {
      this.#nowUs = timeUs
      this.#suspectUs = Number.NaN
    } else this.#suspectUs = timeUs
  }

  /** Was the packet before on the same side, far from now? */
  #isConfirmed(timeUs: number): boolean {
    return !Number.isNaN(this.#suspectUs) && timeUs > this.#nowUs === this.#suspectUs > this.#nowUs
  }
}
