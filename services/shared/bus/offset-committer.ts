import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer } from 'kafkajs'
import { ProclabelError } from '../errors.ts'
import type { MergedPartition } from './strands.ts'

const retryMs = 500
/** Then the reader is told that it cannot be committed. */
const giveUpMs = 60_000

export interface Commit {
  partition: number
  merged: MergedPartition
  /** Next offset to read of each strand; null where nothing was read. */
  offsets: readonly (number | null)[]
  /** False once the partition was taken away or sought: then nothing is to be committed. */
  isCurrent: () => boolean
  /** The offsets count also where others behind them are committed. */
  isRewind?: boolean
}

/** Commits offsets, one request at a time: what comes meanwhile goes with the next. */
export class OffsetCommitter {
  readonly #consumer: Consumer
  /** By partition: the newest is enough. */
  #waiting = new Map<number, Commit>()
  #next: Promise<void> | null = null
  #last: Promise<void> = Promise.resolve()
  #rejoined = Promise.withResolvers<void>()
  #isClosed = false

  constructor(consumer: Consumer) {
    this.#consumer = consumer
  }

  /** Resolves when it is committed, or there is no longer anything to commit. */
  commit(commit: Commit): Promise<void> {
    if (!commit.isCurrent()) return Promise.resolve()
    const { partition, merged, offsets } = commit
    const before = this.#waiting.get(partition)
    // Batches may be committed in any order: the furthest counts.
    const further = before?.merged === merged && before.isCurrent() ? before.offsets : []
    const furthest = offsets.map((offset, i) => (offset === null ? null : Math.max(offset, further[i] ?? 0)))
    const isRewind = commit.isRewind || (further.length > 0 && before?.isRewind === true)
    this.#waiting.set(partition, { ...commit, offsets: furthest, isRewind })
    this.#next ??= this.#afterLast()
    return this.#next
  }

  /** The member has joined the group: what was refused for that may be tried again. */
  joined(): void {
    this.#rejoined.resolve()
    this.#rejoined = Promise.withResolvers()
  }

  close(): void {
    this.#isClosed = true
    this.#rejoined.resolve()
  }

  async #afterLast(): Promise<void> {
    await this.#last.catch(() => {})
    const commits = [...this.#waiting.values()]
    this.#waiting = new Map()
    this.#next = null
    this.#last = this.#send(commits)
    await this.#last
  }

  async #send(commits: readonly Commit[]): Promise<void> {
    const until = performance.now() + giveUpMs
    for (;;) {
      const current = commits.filter(({ isCurrent }) => isCurrent())
      const offsets = current.flatMap(newOffsets)
      if (offsets.length === 0 || this.#isClosed) return
      try {
        await this.#consumer.commitOffsets(
          offsets.map(({ strand: _, offset, ...at }) => ({ ...at, offset: `${offset}` })),
        )
        for (const { strand, offset } of offsets) strand.committed = offset
        return
      } catch (cause) {
        // While the group rebalances, or its coordinator moves: the next join tells what is still ours.
        if (performance.now() > until) {
          const message = `offsets cannot be committed: ${(cause as Error).message}`
          throw new ProclabelError('PROCLABEL_BUS', message, { cause, retryable: true })
        }
        await Promise.race([this.#rejoined.promise, sleep(retryMs)])
      }
    }
  }
}

function newOffsets({ partition, merged, offsets, isRewind }: Commit) {
  return merged.strands.flatMap((strand, i) => {
    const offset = offsets[i] ?? null
    const isNew = offset !== null && (isRewind || offset > (strand.committed ?? -1))
    return isNew ? [{ topic: strand.topic, partition, offset, strand }] : []
  })
}
