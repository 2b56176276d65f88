import { Reassembly } from './reassembly.ts'

const LENGTH_BYTES = 2
const SMALLEST_MESSAGE = 12

/** Puts DNS messages over TCP together (RFC 1035 section 4.2.2: each behind its length in two bytes). */
export class DnsStream {
  readonly sinceUs: number
  private readonly base: number
  private readonly stream: Reassembly
  private consumed = 0

  /** `base`: the sequence number at which a message begins. */
  constructor(base: number, maxBytes: number, nowUs: number) {
    this.base = base
    this.stream = new Reassembly(maxBytes)
    this.sinceUs = nowUs
  }

  get bytes(): number {
    return this.stream.bytes.length
  }

  /** Everything that arrived has been handed out. */
  get drained(): boolean {
    return this.stream.unbroken && this.stream.runEnd(0) === this.consumed
  }

  /** Sequence number after the messages handed out so far. */
  get next(): number {
    return (this.base + this.consumed) >>> 0
  }

  /**
   * Adds a segment and hands out each message that is whole now; the bytes are valid during the call. False where the
   * bound is reached or no message begins where one should.
   */
  add(sequence: number, data: Uint8Array, from: number, to: number, message: (bytes: Uint8Array) => void): boolean {
    const offset = (sequence - this.base) | 0
    const repeated = Math.max(0, -offset)
    if (repeated >= to - from) return true
    if (!this.stream.insert(offset + repeated, data, from + repeated, to)) return false
    const end = this.stream.runEnd(this.consumed)
    const { bytes } = this.stream
    while (this.consumed + LENGTH_BYTES <= end) {
      const start = this.consumed + LENGTH_BYTES
      const length = (bytes[this.consumed]! << 8) | bytes[this.consumed + 1]!
      if (length < SMALLEST_MESSAGE) return false
      if (start + length > end) break
      message(bytes.subarray(start, start + length))
      this.consumed = start + length
    }
    return true
  }
}
