import { setTimeout as sleep } from 'node:timers/promises'
import type { FrameBlock, PacketSource, SourceStatistics } from './packet-source.ts'

/** Frames of up to this much capture time are handed out at once. */
const sliceUs = 20_000

/** A capture file at the speed at which it was captured: frames are handed out when as much time has passed as between them. */
export class PacedSource implements PacketSource {
  readonly isLive = true
  readonly #source: PacketSource
  #start: { captureUs: number; ms: number } | null = null

  constructor(source: PacketSource) {
    this.#source = source
  }

  /** Capture time by now, microseconds since the epoch; null before the first frame. */
  get nowUs(): number | null {
    return this.#start && Math.round(this.#start.captureUs + (performance.now() - this.#start.ms) * 1000)
  }

  async *blocks(signal?: AbortSignal): AsyncIterable<FrameBlock> {
    for await (const block of this.#source.blocks(signal)) {
      for (let from = 0; from < block.count && !signal?.aborted; ) {
        const dueUs = block.timeUs[from]!
        this.#start ??= { captureUs: dueUs, ms: performance.now() }
        let to = from + 1
        while (to < block.count && block.timeUs[to]! < dueUs + sliceUs) to++
        const aheadUs = block.timeUs[to - 1]! - this.nowUs!
        await sleep(Math.max(0, aheadUs / 1000), undefined, { signal }).catch(() => {})
        yield slice(block, from, to)
        from = to
      }
    }
  }

  statistics(): SourceStatistics {
    return this.#source.statistics()
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}

const slice = ({ data, ...columns }: FrameBlock, from: number, to: number): FrameBlock => ({
  count: to - from,
  data,
  offset: columns.offset.subarray(from, to),
  captured: columns.captured.subarray(from, to),
  wireLength: columns.wireLength.subarray(from, to),
  timeUs: columns.timeUs.subarray(from, to),
  linkType: columns.linkType.subarray(from, to),
})
