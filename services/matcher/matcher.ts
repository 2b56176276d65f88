import type { MatchConstants } from '#core/constants.ts'
import { HostDirectory } from '#core/host-directory.ts'
import type { SessionFacts } from '#core/session-facts.ts'
import { ServerNames } from '#core/stages/server-name.ts'
import { codecs, type LabeledSession, type PacketBatch, partitionKey, type Topic } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import { ProclabelError } from '#shared/errors.ts'
import type { Store, Version } from '#shared/store/store.ts'
import { HostPipeline, type PipelineOptions, type SocketHistory } from './host-pipeline.ts'

export const inputTopics = ['hosts', 'socket-snapshots', 'socket-events', 'packets'] as const
export const matcherGroup = 'matcher'

/** At the end of the input sessions are published in such portions: the records of all would be too much at once. */
const sessionsASave = 512

export interface MatcherOptions {
  bus: Bus
  store: Store
  constants: MatchConstants
  /** As in PipelineOptions. */
  provisional: boolean
}

interface HostWork {
  pipeline: HostPipeline
  version: Version
  /** Highest sequence number seen of each source's run. */
  sequences: Map<string, number>
}

/**
 * The join. For each batch: apply its records to the hosts' working copies, write the records to publish and the sequence
 * numbers in one atomic write a host, publish, acknowledge, commit.
 */
export class Matcher {
  readonly #options: MatcherOptions
  readonly #hosts = new Map<string, HostWork>()
  readonly #directory = new HostDirectory()
  readonly #sharedNames: ServerNames
  /** Records by what became of them: applied, repeated, or the reason they could not be used. */
  readonly records: Record<string, number> = {}

  constructor(options: MatcherOptions) {
    this.#options = options
    this.#sharedNames = new ServerNames(options.constants)
  }

  /** Reads until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const batch of this.#options.bus.subscribe(inputTopics, matcherGroup, signal)) {
      const touched = new Set<string>()
      for (const record of batch.records) {
        const { hostId, fate } = await this.#apply(record)
        this.records[fate] = (this.records[fate] ?? 0) + 1
        touched.add(hostId)
      }
      for (const hostId of touched) await this.#save(hostId)
      await batch.commit()
    }
  }

  /** The input is over: ends every session. Those whose label could change are kept for `finish`. */
  async end(): Promise<void> {
    for (const [hostId, { pipeline }] of this.#hosts) {
      let more = true
      while (more) {
        more = pipeline.end(sessionsASave)
        await this.#save(hostId)
      }
    }
  }

  /** Hosts and facts of the sessions whose label is not final. */
  *undecided(): Iterable<{ hostId: string; facts: SessionFacts }> {
    for (const [hostId, { pipeline }] of this.#hosts) for (const facts of pipeline.undecided()) yield { hostId, facts }
  }

  /** After `end`: post-processing for the last time; publishes what is left. */
  async finish(history: SocketHistory | null = null): Promise<void> {
    for (const [hostId, { pipeline }] of this.#hosts) {
      pipeline.finish(history)
      await this.#save(hostId)
    }
  }

  /** Sessions in memory, open or not final. */
  get size(): number {
    let size = 0
    for (const { pipeline } of this.#hosts.values()) size += pipeline.size
    return size
  }

  async #apply(record: ConsumedRecord): Promise<{ hostId: string; fate: string }> {
    const topic = record.topic as Topic
    const work = await this.#host(record.key)
    const hostId = record.key
    if (record.value === null) return { hostId, fate: 'tombstone' }
    try {
      if (topic === 'hosts') {
        const host = codecs.hosts.decode(record.value)
        this.#directory.apply(host)
        work.pipeline.applyHost(host)
      } else if (topic === 'socket-snapshots') {
        work.pipeline.applySnapshot(codecs['socket-snapshots'].decode(record.value))
      } else if (topic === 'socket-events') {
        work.pipeline.applyEvents(codecs['socket-events'].decode(record.value))
      } else {
        return { hostId, fate: this.#applyPackets(work, codecs.packets.decode(record.value)) }
      }
      return { hostId, fate: 'applied' }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      return { hostId, fate: 'undecodable' }
    }
  }

  #applyPackets(work: HostWork, batch: PacketBatch): 'applied' | 'repeated' {
    const source = `${batch.sensor_id}/${batch.run_id}`
    const last = work.sequences.get(source) ?? batch.seq - 1
    if (batch.seq <= last) return 'repeated'
    work.pipeline.applyPackets(batch, batch.lost + (batch.seq - last - 1))
    // Not before: a batch that could not be used is a gap to the next.
    work.sequences.set(source, batch.seq)
    return 'applied'
  }

  async #host(hostId: string): Promise<HostWork> {
    const known = this.#hosts.get(hostId)
    if (known) return known
    const { store, constants, provisional } = this.#options
    const { version, fields } = await store.load(hostId)
    const stored = fields.get('sequences')
    const sequences = new Map<string, number>(stored ? JSON.parse(Buffer.from(stored).toString()) : [])
    const options: PipelineOptions = {
      constants,
      provisional,
      directory: this.#directory,
      sharedNames: this.#sharedNames,
    }
    const work = { pipeline: new HostPipeline(hostId, options), version, sequences }
    this.#hosts.set(hostId, work)
    return work
  }

  async #save(hostId: string): Promise<void> {
    const { store, bus } = this.#options
    const work = this.#hosts.get(hostId)!
    const outbox = work.pipeline.take().map(record => toOutbox(hostId, record))
    const value = Buffer.from(JSON.stringify([...work.sequences]))
    const put = new Map([['sequences', value]])
    const version = await store.save(hostId, { expectedVersion: work.version, put, outbox })
    if (version === null) {
      throw new ProclabelError('PROCLABEL_FENCED', `another matcher has written the state of host '${hostId}'`)
    }
    work.version = version
    if (outbox.length === 0) return
    await bus.publish('labeled-sessions', outbox)
    await store.acknowledge(
      hostId,
      outbox.map(({ id }) => id),
    )
  }
}

const toOutbox = (hostId: string, record: LabeledSession) => ({
  id: `${record.session_id}/${record.revision}`,
  topic: 'labeled-sessions',
  key: partitionKey(hostId),
  value: codecs['labeled-sessions'].encode(record),
})
