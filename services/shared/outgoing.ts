import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus } from './bus/bus.ts'
import { ProclabelError } from './errors.ts'
import type { HealthComponent } from './health.ts'
import { noMetrics } from './metrics.ts'
import { type DropReason, type ProducerMetrics, producerMetrics } from './service-metrics.ts'
import type { EventLog, OutgoingRecord, Spool } from './spool.ts'

export interface OutgoingOptions {
  bus: Pick<Bus, 'publish'>
  /** Null: what does not fit in memory is not taken. The caller opens it; `close` closes it. */
  spool: Spool | null
  log: EventLog
  /** Bytes in memory at most; 64 MiB when not given. */
  maxQueueBytes?: number
  /** How long a record may wait in memory for its acknowledgement before it goes to disk; a second when not given. */
  patienceMs?: number
  metrics?: ProducerMetrics
  /** Is told of every answer of the bus, also a refusal: a bus that is away is no reason to restart the producer, one that never answers is. */
  health?: HealthComponent
}

export interface OutgoingStatistics {
  /** Records that the bus has acknowledged, by topic. */
  published: Readonly<Record<string, number>>
  /** Calls of the bus that failed. */
  failures: number
  /** Records and bytes in memory. */
  queuedRecords: number
  queuedBytes: number
  /** Records that went to disk, and those that are there now. */
  spooledTotal: number
  spooledRecords: number
  spooledBytes: number
  /** Records that will never be published, by reason. */
  dropped: Readonly<Dropped>
}

type Dropped = Partial<Record<DropReason, number>>

interface Queued extends OutgoingRecord {
  /** When it came, by performance.now(). */
  atMs: number
  bytes: number
}

/** Records with the bus, and how many of them are on disk as well. */
interface InFlight {
  records: Queued[]
  bytes: number
  spooled: number
  /** The number in the spool behind the last of those that are there. */
  spoolEnd: number
}

const defaultQueueBytes = 64 * 1024 * 1024
const defaultPatienceMs = 1000
/** What one call of the bus takes, bytes. */
const chunkBytes = 1024 * 1024
/** What a record costs in memory besides key and value, bytes. */
const recordOverhead = 128
const firstRetryMs = 100
const maxRetryMs = 5000

/**
 * What a producer sends, on its way to the bus. `send` never waits. Records of a topic go out in the order in which they
 * came, one call of the bus at a time:
 *
 * ```
 * send ──► memory ─────────────────────────► bus
 *             └── waits too long, or too many ──► spool ──► bus   (all of the spool before what is still in memory)
 * ```
 *
 * A record whose acknowledgement is lost is sent again, before those behind it; so a reader who skips sequence numbers
 * that are not higher than the last takes each once. What an earlier run left in the spool goes first.
 */
export class Outgoing {
  readonly #bus: Pick<Bus, 'publish'>
  readonly #spool: Spool | null
  readonly #log: EventLog
  readonly #maxQueueBytes: number
  readonly #patienceMs: number
  readonly #metrics: ProducerMetrics
  readonly #health: HealthComponent | undefined
  #queue: Queued[] = []
  #queuedBytes = 0
  #inFlight: InFlight | null = null
  /** The move to disk that is going on. */
  #moving: Promise<void> | null = null
  /** The spool did not take all: not tried again before this moment. */
  #moveAgainMs = 0
  #changed = Promise.withResolvers<void>()
  readonly #stop = new AbortController()
  #closing = false
  /** Ends a wait between two attempts, when there is little time left for more. */
  readonly #hurry = new AbortController()
  readonly #failedAtEnd = Promise.withResolvers<void>()
  readonly #timer: NodeJS.Timeout
  readonly #published: Record<string, number> = {}
  readonly #dropped: Dropped = {}
  /** What of the spool's drops is in the metrics. */
  readonly #measured: Dropped = {}
  #failures = 0
  #spooledTotal = 0
  #awaySinceMs: number | null = null
  /** Records dropped since that was told; null while none are. */
  #telling: { dropped: number } | null = null

  constructor(options: OutgoingOptions) {
    this.#bus = options.bus
    this.#spool = options.spool
    this.#log = options.log
    this.#maxQueueBytes = options.maxQueueBytes ?? defaultQueueBytes
    this.#patienceMs = options.patienceMs ?? defaultPatienceMs
    this.#metrics = options.metrics ?? producerMetrics(noMetrics)
    this.#metrics.spoolLimit.set(options.spool?.maxBytes ?? 0)
    this.#health = options.health
    this.#health?.ready()
    this.#timer = setInterval(() => {
      this.#moveIfDue()
      this.#measure()
    }, this.#patienceMs / 4)
    void this.#publishAll()
  }

  /** Takes a record over, or drops it and answers false: memory is full, and the spool too, or there is none. */
  send(topic: string, key: string, value: Uint8Array | null): boolean {
    const bytes = recordOverhead + key.length + (value?.length ?? 0)
    if (this.#closing || this.#queuedBytes + bytes > this.#maxQueueBytes) {
      this.#drop(topic, this.#closing ? 'stopped' : (this.#spool?.refusal ?? 'queue-full'))
      return false
    }
    this.#queue.push({ topic, key, value, atMs: performance.now(), bytes })
    this.#queuedBytes += bytes
    if (this.#isCrowded) this.#moveIfDue()
    this.#wake()
    return true
  }

  get statistics(): OutgoingStatistics {
    const spool = this.#spool?.statistics
    const dropped = { ...this.#dropped }
    for (const [reason, count] of countsOf(spool?.dropped)) dropped[reason] = (dropped[reason] ?? 0) + count
    return {
      published: { ...this.#published },
      failures: this.#failures,
      queuedRecords: this.#queue.length + (this.#inFlight?.records.length ?? 0),
      queuedBytes: this.#queuedBytes,
      spooledTotal: this.#spooledTotal,
      spooledRecords: spool?.records ?? 0,
      spooledBytes: spool?.bytes ?? 0,
      dropped,
    }
  }

  /** Whether the bus has not taken the last that it was given. */
  get isBusAway(): boolean {
    return this.#awaySinceMs !== null
  }

  /** Resolves when memory is at most half full: for a producer that can wait. */
  async hasRoom(): Promise<void> {
    while (this.#isCrowded) await this.#changed.promise
  }

  /** Resolves once the bus has acknowledged all that was sent; it may be for ever that it does not. */
  async drained(): Promise<void> {
    while (!this.#isEmpty) await this.#changed.promise
  }

  /**
   * Takes no more records, publishes for up to `graceMs` what there is, and leaves the rest in the spool; at the first
   * failure, unless it would be lost.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true
    this.#hurry.abort()
    const grace = new AbortController()
    const isOver = sleep(graceMs, undefined, { signal: grace.signal }).catch(() => {})
    await Promise.race([this.drained(), this.#failedAtEnd.promise, isOver])
    grace.abort()
    clearInterval(this.#timer)
    this.#stop.abort()
    this.#wake()
    await this.#moving
    await this.#move()
    for (const { topic } of this.#inFlight?.records.slice(this.#inFlight.spooled) ?? []) this.#drop(topic, 'stopped')
    for (const { topic } of this.#queue) this.#drop(topic, 'stopped')
    this.#measure()
    await this.#spool?.close()
  }

  get #isEmpty(): boolean {
    return (
      this.#queue.length === 0 && this.#inFlight === null && this.#moving === null && (this.#spool?.isEmpty ?? true)
    )
  }

  get #isCrowded(): boolean {
    return this.#queuedBytes > this.#maxQueueBytes / 2
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }

  async #publishAll(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      // Without a turn in between in which another move could begin: it takes from the queue too.
      while (this.#moving) await this.#moving
      if (this.#spool && !this.#spool.isEmpty) await this.#publishSpooled(this.#spool)
      else if (this.#queue.length > 0) await this.#publishQueued()
      else await this.#changed.promise
    }
  }

  async #publishSpooled(spool: Spool): Promise<void> {
    const { records, end } = await spool.read(chunkBytes)
    if (!(await this.#publish(records))) return
    await spool.acknowledge(end)
    this.#wake()
  }

  async #publishQueued(): Promise<void> {
    let bytes = 0
    let count = 0
    while (count < this.#queue.length && (count === 0 || bytes + this.#queue[count]!.bytes <= chunkBytes))
      bytes += this.#queue[count++]!.bytes
    const inFlight: InFlight = { records: this.#queue.splice(0, count), bytes, spooled: 0, spoolEnd: 0 }
    this.#inFlight = inFlight
    if (!(await this.#publish(inFlight.records))) return
    // A move that is going on may be writing these records: what it wrote must not go out again.
    while (this.#moving) await this.#moving
    this.#inFlight = null
    this.#queuedBytes -= bytes
    if (inFlight.spooled > 0) await this.#spool!.acknowledge(inFlight.spoolEnd)
    this.#wake()
  }

  /** Publishes records, topic by topic; false when the run was stopped before all were acknowledged. */
  async #publish(records: readonly OutgoingRecord[]): Promise<boolean> {
    for (const [topic, ofTopic] of Map.groupBy(records, ({ topic }) => topic))
      if (!(await this.#publishTopic(topic, ofTopic))) return false
    return true
  }

  /** Tries until the bus has the records, or says that it will never have them. */
  async #publishTopic(topic: string, records: readonly OutgoingRecord[]): Promise<boolean> {
    const plain = records.map(({ key, value }) => ({ key, value }))
    for (let waitMs = firstRetryMs; !this.#stop.signal.aborted; waitMs = Math.min(waitMs * 2, maxRetryMs)) {
      const startMs = performance.now()
      try {
        await this.#bus.publish(topic, plain)
        this.#published[topic] = (this.#published[topic] ?? 0) + records.length
        this.#metrics.produced.add(records.length, { topic })
        this.#metrics.duration.observe((performance.now() - startMs) / 1000, { topic })
        this.#tellOfReturn()
        return !this.#stop.signal.aborted
      } catch (error) {
        this.#failures++
        this.#health?.progress()
        this.#metrics.errors.add(1, { topic, reason: isForGood(error) ? 'refused' : 'unavailable' })
        if (isForGood(error)) return this.#publishOneByOne(topic, records, error)
        this.#tellOfFailure(topic, error)
        if (this.#closing && this.#spool?.refusal === null) this.#failedAtEnd.resolve()
      }
      await this.#pause(waitMs * (0.5 + Math.random() / 2))
    }
    return false
  }

  async #pause(ms: number): Promise<void> {
    const early = this.#closing ? this.#stop.signal : this.#hurry.signal
    await sleep(ms, undefined, { signal: early }).catch(() => {})
  }

  /** The bus does not accept a record among these: finds it, so that the others go on. */
  async #publishOneByOne(topic: string, records: readonly OutgoingRecord[], error: unknown): Promise<boolean> {
    if (records.length === 1) {
      this.#log.warn(
        { topic, key: records[0]!.key, bytes: records[0]!.value?.length, error },
        'the bus does not accept a record',
      )
      this.#drop(topic, 'not-accepted')
      return true
    }
    for (const record of records) if (!(await this.#publishTopic(topic, [record]))) return false
    return true
  }

  #moveIfDue(): void {
    const now = performance.now()
    const oldest = this.#inFlight && this.#inFlight.spooled === 0 ? this.#inFlight.records[0] : this.#queue[0]
    const isOld = oldest !== undefined && now - oldest.atMs > this.#patienceMs
    if ((!isOld && !this.#isCrowded) || this.#moving || now < this.#moveAgainMs) return
    this.#moving = this.#move().finally(() => {
      this.#moving = null
      this.#wake()
    })
  }

  /** Writes what is in memory to disk, as far as the spool takes it. */
  async #move(): Promise<void> {
    const spool = this.#spool
    if (!spool) return
    const inFlight = this.#inFlight
    while (inFlight && inFlight.spooled < inFlight.records.length) {
      const { taken, end } = await spool.append(inFlight.records.slice(inFlight.spooled))
      if (taken === 0) return this.#moveLater()
      inFlight.spooled += taken
      inFlight.spoolEnd = end
      this.#spooledTotal += taken
    }
    while (this.#queue.length > 0) {
      // The publisher may not take from the queue meanwhile: it waits for this move.
      const { taken } = await spool.append(this.#queue.slice(0, portion(this.#queue)))
      if (taken === 0) return this.#moveLater()
      for (const { bytes } of this.#queue.splice(0, taken)) this.#queuedBytes -= bytes
      this.#spooledTotal += taken
    }
  }

  #moveLater(): void {
    this.#moveAgainMs = performance.now() + this.#patienceMs
  }

  #drop(topic: string, reason: DropReason): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1
    this.#metrics.dropped.add(1, { topic, reason })
    this.#tellOfDrop(reason, 1)
  }

  #tellOfDrop(reason: DropReason, records: number): void {
    if (this.#telling) this.#telling.dropped += records
    else {
      this.#telling = { dropped: records }
      this.#log.warn({ reason, ...this.#loadFields }, 'records are dropped')
    }
  }

  #tellOfFailure(topic: string, error: unknown): void {
    if (this.#awaySinceMs !== null) return
    this.#awaySinceMs = performance.now()
    this.#health?.notReady('the bus does not take records')
    this.#log.warn(
      { topic, error, ...this.#loadFields },
      'the bus does not take records; they wait, then go to the spool',
    )
  }

  #tellOfReturn(): void {
    this.#health?.progress()
    if (this.#awaySinceMs !== null) {
      this.#health?.ready()
      const seconds = Math.round((performance.now() - this.#awaySinceMs) / 1000)
      this.#log.info({ seconds, ...this.#loadFields }, 'the bus takes records again')
      this.#awaySinceMs = null
    }
    if (this.#telling && !this.#isCrowded) {
      this.#log.info({ dropped: this.#telling.dropped }, 'no more records are dropped')
      this.#telling = null
    }
  }

  #measure(): void {
    const { queuedRecords, spooledBytes } = this.statistics
    this.#metrics.queued.set(queuedRecords)
    this.#metrics.spooled.set(spooledBytes)
    for (const [reason, count] of countsOf(this.#spool?.statistics.dropped)) {
      const more = count - (this.#measured[reason] ?? 0)
      this.#measured[reason] = count
      if (more === 0) continue
      this.#metrics.dropped.add(more, { topic: 'other', reason })
      this.#tellOfDrop(reason, more)
    }
    this.#health?.waiting(!this.#isEmpty)
  }

  get #loadFields() {
    return { queued_bytes: this.#queuedBytes, spooled_records: this.#spool?.statistics.records ?? 0 }
  }
}

const countsOf = (dropped: Dropped = {}) => Object.entries(dropped) as [DropReason, number][]

/** How many records from the first on make up a write of about `chunkBytes`. */
function portion(queue: readonly Queued[]): number {
  let bytes = 0
  let count = 0
  while (count < queue.length && bytes < chunkBytes) bytes += queue[count++]!.bytes
  return count
}

/** Whether the bus would answer so every time. Only an error that says so is taken for that: giving a record up loses it. */
const isForGood = (error: unknown): boolean => error instanceof ProclabelError && error.code === 'PROCLABEL_RECORD'
