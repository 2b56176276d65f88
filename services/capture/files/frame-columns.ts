import type { FrameBlock } from '../packet-source.ts'

export const BLOCK_FRAMES = 4096

/** Larger than any frame: what tcpdump and Wireshark call the maximum snap length. */
export const MAX_FRAME_BYTES = 262_144

/** The year 2112: a time further off is damage, and its difference to any other must still be a whole number exactly. */
const MAX_TIME_US = 2 ** 52 - 1

/** The columns that a reader fills, record by record. */
export class FrameColumns implements FrameBlock {
  count = 0
  data: Uint8Array = new Uint8Array(0)
  readonly offset = new Int32Array(BLOCK_FRAMES)
  readonly captured = new Int32Array(BLOCK_FRAMES)
  readonly wireLength = new Int32Array(BLOCK_FRAMES)
  readonly timeUs = new Float64Array(BLOCK_FRAMES)
  readonly linkType = new Uint16Array(BLOCK_FRAMES)

  /** A record may claim less on the wire than it holds, more than any frame can have, or an impossible time: it is made plausible. */
  add(timeUs: number, offset: number, captured: number, wireLength: number, linkType: number): void {
    const i = this.count++
    this.timeUs[i] = Math.max(-MAX_TIME_US, Math.min(timeUs, MAX_TIME_US))
    this.offset[i] = offset
    this.captured[i] = captured
    this.wireLength[i] = Math.max(captured, Math.min(wireLength, 0x7fffffff))
    this.linkType[i] = linkType
  }
}
