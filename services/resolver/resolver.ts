import { setTimeout as sleep } from 'node:timers/promises'
import type { MatchConstants } from '#core/constants.ts'
import { codecs as checkedInCodecs, DecodeError, partitionKey, type Resolution } from '#schemas'
import type { Batch, Bus, BusRecord, ConsumedRecord, Subscription } from '#shared/bus/bus.ts'
import { untilDone } from '#shared/retry.ts'
import { pack, unpack } from '#shared/store/packed-state.ts'
import type { HostWrite, Store, Version } from '#shared/store/store.ts'
import { TrailingCommits } from '#shared/trailing-commits.ts'
import { PartitionNames } from './partition-names.ts'

export const resolverGroup = 'resolver'
export const inputTopic = 'labeled-sessions'

/** How often sessions that wait are looked at again: event time, and the clock's where no session is told meanwhile. */
const lookEveryUs = 30_000_000
const lookEveryMs = 30_000
/** How often a resolver that is told nothing looks whether something is due. */
const tickMs = 1_000
/** A state that takes longer to pack is written less often, in proportion: packing stops everything else. */
const quickPackMs = 250

const stateField = 'state'
/** What the store knows a partition by. */
export const storedAs = (partition: number): string => `resolver partition ${partition}`

interface StoredState {
  names: ReturnType<PartitionNames['state']>
  /** Offset of the last record that is in it. */
  applied: number
}

export interface ResolverOptions {
  bus: Bus
  store: Store
  constants: MatchConstants
  /** State is written this often, at most: what is between two writes is read again after a crash. */
  writeEveryMs: number
  /** Offsets are committed this long after the state was written: more than the store can lose, milliseconds. */
  commitLagMs: number
  /** Those of the registry's schema ids; of the checked-in schemas when not given. */
  codecs?: Pick<typeof checkedInCodecs, 'labeled-sessions' | 'resolutions' | 'dead-letters'>
  /** Awaited before records are decoded. */
  prepare?: (records: readonly ConsumedRecord[]) => Promise<void> | undefined
  /** Told of each batch when it has been read, what became of its records, and how long that took. */
  onBatch?: (records: readonly ConsumedRecord[], fates: Readonly<Record<string, number>>, seconds: number) => void
  /** Told of what was published. */
  onResolved?: (resolutions: readonly Resolution[]) => void
}

/** One partition, as this resolver reads it. */
interface Partition {
  names: PartitionNames
  version: Version
  applied: number
  /** Something has changed since the state was written. */
  isDirty: boolean
  /** The last batch that was read, until it is among `written`. */
  last: Batch | null
  /** Batches whose records are in the store, and that are not committed, oldest first. */
  written: TrailingCommits
  nextWriteMs: number
  /** When the sessions that wait were last looked at, and how many records had been read by then. */
  lookedUs: number
  lookedMs: number
  lookedRecords: number
}

/**
 * Stage N over all hosts. Learns from sessions that stage A labeled, and tells the matcher what it knows of those that have no
 * label. State goes to the store every few seconds and offsets are committed behind it, so that whoever goes on after a crash
 * reads again what the state does not have; what is then decided twice, the matcher takes once.
 */
export class Resolver {
  readonly #options: ResolverOptions
  readonly #codecs: NonNullable<ResolverOptions['codecs']>
  readonly #partitions = new Map<number, Partition>()
  /** Partitions that are being read again from the earliest record, since the store does not have what was committed. */
  readonly #sought = new Set<number>()
  /** Records read, of all partitions: what one of them tells may answer the sessions of another. */
  #records = 0
  #epoch: number
  #signal: AbortSignal = new AbortController().signal

  constructor(options: ResolverOptions) {
    this.#options = options
    this.#codecs = options.codecs ?? checkedInCodecs
    this.#epoch = options.store.epoch
  }

  /** Reads until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal
    const stop = new AbortController()
    const onRevoked = (partitions: readonly number[]) => {
      for (const partition of partitions) this.#drop(partition)
    }
    const ended = AbortSignal.any([signal, stop.signal])
    const subscription = this.#options.bus.subscribe([inputTopic], resolverGroup, ended, { onRevoked })
    const batches = subscription[Symbol.asyncIterator]()
    try {
      let next = batches.next()
      let tick = sleep(tickMs, undefined, { signal: ended })
      for (;;) {
        const read = await Promise.race([next, tick])
        if (read === undefined) {
          for (const [number, partition] of this.#partitions) await this.#work(number, partition, subscription)
          tick = sleep(tickMs, undefined, { signal: ended })
        } else {
          if (read.done) break
          await this.#take(read.value, subscription)
          next = batches.next()
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      stop.abort()
      await batches.return?.()
    }
  }

  /** Sessions that wait for a label. */
  get waiting(): number {
    return this.#sum(({ waiting }) => waiting)
  }

  /** Sessions that were given up for want of room, in the partitions that this resolver has. */
  get givenUp(): number {
    return this.#sum(({ givenUp }) => givenUp)
  }

  #sum(count: (names: PartitionNames) => number): number {
    let sum = 0
    for (const { names } of this.#partitions.values()) sum += count(names)
    return sum
  }

  #drop(partition: number): void {
    this.#partitions.delete(partition)
    this.#sought.delete(partition)
  }

  async #take(batch: Batch, subscription: Subscription): Promise<void> {
    if (this.#options.store.epoch !== this.#epoch) return this.#startOver(batch, subscription)
    const partition = this.#partitions.get(batch.partition) ?? (await this.#begin(batch, subscription))
    if (partition === null) return
    await this.#options.prepare?.(batch.records)
    await this.#read(batch.records, partition)
    partition.last = batch
    await this.#work(batch.partition, partition, subscription)
  }

  /** The first batch of a partition. Null where what lies before it is neither in the store nor was read: then it comes again. */
  async #begin({ partition: number, records }: Batch, subscription: Subscription): Promise<Partition | null> {
    const { store, constants } = this.#options
    const { version, fields } = await untilDone(this.#signal, () => store.load(storedAs(number)))
    const names = new PartitionNames(constants)
    const packed = fields.get(stateField)
    const stored = packed ? (unpack(packed) as StoredState) : null
    const applied = stored?.applied ?? -1
    if (records[0]!.offset > applied + 1 && !this.#sought.has(number)) {
      this.#sought.add(number)
      await subscription.seek(number, 'earliest')
      return null
    }
    if (stored) names.restore(stored.names)
    const partition: Partition = {
      ...{
        names,
        version,
        applied,
        isDirty: false,
        last: null,
        written: new TrailingCommits(this.#options.commitLagMs, () => store.epoch === this.#epoch),
      },
      ...{ nextWriteMs: performance.now() + this.#options.writeEveryMs },
      ...{ lookedUs: names.nowUs, lookedMs: performance.now(), lookedRecords: -1 },
    }
    this.#partitions.set(number, partition)
    return partition
  }

  async #read(records: readonly ConsumedRecord[], partition: Partition): Promise<void> {
    const all = this.#all()
    const startMs = performance.now()
    const fates: Record<string, number> = {}
    const count = (fate: string) => {
      fates[fate] = (fates[fate] ?? 0) + 1
    }
    const letters: BusRecord[] = []
    for (const record of records) {
      const { offset, value, key, appendMs } = record
      if (offset <= partition.applied) {
        count('repeated')
        continue
      }
      partition.applied = offset
      partition.isDirty = true
      this.#records++
      if (value === null) {
        partition.names.forget(key)
        count('tombstone')
        continue
      }
      try {
        partition.names.observe(this.#codecs[inputTopic].decode(value), appendMs * 1000, all)
        count('applied')
      } catch (error) {
        if (!(error instanceof DecodeError)) throw error
        letters.push(this.#letterOf(record, error))
        count(error.reason)
      }
    }
    if (letters.length > 0) await this.#publish('dead-letters', letters)
    this.#options.onBatch?.(records, fates, (performance.now() - startMs) / 1000)
  }

  /** What is due: a look at the sessions that wait, a write, a commit. */
  async #work(number: number, partition: Partition, subscription: Subscription): Promise<void> {
    await this.#look(partition)
    await this.#write(number, partition, subscription)
    await partition.written.commit()
  }

  async #look(partition: Partition): Promise<void> {
    const { names } = partition
    const nowMs = performance.now()
    const isDue = names.nowUs - partition.lookedUs >= lookEveryUs || nowMs - partition.lookedMs >= lookEveryMs
    if (!isDue || partition.lookedRecords === this.#records) return
    partition.lookedUs = names.nowUs
    partition.lookedMs = nowMs
    partition.lookedRecords = this.#records
    const resolutions = names.resolve(this.#all())
    if (resolutions.length === 0) return
    partition.isDirty = true
    const records = resolutions.map(resolution => ({
      key: partitionKey(resolution.host_id),
      value: this.#codecs.resolutions.encode(resolution),
    }))
    await this.#publish('resolutions', records)
    this.#options.onResolved?.(resolutions)
  }

  /** Writes the state; where somebody else has written it, that is taken over. */
  async #write(number: number, partition: Partition, subscription: Subscription): Promise<void> {
    if (partition.isDirty) {
      if (performance.now() < partition.nextWriteMs) return
      if (!(await this.#save(number, partition))) {
        this.#drop(number)
        await subscription.seek(number, 'committed')
        return
      }
    }
    if (partition.last) partition.written.add(partition.last)
    partition.last = null
  }

  /** False if somebody else has written the state. */
  async #save(number: number, partition: Partition): Promise<boolean> {
    const startMs = performance.now()
    const { applied, version } = partition
    const { store, writeEveryMs } = this.#options
    const state: StoredState = { names: partition.names.state(), applied }
    const put = new Map([[stateField, pack(state)]])
    const packedMs = performance.now() - startMs
    const write: HostWrite = { expectedVersion: version, put, outbox: [] }
    const written = await untilDone(this.#signal, () => store.save(storedAs(number), write))
    if (written === null) return false
    partition.version = written
    partition.isDirty = false
    partition.nextWriteMs = startMs + writeEveryMs * Math.max(1, packedMs / quickPackMs)
    return true
  }

  /** The store may have lost writes: what is in memory is dropped, and the input is read again from what was committed. */
  async #startOver(batch: Batch, subscription: Subscription): Promise<void> {
    this.#epoch = this.#options.store.epoch
    const partitions = new Set([...this.#partitions.keys(), batch.partition])
    for (const partition of partitions) this.#drop(partition)
    for (const partition of partitions) await subscription.seek(partition, 'committed')
  }

  #all(): PartitionNames[] {
    return Array.from(this.#partitions.values(), ({ names }) => names)
  }

  #publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    return untilDone(this.#signal, () => this.#options.bus.publish(topic, records))
  }

  #letterOf({ topic, partition, offset, key, value }: ConsumedRecord, { reason, message }: DecodeError): BusRecord {
    const told = { topic, partition, offset, key: Buffer.from(key), value: value && Buffer.from(value) }
    const letter = { ...told, step: resolverGroup, reason, detail: message, time_us: Date.now() * 1000 }
    return { key: topic, value: this.#codecs['dead-letters'].encode(letter) }
  }
}
