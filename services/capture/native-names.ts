import type { WireName } from '#core/decode/names.ts'
import { WireNames } from '#core/decode/names.ts'
import { Packet } from '#core/decode/packet.ts'
import type { FrameBlock } from './packet-source.ts'

/** Words of a candidate: the struct Candidate of native/src/packet/capture.hh. */
const candidateWords = 20
const word = {
  flow: 0,
  flags: 1,
  looked: 2,
  nextLow: 3,
  nextHigh: 4,
  frame: 5,
  protocol: 6,
  sourcePort: 7,
  destinationPort: 8,
  tcpFlags: 9,
  tcpSequence: 10,
  payloadOffset: 11,
  payloadLength: 12,
  payloadCaptured: 13,
  /** BatchRow of each end: host, seq, row. */
  low: 14,
  high: 17,
} as const
const candidateFlags = { fromLow: 1, takeOver: 2, knownLow: 4, knownHigh: 8 } as const
const settledFlags = { decided: 1, knownLow: 4, knownHigh: 8 } as const

/** Row `row` of a host's batch number `seq`; no batch where `host` is negative. */
export interface BatchRow {
  host: number
  seq: number
  row: number
}

/** Of the high end: the packet is in the low end's batch, which is also that of the high end. */
export const withLow = -2

/** A name, and where the packet is that completed it: in the batches of the two ends of its flow. */
export interface FoundName {
  name: WireName
  fromLow: boolean
  low: BatchRow
  high: BatchRow
}

/** Looks for names in the packets that the native capture takes for candidates, and keeps its account of flows in step. */
export class NativeNames {
  readonly #names = new WireNames()
  readonly #packet = new Packet()
  readonly #touched = new Set<number>()

  /** The names that these candidates complete, in order. */
  find(candidates: Int32Array, block: FrameBlock): FoundName[] {
    const found: FoundName[] = []
    for (let at = 0; at < candidates.length; at += candidateWords) {
      const flow = candidates[at + word.flow]!
      const flags = candidates[at + word.flags]!
      if (flags & candidateFlags.takeOver) this.#takeOver(flow, flags, candidates, at)
      this.#touched.add(flow)
      if (!this.#names.wants(flow)) continue
      const fromLow = (flags & candidateFlags.fromLow) !== 0
      const name = this.#names.observe(this.#packetAt(candidates, at, block), block.data, flow, fromLow)
      if (name === null) continue
      found.push({ name, fromLow, low: rowAt(candidates, at + word.low), high: rowAt(candidates, at + word.high) })
    }
    return found
  }

  /** What became of the flows that were looked at since the last call, for the native capture to go on with; null for none. */
  settle(): Uint32Array | null {
    if (this.#touched.size === 0) return null
    const words: number[] = []
    for (const flow of this.#touched) {
      const progress = this.#names.progress(flow)
      if (progress === null) continue
      const { decided, looked, nextLow, nextHigh } = progress
      const flags =
        (decided ? settledFlags.decided : 0) |
        (nextLow === null ? 0 : settledFlags.knownLow) |
        (nextHigh === null ? 0 : settledFlags.knownHigh)
      words.push(flow, flags, looked, nextLow ?? 0, nextHigh ?? 0)
    }
    this.#touched.clear()
    return Uint32Array.from(words)
  }

  forget(flows: Uint32Array): void {
    for (const flow of flows) this.#names.release(flow)
  }

  /** Gives up what has been in pieces for too long. */
  expire(nowUs: number): void {
    this.#names.expire(nowUs)
  }

  #takeOver(flow: number, flags: number, candidates: Int32Array, at: number): void {
    this.#names.resume(flow, {
      decided: false,
      looked: candidates[at + word.looked]! >>> 0,
      nextLow: flags & candidateFlags.knownLow ? candidates[at + word.nextLow]! >>> 0 : null,
      nextHigh: flags & candidateFlags.knownHigh ? candidates[at + word.nextHigh]! >>> 0 : null,
    })
  }

  #packetAt(candidates: Int32Array, at: number, block: FrameBlock): Packet {
    const packet = this.#packet
    packet.timeUs = block.timeUs[candidates[at + word.frame]!]!
    packet.protocol = candidates[at + word.protocol]!
    packet.sourcePort = candidates[at + word.sourcePort]!
    packet.destinationPort = candidates[at + word.destinationPort]!
    packet.tcpFlags = candidates[at + word.tcpFlags]!
    packet.tcpSequence = candidates[at + word.tcpSequence]! >>> 0
    packet.payloadOffset = candidates[at + word.payloadOffset]!
    packet.payloadLength = candidates[at + word.payloadLength]!
    packet.payloadCaptured = candidates[at + word.payloadCaptured]!
    return packet
  }
}

const rowAt = (words: Int32Array, at: number): BatchRow => ({
  host: words[at]!,
  seq: words[at + 1]!,
  row: words[at + 2]!,
})
