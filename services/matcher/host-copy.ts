import { InOrder } from '#core/in-order.ts'
import { Sequences } from '#core/sequences.ts'
import {
  type Codecs,
  type LabeledSession,
  type PacketBatch,
  type PacketColumns,
  readPacketColumns,
  type SocketEvents,
  type SocketSnapshot,
  type Topic,
} from '#schemas'
import type { ConsumedRecord } from '#shared/bus/bus.ts'
import { pack, unpack } from '#shared/store/packed-state.ts'
import type { HostState, HostWrite, OutboxRecord, Version } from '#shared/store/store.ts'
import { HostPipeline, type PipelineOptions, type PipelineState } from './host-pipeline.ts'
import type { SnapshotPace } from './snapshot-pace.ts'

/** What became of a record: `repeated` ones were applied before, or say nothing new; of the last three kinds, `detail` says why. */
export type Fate =
  | { kind: 'applied' | 'repeated' | 'tombstone' }
  | { kind: 'undecodable' | 'other-host' | 'implausible-time'; detail: string }

/** Event times that a record may have, microseconds since the epoch; null believes any. */
export interface PlausibleTimes {
  fromUs: number
  /** How far ahead of the time at which the bus took the record in. */
  aheadUs: number
}

export interface CopyOptions extends PipelineOptions {
  /** Whether the state is written to the store, so that another matcher can go on from it. */
  persistent: boolean
  /** Of all copies together. */
  pace: SnapshotPace
  plausible: PlausibleTimes | null
  codecs: Codecs
  /** Told of every message of agent or sensor that came longer after its time than sessions wait for it. */
  onLate?: (topic: Topic) => void
  /** Told of every record that is going to be published, once, and whether it is the first that tells its session closed. */
  onRecord?: (record: LabeledSession, isEnd: boolean) => void
}

/** A record that was applied since the last snapshot; or, with a topic of its own, that the copy began in the midst of its input. */
type JournalEntry = readonly [topic: Topic | typeof midst, offset: number, value: Uint8Array]
const midst = 'midst'

/** A message that has a number among those of its source's run. */
type Message =
  | { topic: 'packets'; record: PacketBatch; columns: PacketColumns }
  | { topic: 'socket-snapshots'; record: SocketSnapshot }
  | { topic: 'socket-events'; record: SocketEvents }

interface Snapshot {
  pipeline: PipelineState
  order: ReturnType<InOrder<Message>['state']>
  sequences: ReturnType<Sequences['state']>
  applied: ReadonlyMap<string, number>
}

const snapshotField = 'snapshot'
const journalField = (number: number) => `journal:${number}`
const isJournal = (field: string) => field.startsWith('journal:')
const numberOf = (field: string) => Number(field.slice('journal:'.length))

/**
 * A snapshot is due when the journal has this many writes, or twice the bytes of the last snapshot and at least so many. It
 * waits for its turn until the journal has so many times that.
 */
const journalWrites = 1024
const minJournalBytes = 65_536
const longestJournal = 2

/**
 * The working copy of one host. In the store it is a snapshot of the pipeline and a journal: the records that were applied
 * since, in their order. Pipelines are pure, so applying the journal to the snapshot makes the very same copy again.
 *
 *   store:  snapshot ── journal:7 ── journal:8 ── journal:9        outbox: sessions to publish
 *              └──────────── restore ───────────────►  copy ── write ──► journal:10 + outbox, or a new snapshot
 */
export class HostCopy {
  readonly pipeline: HostPipeline
  readonly #hostId: string
  readonly #options: CopyOptions
  /** What has overtaken others of its source's run waits here. */
  readonly #order = new InOrder<Message>()
  /** Of packet batches, by sensor and run. */
  readonly #sequences = new Sequences()
  /** Highest offset applied of each topic. */
  readonly #applied = new Map<string, number>()
  #version: Version = '0'
  #fresh: JournalEntry[] = []
  #journal: string[] = []
  #journalNumber = 0
  #journalBytes = 0
  #snapshotBytes = 0
  #pending: HostWrite | null = null

  constructor(hostId: string, options: CopyOptions) {
    this.#hostId = hostId
    this.#options = options
    this.pipeline = new HostPipeline(hostId, options)
  }

  /** The records in the journal of a stored copy. */
  static *journaled({ fields }: HostState): Iterable<{ topic: string; value: Uint8Array }> {
    for (const [field, packed] of fields) {
      if (!isJournal(field)) continue
      for (const [topic, , value] of unpack(packed) as JournalEntry[]) if (topic !== midst) yield { topic, value }
    }
  }

  /** The copy that was stored. What it publishes on the way is in the outbox, or was published. */
  static restore(hostId: string, { version, fields }: HostState, options: CopyOptions): HostCopy {
    const copy = new HostCopy(hostId, options)
    copy.#version = version
    const snapshot = fields.get(snapshotField)
    if (snapshot) copy.#restore(snapshot)
    copy.#journal = [...fields.keys()].filter(isJournal).sort((a, b) => numberOf(a) - numberOf(b))
    for (const field of copy.#journal) {
      const packed = fields.get(field)!
      copy.#journalBytes += packed.length
      copy.#journalNumber = numberOf(field) + 1
      for (const [topic, offset, value] of unpack(packed) as JournalEntry[]) {
        if (topic === midst) copy.pipeline.beginInMidst()
        else copy.#replay(topic, offset, value)
      }
    }
    copy.pipeline.take()
    return copy
  }

  /** What came before the first record is lost: sessions that were open then begin truncated. */
  beginInMidst(): void {
    this.pipeline.beginInMidst()
    this.#fresh.push([midst, 0, Buffer.alloc(0)])
  }

  /** Applies a record, unless it was applied before. */
  apply({ topic, offset, value, appendMs }: ConsumedRecord): Fate {
    if (offset <= (this.#applied.get(topic) ?? -1)) return { kind: 'repeated' }
    this.#applied.set(topic, offset)
    if (value === null) return { kind: 'tombstone' }
    try {
      const fate = this.#dispatch(topic as Topic, value, appendMs)
      if (fate.kind === 'applied' && this.#options.persistent) this.#fresh.push([topic as Topic, offset, value])
      return fate
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { kind: 'undecodable', detail: error.message }
    }
  }

  /** The input is over, see HostPipeline.end: what was overtaken does not come any more. */
  end(most: number): boolean {
    for (const message of this.#order.releaseAll()) this.#applyMessage(message)
    return this.pipeline.end(most)
  }

  /** What changed since the last write, to be saved until the store has answered; null if nothing did. */
  write(): HostWrite | null {
    this.#pending ??= this.#collect()
    return this.#pending
  }

  /** The last write is in the store, and made this version. */
  written(version: Version): void {
    this.#version = version
    this.#pending = null
  }

  #collect(): HostWrite | null {
    const records = this.pipeline.take()
    if (this.#options.onRecord) {
      const ends = new Set(this.pipeline.ends)
      for (const record of records) this.#options.onRecord(record, ends.has(record))
    }
    const outbox = records.map(record => this.#toOutbox(record))
    if (this.#fresh.length === 0 && outbox.length === 0) return null
    return { expectedVersion: this.#version, put: this.#changes(), outbox }
  }

  #changes(): Map<string, Uint8Array | null> {
    if (this.#fresh.length === 0) return new Map()
    const entry = pack(this.#fresh)
    this.#fresh = []
    this.#journalBytes += entry.length
    const length = Math.max(
      this.#journal.length / journalWrites,
      this.#journalBytes / Math.max(minJournalBytes, 2 * this.#snapshotBytes),
    )
    const { pace } = this.#options
    const startMs = performance.now()
    if (length < 1 || (length < longestJournal && !pace.isFree(startMs))) {
      const field = journalField(this.#journalNumber++)
      this.#journal.push(field)
      return new Map([[field, entry]])
    }
    const state: Snapshot = {
      pipeline: this.pipeline.state(),
      order: this.#order.state(),
      sequences: this.#sequences.state(),
      applied: this.#applied,
    }
    const snapshot = pack(state)
    pace.spent(startMs, performance.now())
    const changes = new Map<string, Uint8Array | null>(this.#journal.map(field => [field, null]))
    this.#journal = []
    this.#journalBytes = 0
    this.#snapshotBytes = snapshot.length
    return changes.set(snapshotField, snapshot)
  }

  #restore(packed: Uint8Array): void {
    const { pipeline, order, sequences, applied } = unpack(packed) as Snapshot
    this.pipeline.restore(pipeline)
    this.#order.restore(order)
    this.#sequences.restore(sequences)
    for (const [topic, offset] of applied) this.#applied.set(topic, offset)
    this.#snapshotBytes = packed.length
  }

  #replay(topic: Topic, offset: number, value: Uint8Array): void {
    this.#applied.set(topic, offset)
    this.#dispatch(topic, value, null)
  }

  /** Throws a RangeError for what is not a record of the topic. `appendMs` is null for a record that was applied before. */
  #dispatch(topic: Topic, value: Uint8Array, appendMs: number | null): Fate {
    const { codecs } = this.#options
    if (topic === 'hosts') {
      const host = codecs.hosts.decode(value)
      const fate = this.#check(host.host_id, host.updated_us, appendMs)
      if (fate) return fate
      this.pipeline.applyHost(host)
    } else if (topic === 'resolutions') {
      const resolution = codecs[topic].decode(value)
      const fate = this.#check(resolution.host_id, null, appendMs)
      if (fate) return fate
      if (!this.pipeline.applyResolution(resolution)) return { kind: 'repeated' }
    } else if (topic === 'socket-snapshots') {
      const record = codecs[topic].decode(value)
      const fate = this.#check(record.host_id, record.polls[0]?.time_us ?? null, appendMs)
      return fate ?? this.#takeInTurn(record.run_id, { topic, record }, appendMs)
    } else if (topic === 'socket-events') {
      const record = codecs[topic].decode(value)
      const fate = this.#check(record.host_id, record.until_us, appendMs)
      return fate ?? this.#takeInTurn(`${record.source} ${record.run_id}`, { topic, record }, appendMs)
    } else {
      const record = codecs.packets.decode(value)
      const fate = this.#check(record.host_id, record.until_us, appendMs)
      if (fate) return fate
      const columns = readPacketColumns(record)
      return this.#takeInTurn(runOf(record), { topic: 'packets', record, columns }, appendMs)
    }
    return { kind: 'applied' }
  }

  /** Answers with the message's own fate: one that is held will be applied. */
  #takeInTurn(run: string, message: Message, appendMs: number | null): Fate {
    const { onLate, constants } = this.#options
    if (onLate && appendMs !== null && appendMs * 1000 - lastUsOf(message) > constants.holdUs) onLate(message.topic)
    let fate: Fate = { kind: 'applied' }
    for (const due of this.#order.take(`${message.topic} ${run}`, message.record.seq, message)) {
      const one = this.#applyMessage(due)
      if (due === message) fate = one
    }
    return fate
  }

  #applyMessage(message: Message): Fate {
    if (message.topic === 'packets') return this.#applyPackets(message.record, message.columns)
    if (message.topic === 'socket-snapshots') this.pipeline.applySnapshot(message.record)
    else this.pipeline.applyEvents(message.record)
    return { kind: 'applied' }
  }

  #applyPackets(batch: PacketBatch, columns: PacketColumns): Fate {
    const place = this.#sequences.take(batch.sensor_id, batch.run_id, batch.seq)
    if (place.kind === 'repeated') return { kind: 'repeated' }
    // What a sensor saw before it began anew, and had not sent, nobody counted; between its runs it saw nothing.
    const uncounted = place.kind === 'gap' ? place.missing : place.kind === 'new-run' ? 1 : 0
    this.pipeline.applyPackets(batch, batch.lost + uncounted, columns)
    return { kind: 'applied' }
  }

  /** Why the record cannot be this host's, or of this time; null if it can. */
  #check(hostId: string, timeUs: number | null, appendMs: number | null): Fate | null {
    if (hostId !== this.#hostId) return { kind: 'other-host', detail: 'key of one host, value of another' }
    const { plausible } = this.#options
    if (appendMs === null || timeUs === null || plausible === null) return null
    if (timeUs >= plausible.fromUs && timeUs <= appendMs * 1000 + plausible.aheadUs) return null
    return { kind: 'implausible-time', detail: `time ${timeUs} us, taken in at ${appendMs} ms` }
  }

  #toOutbox(record: LabeledSession): OutboxRecord {
    const value = this.#options.codecs['labeled-sessions'].encode(record)
    return { id: `${record.session_id}/${record.revision}`, topic: 'labeled-sessions', key: record.session_id, value }
  }
}

/** The last moment that a message tells of. */
const lastUsOf = (message: Message): number =>
  message.topic === 'socket-snapshots' ? (message.record.polls.at(-1)?.time_us ?? Infinity) : message.record.until_us

const runOf = ({ sensor_id, run_id }: PacketBatch): string => `${sensor_id}/${run_id}`
