import type { SessionFacts } from '#core/session-facts.ts'
import { sessionTimes } from '#core/session-table.ts'
import { SharedNames } from '#core/stages/server-name.ts'
import { type Codecs, ownCodecs } from '#schemas'
import type { Batch, Bus, BusRecord, ConsumedRecord, Headers, Subscription } from '#shared/bus/bus.ts'
import type { HostKeys } from '#shared/bus/host-keys.ts'
import { continuedTrace } from '#shared/bus/trace-context.ts'
import { untilDone } from '#shared/retry.ts'
import { pack, unpack } from '#shared/store/packed-state.ts'
import type { OutboxRecord, Store, Version } from '#shared/store/store.ts'
import { TrailingCommits } from '#shared/trailing-commits.ts'
import { Turns } from '#shared/turns.ts'
import { type CopyOptions, HostCopy } from './host-copy.ts'
import type { SocketHistory } from './host-pipeline.ts'
import { HostWriter, type Sink } from './host-writer.ts'
import { SnapshotPace } from './snapshot-pace.ts'

export const inputTopics = ['hosts', 'socket-snapshots', 'socket-events', 'packets'] as const
export const matcherGroup = 'matcher'

/** At the end of the input sessions are published in such portions: the records of all would be too much at once. */
const sessionsASave = 512
/** Batches under way, each of another partition: while one waits for the store or the broker, another is applied. */
const batchesAtOnce = 24
/** Bytes of a host id; a longer key is no host's. */
const maxHostId = 255
/** Bytes of a key and of a value that a dead letter holds at most: together they must be less than a broker takes. */
const maxLetter = { key: 4096, value: 500_000 }
/** What the store knows a partition by that has been read into it: without it, the store was lost, or is new. */
const markOf = (partition: number) => `partition ${partition}`
const markField = 'cut'
/** A session may have begun before the data at hand, if it is seen so soon after where that begins. */
const cutReachMs = sessionTimes.tcpIdleUs / 1000

type SharedOptions = 'constants' | 'provisional' | 'persistent' | 'plausible' | 'onRecord' | 'onLate'

export interface MatcherOptions extends Pick<CopyOptions, SharedOptions> {
  bus: Bus
  store: Store
  codecs: Codecs
  /** Learns the schemas of records that other versions wrote, where it answers with a promise. */
  prepare: (records: Iterable<{ topic: string; value: Uint8Array | null }>) => Promise<void> | undefined
  /** Where hosts must sign what they tell; those of records that were applied once are not asked for again. */
  hostKeys?: Pick<HostKeys, 'forgeries'> | undefined
  /** Offsets are committed this long after their batch was written: more than the store can lose, milliseconds. */
  commitLagMs: number
  /** A resolver learns names over all hosts, and this matcher applies what it says; without one, names are learned here. */
  hasResolver: boolean
  /** Where records go instead of the bus and the store, for one process that loses all of it or nothing. */
  sink?: Sink
  /** Told what became of each record. */
  onFate?: (topic: string, fate: string) => void
  /** Told when a batch has been written. */
  onBatch?: (batch: BatchReport) => void
}

export interface BatchReport {
  records: readonly ConsumedRecord[]
  /** How long it took to load the hosts' copies and apply the records, and to save and publish what came of it. */
  applySeconds: number
  writeSeconds: number
  /** How often another matcher had written a host meanwhile. */
  fenced: number
}

/** For one process that reads and writes by itself: state has nowhere to go on, and files tell of any time. */
export const withinProcess = Object.freeze({
  persistent: false,
  plausible: null,
  commitLagMs: 0,
  hasResolver: false,
  codecs: ownCodecs,
  prepare: () => undefined,
})

/** One partition, as this matcher reads it. */
interface Partition {
  copies: Map<string, HostCopy>
  written: TrailingCommits
  /**
   * When the first packets that are left of it came, where earlier ones are gone: milliseconds of the bus. Null where none
   * are; NaN until the first packets are read from its beginning, since the store did not know it.
   */
  cutMs: number | null
  markVersion: Version
}

/**
 * The join. For each batch: apply its records to the hosts' working copies; write what changed and the sessions to publish
 * in one atomic write a host; publish; acknowledge; and commit, later.
 */
export class Matcher {
  readonly #options: MatcherOptions
  readonly #copyOptions: CopyOptions
  readonly #writer: HostWriter
  readonly #partitions = new Map<number, Partition>()
  readonly #turns = new Turns()
  #epoch: number
  #signal: AbortSignal = new AbortController().signal
  /** Records by what became of them: applied, repeated, tombstone, or the reason they could not be used. */
  readonly records: Record<string, number> = {}

  constructor(options: MatcherOptions) {
    const { bus, store, constants, hasResolver } = options
    this.#options = options
    const sharedNames = hasResolver ? null : new SharedNames(constants)
    this.#copyOptions = { ...options, sharedNames, pace: new SnapshotPace() }
    this.#writer = new HostWriter(bus, store, options.sink ?? null)
    this.#epoch = store.epoch
  }

  /** Reads until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, store, hasResolver, persistent } = this.#options
    const topics = hasResolver ? [...inputTopics, 'resolutions'] : inputTopics
    const failed = new AbortController()
    this.#signal = AbortSignal.any([signal, failed.signal])
    const underWay = new Map<number, Promise<void>>()
    const revoked = new Set<number>()
    const onRevoked = (partitions: readonly number[]) => {
      for (const partition of partitions) {
        if (underWay.has(partition)) revoked.add(partition)
        else this.#partitions.delete(partition)
      }
    }
    const subscription = bus.subscribe(topics, matcherGroup, this.#signal, { onRevoked })
    const take = async (batch: Batch) => {
      const { partition } = batch
      subscription.pause(partition)
      try {
        await this.#take(batch, subscription)
      } catch (error) {
        failed.abort(error)
      } finally {
        underWay.delete(partition)
        if (revoked.delete(partition)) this.#partitions.delete(partition)
        subscription.resume(partition)
      }
    }
    try {
      for await (const batch of subscription) {
        if (store.epoch !== this.#epoch) {
          await Promise.all(underWay.values())
          await this.#startOver(batch, subscription)
          continue
        }
        underWay.set(batch.partition, take(batch))
        if (underWay.size === (persistent ? batchesAtOnce : 1)) await Promise.race(underWay.values())
      }
    } catch (error) {
      failed.abort(error)
    }
    await Promise.all(underWay.values())
    if (failed.signal.aborted && !signal.aborted) throw failed.signal.reason
  }

  /** The input is over: ends every session. Those whose label could change are kept for `finish`. */
  async end(): Promise<void> {
    for (const [hostId, copy] of this.#copies()) {
      let more = true
      while (more) {
        more = copy.end(sessionsASave)
        await this.#writer.write(new Map([[hostId, copy]]), this.#signal)
      }
    }
  }

  /** Hosts and facts of the sessions whose label is not final. */
  *undecided(): Iterable<{ hostId: string; facts: SessionFacts }> {
    for (const [hostId, { pipeline }] of this.#copies())
      for (const facts of pipeline.undecided()) yield { hostId, facts }
  }

  /** After `end`: post-processing for the last time; publishes what is left. */
  async finish(history: SocketHistory | null = null): Promise<void> {
    for (const [hostId, copy] of this.#copies()) {
      copy.pipeline.finish(history)
      await this.#writer.write(new Map([[hostId, copy]]), this.#signal)
    }
  }

  /** Hosts whose working copy is in memory. */
  get hosts(): number {
    let hosts = 0
    for (const { copies } of this.#partitions.values()) hosts += copies.size
    return hosts
  }

  /** Sessions in memory, open or not final. */
  get size(): number {
    let size = 0
    for (const [, { pipeline }] of this.#copies()) size += pipeline.size
    return size
  }

  *#copies(): Iterable<[string, HostCopy]> {
    for (const { copies } of this.#partitions.values()) yield* copies
  }

  async #take(batch: Batch, subscription: Subscription): Promise<void> {
    const partition = this.#partitions.get(batch.partition) ?? (await this.#begin(batch, subscription))
    if (partition === null) return
    await this.#options.prepare(batch.records)
    if (Number.isNaN(partition.cutMs)) await this.#noteCut(batch, partition)
    await this.#turns.next()
    const startMs = performance.now()
    const applied = await this.#apply(batch.records, partition)
    if (applied === null) {
      this.#partitions.delete(batch.partition)
      await subscription.seek(batch.partition, 'committed')
      return
    }
    const { fenced, writeMs } = applied
    const applySeconds = (performance.now() - startMs - writeMs) / 1000
    this.#options.onBatch?.({ records: batch.records, applySeconds, writeSeconds: writeMs / 1000, fenced })
    partition.written.add(batch)
    await partition.written.commit()
  }

  /** The first batch of a partition. Null where the store does not know it: then it is read again from its beginning. */
  async #begin({ partition: number }: Batch, subscription: Subscription): Promise<Partition | null> {
    const { store, persistent } = this.#options
    const partition: Partition = {
      copies: new Map(),
      written: new TrailingCommits(this.#options.commitLagMs, () => store.epoch === this.#epoch),
      cutMs: null,
      markVersion: '0',
    }
    if (persistent) {
      const mark = markOf(number)
      const { version, fields } = await untilDone(this.#signal, () => store.load(mark))
      if (version === '0') {
        const write = { expectedVersion: version, put: new Map([[markField, pack(Number.NaN)]]), outbox: [] }
        // Not marked before the group begins there: whoever gets the partition next would take the rest as read.
        if (await subscription.seek(number, 'earliest')) await untilDone(this.#signal, () => store.save(mark, write))
        return null
      }
      partition.cutMs = unpack(fields.get(markField)!) as number | null
      partition.markVersion = version
    }
    this.#partitions.set(number, partition)
    return partition
  }

  /** By the first packets of a partition that is read from its beginning: whether there were earlier ones. */
  async #noteCut({ partition: number, records }: Batch, partition: Partition): Promise<void> {
    const first = records.find(({ topic }) => topic === 'packets')
    if (first === undefined) return
    partition.cutMs = first.offset > 0 ? first.appendMs : null
    const put = new Map([[markField, pack(partition.cutMs)]])
    const write = { expectedVersion: partition.markVersion, put, outbox: [] }
    // Another that has it meanwhile has read the same.
    await untilDone(this.#signal, () => this.#options.store.save(markOf(number), write))
    if (partition.cutMs !== null) for (const copy of partition.copies.values()) copy.beginInMidst()
  }

  /**
   * Applies and writes records. Where somebody else has written a host meanwhile, its copy is loaded again; it knows what of
   * these records the other has applied. Answers with how often that was so, and how long the writing took; null where the store
   * may have lost writes meanwhile: on the state that it has now these records would leave a hole.
   */
  async #apply(
    records: readonly ConsumedRecord[],
    partition: Partition,
  ): Promise<{ fenced: number; writeMs: number } | null> {
    const hasLost = () => this.#options.store.epoch !== this.#epoch
    let timesFenced = 0
    let writeMs = 0
    const forgeries = await this.#options.hostKeys?.forgeries(records)
    const letters = new Map<ConsumedRecord, { reason: string; detail: string }>(forgeries)
    for (let left = letters.size > 0 ? records.filter(record => !letters.has(record)) : records; left.length > 0; ) {
      const usable = left.filter(record => {
        const bytes = Buffer.byteLength(record.key)
        if (bytes <= maxHostId) return true
        letters.set(record, { reason: 'host-id-too-long', detail: `${bytes} bytes` })
        return false
      })
      const isCut = partition.cutMs !== null && records[0]!.appendMs - partition.cutMs < cutReachMs
      const touched = await this.#load(new Set(usable.map(({ key }) => key)), partition.copies, isCut)
      if (hasLost()) return null
      const fates = usable.map(record => ({ record, fate: touched.get(record.key)!.apply(record) }))
      const writeFromMs = performance.now()
      const fenced = await this.#writer.write(touched, this.#signal, tracesOf(usable))
      writeMs += performance.now() - writeFromMs
      if (fenced.size > 0 && hasLost()) return null
      for (const hostId of fenced) partition.copies.delete(hostId)
      timesFenced += fenced.size
      for (const { record, fate } of fates) {
        if (fenced.has(record.key)) continue
        if ('detail' in fate) letters.set(record, { reason: fate.kind, detail: fate.detail })
        else this.#count(record.topic, fate.kind)
      }
      left = usable.filter(({ key }) => fenced.has(key))
    }
    await this.#bury(letters)
    return { fenced: timesFenced, writeMs }
  }

  /** The working copies of hosts; those that are not in memory from the store, and what waits in their outboxes is published. */
  async #load(
    hostIds: ReadonlySet<string>,
    copies: Map<string, HostCopy>,
    isCut: boolean,
  ): Promise<Map<string, HostCopy>> {
    const { store } = this.#options
    const unknown = [...hostIds].filter(hostId => !copies.has(hostId))
    if (unknown.length > 0) {
      const states = await untilDone(this.#signal, () => store.loadMany(unknown))
      const outboxes = new Map<string, readonly OutboxRecord[]>()
      for (const [hostId, state] of states) {
        await this.#options.prepare(HostCopy.journaled(state))
        await this.#turns.next()
        const copy = HostCopy.restore(hostId, state, this.#copyOptions)
        if (isCut && state.version === '0') copy.beginInMidst()
        copies.set(hostId, copy)
        if (state.version !== '0') outboxes.set(hostId, await untilDone(this.#signal, () => store.outbox(hostId)))
      }
      await this.#writer.publish(outboxes, this.#signal)
    }
    return new Map(Array.from(hostIds, hostId => [hostId, copies.get(hostId)!]))
  }

  /** The store may have lost writes: the copies are dropped, and the input is read again from what was committed, this batch too. */
  async #startOver(batch: Batch, subscription: Subscription): Promise<void> {
    this.#epoch = this.#options.store.epoch
    const partitions = new Set([...this.#partitions.keys(), batch.partition])
    this.#partitions.clear()
    for (const partition of partitions) await subscription.seek(partition, 'committed')
  }

  /** Records nobody can use go to `dead-letters`. */
  async #bury(letters: ReadonlyMap<ConsumedRecord, { reason: string; detail: string }>): Promise<void> {
    if (letters.size === 0) return
    const records = Array.from(letters, ([{ topic, partition, offset, key, value }, { reason, detail }]): BusRecord => {
      this.#count(topic, reason)
      const keyBytes = Buffer.from(key)
      const letter = {
        ...{ topic, partition, offset, step: matcherGroup, reason, time_us: Date.now() * 1000 },
        key: keyBytes.subarray(0, maxLetter.key),
        value: value && Buffer.from(value.subarray(0, maxLetter.value)),
      }
      const isCut = keyBytes.length > maxLetter.key || (value?.length ?? 0) > maxLetter.value
      const sizes = `; cut here: the key has ${keyBytes.length} bytes, the value ${value?.length ?? 0}`
      const told = { ...letter, detail: isCut ? detail + sizes : detail }
      return { key: topic, value: this.#options.codecs['dead-letters'].encode(told) }
    })
    await untilDone(this.#signal, () => this.#options.bus.publish('dead-letters', records))
  }

  #count(topic: string, fate: string): void {
    this.#options.onFate?.(topic, fate)
    this.records[fate] = (this.records[fate] ?? 0) + 1
  }
}

/** By host: the trace that goes on with what is published of it, the last one of these records. */
function tracesOf(records: readonly ConsumedRecord[]): Map<string, Headers> {
  const traces = new Map<string, Headers>()
  for (const { key, headers } of records) {
    const trace = continuedTrace(headers)
    if (trace) traces.set(key, trace)
  }
  return traces
}
