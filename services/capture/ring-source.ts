import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import type { NativeAddon, NativePacketSource } from '#native'
import { ProclabelError } from '#shared/errors.ts'
import type { FrameBlock, PacketSource, SourceStatistics } from './packet-source.ts'

const ringBytes = 64 * 1024 * 1024
/** How long to wait when there are no frames; the kernel closes a block that is not full after as much. */
const blockPeriodMs = 20
const followEveryMs = 1000
/** While frames come without a pause, timers and sockets have their turn this often. */
const turnEveryMs = 10

export interface RingOptions {
  /** Of those who give the same, 1 to 65,535, each has a part of the flows. */
  group?: number | undefined
  /** Times are those of the network card, by its own clock, where it stamps frames. */
  hardwareTimes?: boolean | undefined
}

/**
 * Live frames of an interface from a ring that the kernel writes (Linux), with its time stamps and drop count. Throws the addon's error.
 */
export function openRing(
  addon: NativeAddon,
  device: string,
  filter: string,
  { group = 0, hardwareTimes = false }: RingOptions = {},
): PacketSource {
  return new RingSource(addon.openPacketSource(device, filter, ringBytes, group, hardwareTimes), device)
}

class RingSource implements PacketSource {
  readonly isLive = true
  readonly #ring: NativePacketSource
  readonly #device: string
  readonly #columns: Omit<FrameBlock, 'count'>
  #read = 0
  #bytesRead = 0
  #dropped = 0
  #isClosed = false

  constructor(ring: NativePacketSource, device: string) {
    this.#ring = ring
    this.#device = device
    const rows = ring.mostFrames()
    this.#columns = {
      data: ring.memory(),
      offset: new Int32Array(rows),
      captured: new Int32Array(rows),
      wireLength: new Int32Array(rows),
      timeUs: new Float64Array(rows),
      linkType: new Uint16Array(rows),
    }
  }

  async *blocks(signal?: AbortSignal): AsyncIterable<FrameBlock> {
    const { offset, captured, wireLength, timeUs, linkType } = this.#columns
    let followedMs = performance.now()
    let turnedMs = followedMs
    while (!signal?.aborted && !this.#isClosed) {
      const nowMs = performance.now()
      if (nowMs - followedMs >= followEveryMs) {
        this.#follow()
        followedMs = nowMs
      }
      const count = this.#ring.next(offset, captured, wireLength, timeUs, linkType)
      if (count > 0) {
        this.#read += count
        for (let i = 0; i < count; i++) this.#bytesRead += captured[i]!
        yield { ...this.#columns, count }
      }
      if (count > 0 && nowMs - turnedMs < turnEveryMs) continue
      await (count > 0 ? nextTurn() : sleep(blockPeriodMs))
      turnedMs = performance.now()
    }
  }

  #follow(): void {
    try {
      this.#ring.follow()
    } catch (cause) {
      const { message } = cause as Error
      throw new ProclabelError('PROCLABEL_INTERFACE', `cannot go on with '${this.#device}': ${message}`, { cause })
    }
  }

  statistics(): SourceStatistics {
    if (!this.#isClosed) this.#dropped = this.#ring.dropped()
    return { read: this.#read, skipped: {}, dropped: this.#dropped, bytesRead: this.#bytesRead }
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#dropped = this.#ring.dropped()
    this.#isClosed = true
    this.#ring.close()
  }
}
