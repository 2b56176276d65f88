import type { NativeAddon } from '#native'
import { type CaptureFormat, DAMAGED, LOSS, MORE, type Window } from './capture-format.ts'
import { type FrameColumns, MAX_FRAME_BYTES } from './frame-columns.ts'

const SECTION = 0x0a0d0d0a
const INTERFACE = 1
const OLD_PACKET = 2
const SIMPLE_PACKET = 3
const ENHANCED_PACKET = 6

const BYTE_ORDER_MAGIC = 0x1a2b3c4d
/** Block type, total length, total length again. */
const FRAME_BYTES = 12
/** Of an enhanced packet block before its frame. */
const blockHeadBytes = 28
/** Packet blocks: a frame and its options; others are skipped whatever they hold. */
const MAX_PACKET_BLOCK_BYTES = MAX_FRAME_BYTES + 65_536
const MAX_INTERFACES = 65_536

const OPTION_TIME_RESOLUTION = 9
const OPTION_TIME_OFFSET = 14
/** epb_dropcount: frames lost on this interface since the one before. */
const OPTION_DROP_COUNT = 4

interface Interface {
  linkType: number
  snapLength: number
  toMicros: (high: number, low: number) => number
  /** 6 or 9 where times count micro- or nanoseconds since the epoch; 0 for others. */
  plainResolution: number
}

/** draft-ietf-opsawg-pcapng: blocks in sections, each section with a byte order and interfaces of its own. */
export class PcapngFormat implements CaptureFormat {
  dropped: number | null = null
  private readonly native: NativeAddon | null
  private littleEndian = true
  private interfaces: Interface[] = []
  private linkTypes = new Uint16Array(0)
  private resolutions = new Uint8Array(0)

  private constructor(native: NativeAddon | null) {
    this.native = native
  }

  /** Null if the file does not begin with a section header block. */
  static recognize({ view, begin, end }: Window, native: NativeAddon | null): PcapngFormat | null {
    if (end - begin < 12 || view.getUint32(begin) !== SECTION) return null
    const isPcapng = [true, false].some(order => view.getUint32(begin + 8, order) === BYTE_ORDER_MAGIC)
    return isPcapng ? new PcapngFormat(native) : null
  }

  next(window: Window, frames: FrameColumns, skip: (reason: string) => void): number {
    const { view, begin, end } = window
    if (end - begin < FRAME_BYTES) return MORE
    // A section's type reads the same in both byte orders, its byte order stands in it.
    if (view.getUint32(begin) === SECTION && !this.beginSection(view, begin)) {
      skip('bad-section')
      return DAMAGED
    }
    const type = view.getUint32(begin, this.littleEndian)
    const length = view.getUint32(begin + 4, this.littleEndian)
    if (length < FRAME_BYTES || length % 4 !== 0) {
      skip('bad-length')
      return DAMAGED
    }
    const isPacket = type === ENHANCED_PACKET || type === SIMPLE_PACKET || type === OLD_PACKET
    if (!isPacket && type !== INTERFACE) return length
    if (length > MAX_PACKET_BLOCK_BYTES) {
      skip('bad-length')
      return length
    }
    if (end - begin < length) return MORE
    if (view.getUint32(begin + length - 4, this.littleEndian) !== length) {
      skip('bad-length')
      return DAMAGED
    }
    const bodyEnd = begin + length - 4
    if (type === ENHANCED_PACKET) {
      const lost = this.readDropCount(view, begin, bodyEnd)
      if (lost > 0 && frames.count > 0) return LOSS
      if (lost > 0) this.dropped = (this.dropped ?? 0) + lost
    }
    const damage = isPacket
      ? this.addPacket(view, begin, bodyEnd, type, frames)
      : this.addInterface(view, begin, bodyEnd)
    if (damage !== null) skip(damage)
    return length
  }

  run({ data, view, begin, end }: Window, frames: FrameColumns): number {
    const { native } = this
    if (native === null || this.interfaces.length === 0) return 0
    const { littleEndian, linkTypes, resolutions } = this
    const { offset, captured, wireLength, timeUs, linkType } = frames
    const columns = [offset, captured, wireLength, timeUs, linkType] as const
    const count = native.readPcapngRun(
      ...([data, begin, end, littleEndian, linkTypes, resolutions, frames.count] as const),
      ...columns,
    )
    if (count === 0) return 0
    frames.count += count
    const last = offset[frames.count - 1]! - blockHeadBytes
    return last + view.getUint32(last + 4, littleEndian) - begin
  }

  private beginSection(view: DataView, begin: number): boolean {
    const littleEndian = view.getUint32(begin + 8, true) === BYTE_ORDER_MAGIC
    if (!littleEndian && view.getUint32(begin + 8) !== BYTE_ORDER_MAGIC) return false
    this.littleEndian = littleEndian
    this.interfaces = []
    this.linkTypes = new Uint16Array(0)
    this.resolutions = new Uint8Array(0)
    return true
  }

  private addInterface(view: DataView, begin: number, end: number): string | null {
    if (end - begin < 16) return 'bad-interface'
    if (this.interfaces.length >= MAX_INTERFACES) return 'too-many-interfaces'
    const order = this.littleEndian
    let resolution = 6
    let offsetSeconds = 0
    let at = begin + 16
    while (at + 4 <= end) {
      const code = view.getUint16(at, order)
      const length = view.getUint16(at + 2, order)
      at += 4
      if (code === 0 || at + length > end) break
      if (code === OPTION_TIME_RESOLUTION && length >= 1) resolution = view.getUint8(at)
      if (code === OPTION_TIME_OFFSET && length >= 8) offsetSeconds = Number(view.getBigInt64(at, order))
      at += (length + 3) & ~3
    }
    this.interfaces.push({
      linkType: view.getUint16(begin + 8, order),
      snapLength: view.getUint32(begin + 12, order),
      toMicros: clock(resolution, offsetSeconds),
      plainResolution: offsetSeconds === 0 && (resolution === 6 || resolution === 9) ? resolution : 0,
    })
    this.linkTypes = Uint16Array.from(this.interfaces, ({ linkType }) => linkType)
    this.resolutions = Uint8Array.from(this.interfaces, ({ plainResolution }) => plainResolution)
    return null
  }

  private addPacket(view: DataView, begin: number, end: number, type: number, frames: FrameColumns): string | null {
    const order = this.littleEndian
    if (type === SIMPLE_PACKET) return this.addSimplePacket(view, begin, end, frames)
    if (end - begin < 28) return 'bad-length'
    const index = type === OLD_PACKET ? view.getUint16(begin + 8, order) : view.getUint32(begin + 8, order)
    const from = this.interfaces[index]
    if (from === undefined) return 'unknown-interface'
    const captured = view.getUint32(begin + 20, order)
    if (captured > MAX_FRAME_BYTES || begin + 28 + captured > end) return 'bad-length'
    const timeUs = from.toMicros(view.getUint32(begin + 12, order), view.getUint32(begin + 16, order))
    frames.add(timeUs, begin + 28, captured, view.getUint32(begin + 24, order), from.linkType)
    return null
  }

  /** Frames lost just before this enhanced packet block; 0 where it does not tell. */
  private readDropCount(view: DataView, begin: number, end: number): number {
    const order = this.littleEndian
    // Nearly all blocks have no options: they end behind the frame.
    let at = begin + 28
    if (at > end) return 0
    at += (view.getUint32(begin + 20, order) + 3) & ~3
    while (at >= begin && at + 4 <= end) {
      const code = view.getUint16(at, order)
      const length = view.getUint16(at + 2, order)
      at += 4
      if (code === 0 || at + length > end) return 0
      if (code === OPTION_DROP_COUNT && length === 8) return Math.min(Number(view.getBigUint64(at, order)), 0xffffffff)
      at += (length + 3) & ~3
    }
    return 0
  }

  /** No time and no captured length: the snap length of the first interface tells how much there is. */
  private addSimplePacket(view: DataView, begin: number, end: number, frames: FrameColumns): string | null {
    if (end - begin < 12) return 'bad-length'
    const from = this.interfaces[0]
    if (from === undefined) return 'unknown-interface'
    const wireLength = view.getUint32(begin + 8, this.littleEndian)
    const captured = Math.min(wireLength, from.snapLength === 0 ? wireLength : from.snapLength)
    if (captured > MAX_FRAME_BYTES || begin + 12 + captured > end) return 'bad-length'
    frames.add(0, begin + 12, captured, wireLength, from.linkType)
    return null
  }
}

/**
 * From ticks of 64 bits to whole microseconds, rounded down. `if_tsresol` is a power of ten, or of two where its
 * highest bit is set. The usual resolutions stay exact in floating point by taking the two halves apart.
 */
function clock(resolution: number, offsetSeconds: number): (high: number, low: number) => number {
  const offsetUs = offsetSeconds * 1_000_000
  if (resolution === 6) return (high, low) => high * 4_294_967_296 + low + offsetUs
  if (resolution === 9) return (high, low) => high * 4_294_967 + Math.floor((high * 296 + low) / 1000) + offsetUs
  const exponent = BigInt(resolution & 0x7f)
  const ticksPerSecond = (resolution & 0x80) !== 0 ? 2n ** exponent : 10n ** exponent
  return (high, low) => {
    const ticks = (BigInt(high) << 32n) | BigInt(low)
    return Number((ticks * 1_000_000n) / ticksPerSecond) + offsetUs
  }
}
