import { setTimeout as sleep } from 'node:timers/promises'
import type { Consumer, IHeaders, Kafka } from 'kafkajs'
import { ProclabelError } from '../errors.ts'
import type {
  Batch,
  BeginAt,
  ConsumedRecord,
  Headers,
  PartitionListener,
  ReaderStatistics,
  Subscription,
} from './bus.ts'
import { hostAssigner } from './host-assigner.ts'
import { type FetchedBatch, type GroupJoin, type GroupObserver, isWithoutCoordinator } from './kafkajs-patches.ts'
import { OffsetCommitter } from './offset-committer.ts'
import { type Fetched, MergedPartition, type Strand } from './strands.ts'

/** In one batch at most, give or take a record: what is done for it is done at a stretch, and heartbeats wait so long. */
const batchRecords = 500
const batchBytes = 1 << 20
/** What waits of one topic-partition before fetching it pauses, and what waits of all; the fetch under way comes on top. */
const strandBytes = 2 << 20
const allBytes = 64 << 20
/** Fetching goes on when half of it is gone, so that the reader has work until the next answer. */
const resumeShare = 0.5
const fetchBytesPerPartition = 1 << 20
const fetchBytes = 4 << 20
const fetchWaitMs = 100
const fetchMinBytes = 1 << 16
const tickMs = 250
const stopMs = 15_000
/** How often the earliest offsets are asked for, and the time in between: kafkajs asks once, and its connection may break. */
const earliestTries = 20
const earliestRetryMs = 500

export interface SubscriptionTimes {
  /** A member that says nothing for so long has left the group. */
  sessionMs: number
  /** What a member has to join again when another did. */
  rebalanceMs: number
  /** How long a topic that is behind holds the others back while nothing of it arrives. */
  holdMs: number
  /** Without an answer to any fetch for so long, the subscription fails, so that the process can be started anew. */
  stallMs: number
}

export const defaultTimes: SubscriptionTimes = {
  sessionMs: 30_000,
  rebalanceMs: 60_000,
  holdMs: 10_000,
  stallMs: 120_000,
}

export interface SubscriptionOptions {
  kafka: Kafka
  topics: readonly string[]
  group: string
  signal: AbortSignal
  listener: PartitionListener
  beginAt: BeginAt
  times: SubscriptionTimes
}

/** One partition while this reader has it: another object when it was away in between. */
interface Assigned {
  partition: number
  merged: MergedPartition
  /** Topics that are not fetched because too much of them waits. */
  full: Set<Strand>
  /** Grows when it is sought. */
  epoch: number
}

/**
 * A member of a consumer group. kafkajs fetches, joins and sends heartbeats by itself, whatever the reader does: what it
 * brings is put into bounded strands, and the reader takes merged batches from there. So no work of the reader's delays a
 * heartbeat, and a slow reader stops the fetching, not the membership.
 */
export class KafkaSubscription implements Subscription {
  readonly #options: SubscriptionOptions
  readonly #consumer: Consumer
  readonly #committer: OffsetCommitter
  readonly #started: Promise<void>
  readonly #watch: NodeJS.Timeout
  readonly #paused = new Set<number>()
  #partitions = new Map<number, Assigned>()
  /** What the listener was told it has. */
  #told = new Map<number, Assigned>()
  #memberId: string | null = null
  #generation = 0
  #rebalances = 0
  readonly #crashes = { restarted: 0, final: 0 }
  /** Whether kafkajs has a group to speak to. */
  #isRunning = false
  #isOver = false
  #failure: ProclabelError | null = null
  #lastFetchMs = performance.now()
  #changed = Promise.withResolvers<void>()
  #stopped: Promise<void> | null = null

  constructor(options: SubscriptionOptions) {
    this.#options = options
    const { kafka, group, times, signal } = options
    const observer: GroupObserver = {
      joined: join => this.#joined(join),
      fetched: batches => this.#fetched(batches),
    }
    const claim = () => ({ generation: this.#generation, partitions: [...this.#partitions.keys()] })
    this.#consumer = kafka.consumer({
      groupId: group,
      partitionAssigners: [hostAssigner(claim, observer)],
      sessionTimeout: times.sessionMs,
      rebalanceTimeout: times.rebalanceMs,
      heartbeatInterval: Math.min(3000, times.sessionMs / 5),
      maxBytesPerPartition: fetchBytesPerPartition,
      maxBytes: fetchBytes,
      maxWaitTimeInMs: fetchWaitMs,
      minBytes: fetchMinBytes,
      // One that is stopped while it starts anew would start again for ever.
      retry: { restartOnFailure: async () => !this.#isOver },
    })
    this.#committer = new OffsetCommitter(this.#consumer)
    const { STOP, CRASH } = this.#consumer.events
    this.#consumer.on(STOP, () => {
      this.#isRunning = false
    })
    this.#consumer.on(CRASH, ({ payload: { error, restart } }) => {
      this.#crashes[restart ? 'restarted' : 'final']++
      if (!restart) this.#fail(`the consumer of group ${group} crashed: ${explain(error)}`, error)
    })
    signal.addEventListener('abort', this.#wake)
    this.#watch = setInterval(() => this.#checkProgress(), tickMs)
    this.#started = this.#start()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch> {
    try {
      while (!this.#options.signal.aborted && !this.#isOver) {
        if (this.#failure) throw this.#failure
        const changed = this.#changed.promise
        this.#tell()
        const batch = this.#take()
        if (batch) yield batch
        else await changed
      }
    } finally {
      await this.stop()
    }
  }

  get group(): string {
    return this.#options.group
  }

  get isOver(): boolean {
    return this.#isOver
  }

  get statistics(): ReaderStatistics {
    const lag: ReaderStatistics['lag'][number][] = []
    let oldestMs: number | null = null
    let waiting = 0
    let knowsEnd = this.#partitions.size > 0
    for (const { partition, merged } of this.#partitions.values()) {
      for (const strand of merged.strands) {
        lag.push({ topic: strand.topic, partition, records: strand.lag })
        waiting += strand.waiting
        knowsEnd &&= strand.knowsEnd
        if (strand.oldestMs !== null) oldestMs = Math.min(oldestMs ?? strand.oldestMs, strand.oldestMs)
      }
    }
    return { lag, knowsEnd, oldestMs, waiting, rebalances: this.#rebalances, crashes: { ...this.#crashes } }
  }

  async seek(partition: number, to: 'committed' | 'earliest'): Promise<boolean> {
    const assigned = this.#partitions.get(partition)
    if (!assigned || !this.#isRunning) return false
    const { strands } = assigned.merged
    const offsets =
      to === 'committed' ? strands.map(strand => strand.committed) : await this.#earliest(partition, strands)
    if (this.#partitions.get(partition) !== assigned || !this.#isRunning) return false
    assigned.epoch += 1
    for (const [i, strand] of strands.entries()) {
      const offset = offsets[i] ?? null
      // Null: nothing was fetched yet, so the next fetch begins at what is committed.
      if (offset === null) continue
      strand.reset(offset)
      this.#consumer.seek({ topic: strand.topic, partition, offset: String(offset) })
    }
    this.#throttle(assigned)
    if (to === 'committed') return true
    const isCurrent = this.#isCurrent(assigned)
    await this.#committer.commit({ partition, merged: assigned.merged, offsets, isCurrent, isRewind: true })
    return isCurrent()
  }

  pause(partition: number): void {
    this.#paused.add(partition)
  }

  resume(partition: number): void {
    this.#paused.delete(partition)
    this.#wake()
  }

  /** Leaves the group; the loop ends. */
  stop(): Promise<void> {
    this.#isOver = true
    this.#wake()
    this.#stopped ??= this.#stop()
    return this.#stopped
  }

  async #start(): Promise<void> {
    const { topics, group, beginAt } = this.#options
    try {
      await this.#consumer.connect()
      await this.#consumer.subscribe({ topics: [...topics], fromBeginning: beginAt === 'earliest' })
      // The work is done by `fetched`, before this is called; here kafkajs only learns how far it came.
      await this.#consumer.run({ autoCommit: false, eachBatchAutoResolve: true, eachBatch: async () => {} })
    } catch (error) {
      this.#fail(`group ${group} cannot read ${topics.join(', ')}: ${(error as Error).message}`, error)
    }
  }

  async #stop(): Promise<void> {
    clearInterval(this.#watch)
    this.#options.signal.removeEventListener('abort', this.#wake)
    // kafkajs cannot be stopped while it starts: it would join later, and keep partitions that nobody reads.
    const leaving = this.#started.then(() => this.#consumer.disconnect()).catch(() => {})
    await Promise.race([leaving, sleep(stopMs, undefined, { ref: false })])
    this.#committer.close()
  }

  #wake = (): void => {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  #fail(message: string, cause: unknown): void {
    this.#failure ??= new ProclabelError('PROCLABEL_BUS', message, { cause, retryable: true })
    this.#wake()
  }

  /** kafkajs is known to stop fetching without a word, all of it or one partition (its issues 659, 1387). */
  #checkProgress(): void {
    const { group, times } = this.#options
    const longAgoMs = performance.now() - times.stallMs
    if (this.#lastFetchMs < longAgoMs) this.#fail(`group ${group}: no fetch for ${times.stallMs / 1000} s`, null)
    for (const { partition, merged, full } of this.#partitions.values()) {
      for (const strand of merged.strands)
        if (strand.answeredMs < longAgoMs && !full.has(strand))
          this.#fail(`group ${group}: no answer for ${strand.topic}/${partition} in ${times.stallMs / 1000} s`, null)
    }
    // A partition that is held back for want of a topic is looked at again.
    this.#wake()
  }

  #joined({ memberId, generation, assigned }: GroupJoin): void {
    const topicsOf = new Map<number, string[]>()
    for (const topic of this.#options.topics) {
      for (const partition of assigned.find(part => part.topic === topic)?.partitions ?? [])
        topicsOf.set(partition, [...(topicsOf.get(partition) ?? []), topic])
    }
    // In the very next generation nobody else can have had what was ours before and is ours again.
    const isContinuous = memberId === this.#memberId && generation - this.#generation <= 1
    const before = this.#partitions
    this.#partitions = new Map()
    this.#isRunning = true
    this.#rebalances++
    for (const [partition, topics] of topicsOf) {
      const kept = isContinuous ? before.get(partition) : undefined
      const isKept = kept?.merged.strands.map(({ topic }) => topic).join() === topics.join()
      if (isKept) this.#keep(kept!)
      else this.#add(partition, topics)
    }
    this.#memberId = memberId
    this.#generation = generation
    this.#lastFetchMs = performance.now()
    this.#committer.joined()
    this.#wake()
  }

  /** kafkajs would begin at the commit again; what waits here and what the reader has would come twice. */
  #keep(assigned: Assigned): void {
    const { partition, merged } = assigned
    this.#partitions.set(partition, assigned)
    for (const strand of merged.strands) {
      const { topic, position } = strand
      strand.answeredMs = performance.now()
      if (position !== null) this.#consumer.seek({ topic, partition, offset: String(position) })
    }
  }

  #add(partition: number, topics: readonly string[]): void {
    const merged = new MergedPartition(topics, this.#options.times.holdMs)
    this.#partitions.set(partition, { partition, merged, full: new Set(), epoch: 0 })
    // kafkajs remembers pauses of partitions that were away.
    this.#consumer.resume(topics.map(topic => ({ topic, partitions: [partition] })))
  }

  #fetched(batches: readonly FetchedBatch[]): void {
    this.#lastFetchMs = performance.now()
    for (const batch of batches) {
      const assigned = this.#partitions.get(batch.partition)
      const strand = assigned?.merged.strands.find(({ topic }) => topic === batch.topic)
      if (!assigned || !strand) continue
      strand.add(toFetched(batch))
      strand.answeredMs = this.#lastFetchMs
      this.#throttle(assigned)
    }
    if (batches.length > 0) this.#wake()
  }

  /** Tells the listener what has changed since the reader's last batch. */
  #tell(): void {
    const { onRevoked, onAssigned } = this.#options.listener
    const told = this.#told
    this.#told = new Map(this.#partitions)
    const revoked = [...told.values()].filter(assigned => this.#told.get(assigned.partition) !== assigned)
    const added = [...this.#told.values()].filter(assigned => told.get(assigned.partition) !== assigned)
    if (revoked.length > 0) onRevoked?.(revoked.map(({ partition }) => partition))
    if (added.length > 0) onAssigned?.(added.map(({ partition }) => partition))
  }

  /** The next batch, the partitions taking turns; null when none has any. */
  #take(): Batch | null {
    for (const [partition, assigned] of this.#partitions) {
      if (this.#paused.has(partition)) continue
      const records = assigned.merged.take(batchRecords, performance.now(), batchBytes)
      if (records.length === 0) continue
      this.#partitions.delete(partition)
      this.#partitions.set(partition, assigned)
      this.#throttle(assigned)
      return { partition, records, commit: this.#commitOf(assigned) }
    }
    return null
  }

  #commitOf(assigned: Assigned): () => Promise<void> {
    const { partition, merged } = assigned
    const offsets = merged.strands.map(({ handedOut }) => handedOut)
    const isCurrent = this.#isCurrent(assigned)
    return () => this.#committer.commit({ partition, merged, offsets, isCurrent })
  }

  /** Whether what is read now is still being read: neither taken away nor sought since. */
  #isCurrent(assigned: Assigned): () => boolean {
    const { partition, epoch } = assigned
    return () =>
      this.#partitions.get(partition) === assigned && assigned.epoch === epoch && !this.#isOver && !this.#failure
  }

  /** Pauses the fetching of what waits too long, and resumes it. */
  #throttle({ partition, merged, full }: Assigned): void {
    if (!this.#isRunning) return
    const isCrowded = this.#waitingBytes() > allBytes
    for (const strand of merged.strands) {
      const { topic, bytes } = strand
      // What nothing waits of is always fetched: the others may be held back for it.
      const isFull = bytes > strandBytes || (isCrowded && bytes > 0)
      if (isFull && !full.has(strand)) {
        full.add(strand)
        this.#consumer.pause([{ topic, partitions: [partition] }])
      } else if (full.has(strand) && bytes <= strandBytes * resumeShare && !(isCrowded && bytes > 0)) {
        full.delete(strand)
        strand.answeredMs = performance.now()
        this.#consumer.resume([{ topic, partitions: [partition] }])
      }
    }
  }

  #waitingBytes(): number {
    let bytes = 0
    for (const { merged } of this.#partitions.values()) for (const strand of merged.strands) bytes += strand.bytes
    return bytes
  }

  async #earliest(partition: number, strands: readonly Strand[]): Promise<(number | null)[]> {
    for (let tries = 1; ; tries++) {
      const admin = this.#options.kafka.admin()
      try {
        await admin.connect()
        const offsetsOf = async ({ topic }: Strand) => {
          const offsets = await admin.fetchTopicOffsets(topic)
          return Number(offsets.find(offset => offset.partition === partition)?.low ?? 0)
        }
        return await Promise.all(strands.map(offsetsOf))
      } catch (cause) {
        if (tries === earliestTries || this.#isOver || this.#options.signal.aborted) {
          const message = `earliest offsets of partition ${partition} cannot be read: ${(cause as Error).message}`
          throw new ProclabelError('PROCLABEL_BUS', message, { cause, retryable: true })
        }
        await sleep(earliestRetryMs)
      } finally {
        await admin.disconnect()
      }
    }
  }
}

/** It is asked for again and again, but where that is not allowed. */
function explain(error: Error): string {
  return isWithoutCoordinator(error) ? `${error.message}; may this principal READ the group?` : error.message
}

/** Without those that come several times: who reads one of them would not know which. */
function fromKafka(headers: IHeaders = {}): Headers | undefined {
  let known: Record<string, Uint8Array> | undefined
  for (const name in headers) {
    const value = headers[name]
    if (!Buffer.isBuffer(value)) continue
    known ??= Object.create(null) as Record<string, Uint8Array>
    known[name] = value
  }
  return known
}

function toFetched(batch: FetchedBatch): Fetched {
  const { topic, partition, messages } = batch
  const fromOffset = Number(batch.fetchedOffset)
  return {
    fromOffset,
    // Of an answer without records kafkajs says that it reached the end, which it need not have.
    nextOffset: batch.rawMessages.length > 0 ? Number(batch.lastOffset()) + 1 : fromOffset,
    endOffset: Number(batch.highWatermark),
    records: messages.map(
      ({ key, value, headers, offset, timestamp }): ConsumedRecord => ({
        key: key?.toString() ?? '',
        value,
        headers: fromKafka(headers),
        topic,
        partition,
        offset: Number(offset),
        appendMs: Number(timestamp),
      }),
    ),
  }
}
