import { ProclabelError } from '../errors.ts'
import type {
  Batch,
  BeginAt,
  Bus,
  BusRecord,
  ConsumedRecord,
  PartitionListener,
  ReaderStatistics,
  Subscription,
} from './bus.ts'

/** Records a group's queue holds before `publish` waits. */
const queueRecords = 64
/** There is one partition. */
const partition = 0

class Group {
  readonly topics = new Set<string>()
  /** Published and not committed, in append order; the first `delivered` of them are with the reader. */
  queue: ConsumedRecord[] = []
  delivered = 0
  /** Those that subscribed and have not ended; the first has the partition. */
  readonly readers: Reader[] = []
  /** Grows when the partition gets another reader or is sought: a commit of before then does nothing. */
  epoch = 0
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

  rewind(): void {
    this.delivered = 0
    this.epoch += 1
    this.wake()
  }

  take(): Pick<Batch, 'records' | 'commit'> {
    const { epoch } = this
    const records = this.queue.slice(this.delivered)
    const last = records.at(-1)!
    this.delivered = this.queue.length
    const commit = async () => {
      if (epoch !== this.epoch) return
      const count = this.queue.indexOf(last) + 1
      this.queue.splice(0, count)
      this.delivered -= count
      this.wake()
    }
    return { records, commit }
  }
}

/** One subscription; it has the partition when it is the group's first. */
class Reader implements Subscription {
  readonly #group: Group
  readonly #bus: InProcessBus
  readonly #signal: AbortSignal
  readonly #listener: PartitionListener
  #isPaused = false

  constructor(group: Group, bus: InProcessBus, signal: AbortSignal, listener: PartitionListener) {
    this.#group = group
    this.#bus = bus
    this.#signal = signal
    this.#listener = listener
    group.readers.push(this)
    signal.addEventListener('abort', this.#end, { once: true })
  }

  async seek(): Promise<boolean> {
    const isReader = this.#group.readers[0] === this
    if (isReader) this.#group.rewind()
    return isReader
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    this.#isPaused = false
    this.#group.wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    const group = this.#group
    let isAssigned = false
    try {
      while (!this.#signal.aborted && !this.#bus.isClosed) {
        if (group.readers[0] === this && !isAssigned) {
          isAssigned = true
          this.#listener.onAssigned?.([partition])
        }
        if (!isAssigned || this.#isPaused || group.delivered === group.queue.length) await group.changed
        else yield { partition, ...group.take() }
      }
    } finally {
      this.#signal.removeEventListener('abort', this.#end)
      this.#end()
    }
  }

  /** The group's next reader gets the partition, with what was not committed. */
  #end = () => {
    const at = this.#group.readers.indexOf(this)
    if (at >= 0) this.#group.readers.splice(at, 1)
    if (at === 0) this.#group.rewind()
    this.#group.wake()
  }
}

/** The bus within one process: one partition, one bounded queue a group, so that a slow reader slows the producers down. */
export class InProcessBus implements Bus {
  readonly #groups = new Map<string, Group>()
  readonly #offsets = new Map<string, number>()
  isClosed = false

  async publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    for (const { key, value, headers } of records) {
      const readers = [...this.#groups.values()].filter(group => group.topics.has(topic))
      for (const group of readers) while (group.isFull && !this.isClosed) await group.changed
      if (this.isClosed) throw new ProclabelError('PROCLABEL_BUS', `${topic}: the bus is closed`)
      const offset = this.#offsets.get(topic) ?? 0
      this.#offsets.set(topic, offset + 1)
      for (const group of readers) {
        group.queue.push({ key, value, headers, topic, partition, offset, appendMs: Date.now() })
        group.wake()
      }
    }
  }

  /** What was published before the group existed is not kept, so every group begins with what is published next. */
  subscribe(
    topics: readonly string[],
    groupName: string,
    signal: AbortSignal,
    listener: PartitionListener = {},
    _beginAt?: BeginAt,
  ): Subscription {
    const group = this.#groups.get(groupName) ?? new Group()
    this.#groups.set(groupName, group)
    for (const topic of topics) group.topics.add(topic)
    return new Reader(group, this, signal, listener)
  }

  reader(groupName: string): ReaderStatistics | null {
    const group = this.#groups.get(groupName)
    if (!group || group.readers.length === 0) return null
    const waiting = group.queue.slice(group.delivered)
    const ofTopic = Map.groupBy(waiting, ({ topic }) => topic)
    return {
      lag: Array.from(group.topics, topic => ({ topic, partition, records: ofTopic.get(topic)?.length ?? 0 })),
      knowsEnd: true,
      oldestMs: waiting[0]?.appendMs ?? null,
      waiting: waiting.length,
      rebalances: group.epoch + 1,
      crashes: { restarted: 0, final: 0 },
    }
  }

  /** Resolves once every group has committed all that was published. */
  async drained(): Promise<void> {
    for (const group of this.#groups.values()) while (group.queue.length > 0 && !this.isClosed) await group.changed
  }

  async close(): Promise<void> {
    this.isClosed = true
    for (const group of this.#groups.values()) group.wake()
  }
}
