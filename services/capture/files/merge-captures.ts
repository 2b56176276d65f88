import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { FrameBlock, PacketSource, SourceStatistics } from '../packet-source.ts'
import { openCapture } from './open-capture.ts'

/** A capture that is read, with the frames not yet handed out: `block` from row `at` on. */
interface Reader {
  source: PacketSource
  blocks: AsyncIterator<FrameBlock>
  block: FrameBlock
  at: number
}

/** The capture files that the paths name: a folder stands for the files in it and its folders. */
export async function captureFiles(paths: readonly string[]): Promise<string[]> {
  const files = paths.map(async path => {
    if (path === '-' || !(await stat(path).catch(() => null))?.isDirectory()) return [path]
    const names = await readdir(path, { recursive: true })
    return names.filter(name => /\.(pcap|pcapng|cap)(\.gz|\.zst)?$/.test(name)).map(name => join(path, name))
  })
  return (await Promise.all(files)).flat()
}

/**
 * Several captures as one, in order of time: at each moment the frames of the capture that is furthest behind. A file is
 * opened when its first frame is due, so that a folder of minutes needs few open files. A single one is passed through.
 */
export async function mergeCaptures(files: readonly string[]): Promise<PacketSource> {
  if (files.length === 1) return openCapture(files[0]!)
  const waiting: { file: string; firstUs: number }[] = []
  for (const file of files)
    waiting.push({ file, firstUs: file === '-' ? Number.NEGATIVE_INFINITY : await firstTime(file) })
  waiting.sort((a, b) => a.firstUs - b.firstUs)
  return new MergedCaptures(waiting)
}

class MergedCaptures implements PacketSource {
  readonly isLive = false
  readonly #waiting: { file: string; firstUs: number }[]
  readonly #readers: Reader[] = []
  readonly #sources: PacketSource[] = []

  constructor(waiting: { file: string; firstUs: number }[]) {
    this.#waiting = waiting
  }

  async *blocks(signal?: AbortSignal): AsyncIterable<FrameBlock> {
    while (!signal?.aborted) {
      const behind = this.#furthestBehind()
      const next = this.#waiting[0]
      if (next && (behind === null || next.firstUs <= headUs(behind))) {
        this.#waiting.shift()
        await this.#open(next.file)
        continue
      }
      if (behind === null) return
      yield this.#run(behind, next?.firstUs ?? Number.POSITIVE_INFINITY)
      if (behind.at === behind.block.count) await this.#advance(behind)
    }
  }

  statistics(): SourceStatistics {
    const total: SourceStatistics = { read: 0, skipped: {}, dropped: null, bytesRead: 0 }
    for (const source of this.#sources) {
      const { read, skipped, dropped, bytesRead } = source.statistics()
      total.read += read
      total.bytesRead += bytesRead
      if (dropped !== null) total.dropped = (total.dropped ?? 0) + dropped
      for (const [reason, count] of Object.entries(skipped))
        total.skipped[reason] = (total.skipped[reason] ?? 0) + count
    }
    return total
  }

  async close(): Promise<void> {
    for (const { source } of this.#readers) await source.close()
  }

  #furthestBehind(): Reader | null {
    return this.#readers.reduce<Reader | null>((a, b) => (a === null || headUs(b) < headUs(a) ? b : a), null)
  }

  /** The reader's next frames, as far as no other capture has an earlier one; at least one. */
  #run(reader: Reader, nextFileUs: number): FrameBlock {
    const others = this.#readers.filter(other => other !== reader).map(headUs)
    const untilUs = Math.min(nextFileUs, ...others)
    const { block, at } = reader
    let to = at + 1
    while (to < block.count && block.timeUs[to]! <= untilUs) to++
    reader.at = to
    return {
      count: to - at,
      data: block.data,
      offset: block.offset.subarray(at, to),
      captured: block.captured.subarray(at, to),
      wireLength: block.wireLength.subarray(at, to),
      timeUs: block.timeUs.subarray(at, to),
      linkType: block.linkType.subarray(at, to),
    }
  }

  async #open(file: string): Promise<void> {
    const source = await openCapture(file)
    this.#sources.push(source)
    const blocks = source.blocks()[Symbol.asyncIterator]()
    const first = await blocks.next()
    if (first.done) await source.close()
    else this.#readers.push({ source, blocks, block: first.value, at: 0 })
  }

  async #advance(reader: Reader): Promise<void> {
    const { done, value } = await reader.blocks.next()
    if (!done) {
      reader.block = value
      reader.at = 0
      return
    }
    this.#readers.splice(this.#readers.indexOf(reader), 1)
    await reader.source.close()
  }
}

const headUs = ({ block, at }: Reader): number => block.timeUs[at]!

/** Time of a capture's first frame; a capture without frames sorts last. */
async function firstTime(file: string): Promise<number> {
  const source = await openCapture(file)
  try {
    for await (const block of source.blocks()) return block.timeUs[0]!
    return Number.POSITIVE_INFINITY
  } finally {
    await source.close()
  }
}
