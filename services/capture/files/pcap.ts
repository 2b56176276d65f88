import type { NativeAddon } from '#native'
import { type CaptureFormat, DAMAGED, MORE, type Window } from './capture-format.ts'
import { type FrameColumns, MAX_FRAME_BYTES } from './frame-columns.ts'

const HEADER_BYTES = 24
const RECORD_BYTES = 16
/** The variant of A. Kuznetzov adds interface, protocol and packet type to each record. */
const MODIFIED_RECORD_BYTES = 24

const MICROSECONDS = 0xa1b2c3d4
const NANOSECONDS = 0xa1b23c4d
const MODIFIED = 0xa1b2cd34

/** The classic libpcap format (draft-ietf-opsawg-pcap). */
export class PcapFormat implements CaptureFormat {
  readonly dropped = null
  private headerRead = false
  private readonly littleEndian: boolean
  private readonly nanoseconds: boolean
  private readonly recordBytes: number
  private linkType = 0
  /** Before version 2.3 captured and wire length were the other way round; 2.3 itself has files of both kinds. */
  private swapped: 'no' | 'yes' | 'perhaps' = 'no'

  private readonly native: NativeAddon | null

  private constructor(magic: number, littleEndian: boolean, native: NativeAddon | null) {
    this.native = native
    this.littleEndian = littleEndian
    this.nanoseconds = magic === NANOSECONDS
    this.recordBytes = magic === MODIFIED ? MODIFIED_RECORD_BYTES : RECORD_BYTES
  }

  /** Null if the file does not begin with a pcap magic number. */
  static recognize(window: Window, native: NativeAddon | null): PcapFormat | null {
    if (window.end - window.begin < HEADER_BYTES) return null
    for (const littleEndian of [true, false]) {
      const magic = window.view.getUint32(window.begin, littleEndian)
      if (magic === MICROSECONDS || magic === NANOSECONDS || magic === MODIFIED) {
        return new PcapFormat(magic, littleEndian, native)
      }
    }
    return null
  }

  next(window: Window, frames: FrameColumns, skip: (reason: string) => void): number {
    const { view, begin, end } = window
    if (!this.headerRead) return this.readHeader(window)
    if (end - begin < this.recordBytes) return MORE
    const first = view.getUint32(begin + 8, this.littleEndian)
    const second = view.getUint32(begin + 12, this.littleEndian)
    const swap = this.swapped === 'yes' || (this.swapped === 'perhaps' && first > second)
    const captured = swap ? second : first
    const wireLength = swap ? first : second
    // Nothing marks the start of a record, so nothing behind an impossible length can be found again.
    if (captured > MAX_FRAME_BYTES) {
      skip('bad-length')
      return DAMAGED
    }
    const length = this.recordBytes + captured
    if (end - begin < length) return MORE
    const seconds = view.getUint32(begin, this.littleEndian)
    const fraction = view.getUint32(begin + 4, this.littleEndian)
    const micros = this.nanoseconds ? Math.floor(fraction / 1000) : fraction
    frames.add(seconds * 1_000_000 + micros, begin + this.recordBytes, captured, wireLength, this.linkType)
    return length
  }

  run({ data, begin, end }: Window, frames: FrameColumns): number {
    const { native } = this
    if (native === null || !this.headerRead || this.swapped !== 'no') return 0
    const { littleEndian, nanoseconds, recordBytes, linkType } = this
    const { offset, captured, wireLength, timeUs, linkType: linkTypes } = frames
    const columns = [offset, captured, wireLength, timeUs, linkTypes] as const
    const layout = [littleEndian, nanoseconds, recordBytes, linkType] as const
    const count = native.readPcapRun(data, begin, end, ...layout, frames.count, ...columns)
    if (count === 0) return 0
    frames.count += count
    return offset[frames.count - 1]! + captured[frames.count - 1]! - begin
  }

  private readHeader({ view, begin }: Window): number {
    this.headerRead = true
    const major = view.getUint16(begin + 4, this.littleEndian)
    const minor = view.getUint16(begin + 6, this.littleEndian)
    if (major === 2 && minor < 3) this.swapped = 'yes'
    if (major === 2 && minor === 3) this.swapped = 'perhaps'
    // The upper 16 bits say how many bytes of frame check sequence there are.
    this.linkType = view.getUint32(begin + 20, this.littleEndian) & 0xffff
    return HEADER_BYTES
  }
}
