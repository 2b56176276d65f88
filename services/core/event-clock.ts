/** A jump of more than this is believed only when the next packet confirms it. */
const suspectJumpUs = 60_000_000

/**
 * Time as the packets tell it, microseconds since the epoch. It follows the newest packet, ignores packets out of order,
 * and takes a jump of over a minute, forward or back, only when the next packet is on that side too: one damaged timestamp
 * moves nothing.
 */
export class EventClock {
  nowUs: number | null = null
  #suspectUs: number | null = null

  observe(timeUs: number): void {
    if (this.nowUs === null) this.nowUs = timeUs
    else if (Math.abs(timeUs - this.nowUs) <= suspectJumpUs) {
      if (timeUs > this.nowUs) this.nowUs = timeUs
      this.#suspectUs = null
    } else if (this.#suspectUs !== null && timeUs > this.nowUs === this.#suspectUs > this.nowUs) {
      this.nowUs = timeUs
      this.#suspectUs = null
    } else this.#suspectUs = timeUs
  }
}
