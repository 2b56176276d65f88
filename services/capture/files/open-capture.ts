import { loadNativeIfBuilt, type NativeAddon } from '#native'
import { InputError } from '../../shared/errors.ts'
import type { FrameBlock, PacketSource, SourceStatistics } from '../packet-source.ts'
import { nameOf, openBytes } from './byte-source.ts'
import { type CaptureFormat, DAMAGED, LOSS, MORE } from './capture-format.ts'
import { BLOCK_FRAMES, FrameColumns } from './frame-columns.ts'
import { PcapFormat } from './pcap.ts'
import { PcapngFormat } from './pcapng.ts'
import { WindowBuffer } from './window-buffer.ts'

/**
 * Opens a capture file, or standard input for `-`: pcap or pcapng, plain or gzip. Throws an InputError if it is no
 * capture at all; what is wrong behind its header is counted in `statistics().skipped`. Runs of ordinary records are read in
 * C++, where there is the addon.
 */
export async function openCapture(
  path: string,
  native: NativeAddon | null = loadNativeIfBuilt(),
): Promise<PacketSource> {
  const bytes = await openBytes(path)
  const buffer = new WindowBuffer(bytes)
  try {
    await buffer.fill(24)
    const format = PcapFormat.recognize(buffer.window, native) ?? PcapngFormat.recognize(buffer.window, native)
    if (format !== null) return new CaptureFile(buffer, format)
    throw new InputError('PROCLABEL_CAPTURE_FORMAT', `${nameOf(path)} is not a pcap or pcapng capture`)
  } catch (error) {
    await bytes.close()
    throw error
  }
}

class CaptureFile implements PacketSource {
  readonly isLive = false
  private readonly buffer: WindowBuffer
  private readonly format: CaptureFormat
  private readonly frames = new FrameColumns()
  private readonly skipped: Record<string, number> = {}
  private read = 0
  private ended = false

  constructor(buffer: WindowBuffer, format: CaptureFormat) {
    this.buffer = buffer
    this.format = format
  }

  async *blocks(signal?: AbortSignal): AsyncIterable<FrameBlock> {
    while (!this.ended && signal?.aborted !== true) {
      const isUsedUp = this.parse()
      if (this.frames.count > 0) {
        this.read += this.frames.count
        yield this.frames
      }
      if (isUsedUp && !this.ended) await this.readMore()
    }
  }

  /** Takes records from the window until it is used up (then true), the block is full, or frames were lost. */
  private parse(): boolean {
    const { window } = this.buffer
    this.frames.count = 0
    this.frames.data = window.data
    while (this.frames.count < BLOCK_FRAMES) {
      const run = this.format.run(window, this.frames)
      if (run > 0) {
        this.buffer.advance(run)
        continue
      }
      const step = this.format.next(window, this.frames, this.skip)
      if (step === MORE) return true
      if (step === LOSS) return false
      if (step === DAMAGED) {
        this.ended = true
        return false
      }
      this.buffer.advance(step)
    }
    return false
  }

  private async readMore(): Promise<void> {
    if (await this.buffer.fill(this.buffer.length + 1)) return
    this.ended = true
    const damage = this.buffer.damage()
    if (damage !== null) this.skip(damage)
    else if (this.buffer.isInsideRecord) this.skip('truncated-record')
  }

  private readonly skip = (reason: string): void => {
    this.skipped[reason] = (this.skipped[reason] ?? 0) + 1
  }

  statistics(): SourceStatistics {
    return {
      read: this.read,
      skipped: { ...this.skipped },
      dropped: this.format.dropped,
      bytesRead: this.buffer.bytesRead(),
    }
  }

  async close(): Promise<void> {
    this.ended = true
    await this.buffer.close()
  }
}
