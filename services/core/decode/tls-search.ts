import { Reassembly } from './reassembly.ts'
import { type ClientHello, findClientHello, mayBeginHello, NOT_A_HELLO } from './tls.ts'

/** Bytes 0x16 that begin a segment by chance are soon ruled out; so many real beginnings never stand open at once. */
const MAX_STARTS = 8

/** A place in the stream where a ClientHello may begin, and the bytes from there that it takes to know more. */
interface Start {
  offset: number
  needed: number
}

/**
 * Puts one direction of a TCP flow together for as long as it may hold a ClientHello that came in pieces: segments in
 * any order, overlapping, repeated. Sequence numbers wrap; offsets count from `base`.
 */
export class TlsSearch {
  readonly sinceUs: number
  private base: number
  private readonly stream: Reassembly
  private readonly starts: Start[] = []

  /** `base`: the sequence number of the first byte of interest, as far as known. */
  constructor(base: number, maxBytes: number, nowUs: number) {
    this.base = base
    this.stream = new Reassembly(maxBytes)
    this.sinceUs = nowUs
  }

  get bytes(): number {
    return this.stream.bytes.length
  }

  /** A ClientHello has begun to arrive and is not whole yet. */
  get promising(): boolean {
    return this.starts.some(start => this.stream.runEnd(start.offset) > start.offset)
  }

  /** Nothing is missing in front of what arrived, and nothing in it begins a ClientHello. */
  get done(): boolean {
    return this.starts.length === 0 && this.stream.unbroken
  }

  /** Sequence number after the bytes that arrived without a break. */
  get next(): number {
    return (this.base + this.stream.runEnd(0)) >>> 0
  }

  /** Says that a ClientHello may begin at this sequence number. */
  expectAt(sequence: number): void {
    const offset = (sequence - this.base) | 0
    if (offset < 0 || this.starts.length >= MAX_STARTS || this.starts.some(start => start.offset === offset)) return
    this.starts.push({ offset, needed: 1 })
  }

  /**
   * Adds a segment. `cut`: the capture holds no more of this packet. Null: no whole ClientHello yet; 'full': the
   * segment does not fit into the bound, and this search should end.
   */
  add(sequence: number, data: Uint8Array, from: number, to: number, cut: boolean): ClientHello | 'full' | null {
    let offset = (sequence - this.base) | 0
    if (offset < 0) {
      if (!this.stream.shift(-offset)) return 'full'
      for (const start of this.starts) start.offset -= offset
      this.base = sequence
      offset = 0
    }
    if (!this.stream.insert(offset, data, from, to)) return 'full'
    if (mayBeginHello(data, from, to)) this.expectAt(sequence)
    const cutAt = cut ? offset + to - from : -1
    for (let i = this.starts.length - 1; i >= 0; i--) {
      const start = this.starts[i]!
      const end = this.stream.runEnd(start.offset)
      if (end - start.offset < start.needed && end !== cutAt) continue
      const found = findClientHello(this.stream.bytes, start.offset, end, end === cutAt)
      if (typeof found === 'object') return found
      if (found === NOT_A_HELLO) this.starts.splice(i, 1)
      else start.needed = found
    }
    return null
  }
}
