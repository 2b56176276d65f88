import { ProclabelError } from '../errors.ts'
import type { Batch, Bus, BusRecord, ConsumedRecord } from './bus.ts'

/** Records a group's queue holds before `publish` waits. */
const queueRecords = 64

class Group {
  readonly topics = new Set<string>()
  /** Published and not committed, in append order; the first `delivered` of them are with the reader. */
  queue: ConsumedRecord[] = []
  delivered = 0
  #changed = Promise.withResolvers<void>()

  get isFull(): boolean {
    return this.queue.length >= queueRecords
  }

  /** Resolves at the next change: something was published, committed, or the bus was closed. */
  get changed(): Promise<void> {
    return this.#changed.promise
  }

  wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

/** The bus within one process: one partition, one bounded queue a group, so that a slow reader slows the producers down. */
export class InProcessBus implements Bus {
  readonly #groups = new Map<string, Group>()
  readonly #offsets = new Map<string, number>()
  #closed = false

  async publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    for (const record of records) {
      const readers = [...this.#groups.values()].filter(group => group.topics.has(topic))
      for (const group of readers) while (group.isFull && !this.#closed) await group.changed
      if (this.#closed) throw new ProclabelError('PROCLABEL_BUS', `${topic}: the bus is closed`)
      const offset = this.#offsets.get(topic) ?? 0
      this.#offsets.set(topic, offset + 1)
      for (const group of readers) {
        group.queue.push({ ...record, topic, partition: 0, offset })
        group.wake()
      }
    }
  }

  subscribe(topics: readonly string[], groupName: string, signal: AbortSignal): AsyncIterable<Batch> {
    const group = this.#groups.get(groupName) ?? new Group()
    this.#groups.set(groupName, group)
    for (const topic of topics) group.topics.add(topic)
    group.delivered = 0
    return this.#read(group, signal)
  }

  /** Resolves once every group has committed all that was published. */
  async drained(): Promise<void> {
    for (const group of this.#groups.values()) while (group.queue.length > 0 && !this.#closed) await group.changed
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const group of this.#groups.values()) group.wake()
  }

  async *#read(group: Group, signal: AbortSignal): AsyncGenerator<Batch> {
    const onAbort = () => group.wake()
    signal.addEventListener('abort', onAbort)
    try {
      while (!signal.aborted && !this.#closed) {
        const records = group.queue.slice(group.delivered)
        if (records.length === 0) {
          await group.changed
          continue
        }
        group.delivered = group.queue.length
        const commit = async () => {
          const last = records.at(-1)!
          const at = group.queue.indexOf(last)
          group.queue.splice(0, at + 1)
          group.delivered = Math.max(0, group.delivered - at - 1)
          group.wake()
        }
        yield { partition: 0, records, commit }
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
