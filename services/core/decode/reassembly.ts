/**
 * Bytes of one stream that arrive in any order, cut anyhow, some of them twice. Where two arrivals differ the first one
 * stays, as receivers do that deliver bytes as soon as they can. Bounded: the span from offset 0 to the last byte, and
 * the number of separate pieces.
 */
export class Reassembly {
  bytes = new Uint8Array(0)
  /** Offsets of what is present: start, end, start, end...; ascending, and neither overlapping nor touching. */
  private readonly runs: number[] = []
  private readonly maxBytes: number
  private readonly maxRuns = 4096

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes
  }

  /** Adds `data[from, to)` at `offset`; false, with nothing changed, where a bound forbids it. */
  insert(offset: number, data: Uint8Array, from: number, to: number): boolean {
    const end = offset + to - from
    if (offset < 0 || end > this.maxBytes || this.runs.length >= 2 * this.maxRuns) return false
    if (end <= offset) return true
    this.reserve(end)
    const first = this.firstRunEndingAtOrAfter(offset)
    let next = first
    let at = offset
    for (; next < this.runs.length && this.runs[next]! <= end; next += 2) {
      const runStart = this.runs[next]!
      if (runStart > at) this.bytes.set(data.subarray(from + at - offset, from + runStart - offset), at)
      at = Math.max(at, this.runs[next + 1]!)
    }
    if (at < end) this.bytes.set(data.subarray(from + at - offset, to), at)
    const start = next > first ? Math.min(offset, this.runs[first]!) : offset
    this.runs.splice(first, next - first, start, Math.max(end, at))
    return true
  }

  /** Where the unbroken bytes that begin at `offset` end; `offset` itself where there are none. */
  runEnd(offset: number): number {
    const run = this.firstRunEndingAtOrAfter(offset)
    return run < this.runs.length && this.runs[run]! <= offset ? this.runs[run + 1]! : offset
  }

  /** Whether everything that is present is one run from offset 0 on. */
  get unbroken(): boolean {
    return this.runs.length === 2 && this.runs[0] === 0
  }

  /** Makes room for bytes in front: offset x becomes x + by. False where the bound forbids it. */
  shift(by: number): boolean {
    const end = this.runs.at(-1) ?? 0
    if (end + by > this.maxBytes) return false
    this.reserve(end + by)
    this.bytes.copyWithin(by, 0, end)
    for (let i = 0; i < this.runs.length; i++) this.runs[i]! += by
    return true
  }

  private reserve(size: number): void {
    if (size <= this.bytes.length) return
    const grown = new Uint8Array(Math.min(this.maxBytes, Math.max(size, 2 * this.bytes.length, 512)))
    grown.set(this.bytes)
    this.bytes = grown
  }

  /** Index in `runs` of the first run whose end is at or after `offset`, by binary search. */
  private firstRunEndingAtOrAfter(offset: number): number {
    let low = 0
    let high = this.runs.length / 2
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.runs[2 * middle + 1]! < offset) low = middle + 1
      else high = middle
    }
    return 2 * low
  }
}
