import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Codecs, type Host, partitionKey } from '#schemas'
import type { Bus, BusRecord, ConsumedRecord } from '#shared/bus/bus.ts'
import { measuredBus } from '#shared/bus/measured-bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { watchReader } from '#shared/reader-watch.ts'
import { untilDone } from '#shared/retry.ts'
import { consumerMetrics, publishMetrics } from '#shared/service-metrics.ts'
import type { AgentTopic } from './agent.ts'
import type { Privacy } from './privacy.ts'
import { isImported, WindowsHosts } from './windows-hosts.ts'
import { BadRecord, readWindowsRecord, type WindowsEvidence, type WindowsRecord } from './windows-log-record.ts'

export interface ImportOptions {
  bus: Bus
  codecs: Pick<Codecs, AgentTopic | 'dead-letters'>
  /** Called before records are decoded: learns the schemas of other versions. */
  prepare: (records: readonly ConsumedRecord[]) => Promise<void> | undefined
  /** Records of Windows event logs, one as JSON in each record's value. */
  topic: string
  /** Partitions of it, for the metrics. */
  partitions: number
  group: string
  /** The logs whose events are told. */
  evidence: readonly WindowsEvidence[]
  privacy?: Privacy | undefined
  log: Log
  metrics: Metrics
  health: Health
  /** Ends the run. */
  signal: AbortSignal
}

/**
 * Reads the event logs that a site already collects in Kafka, and tells of each host in them as its agent would: `hosts` and
 * `socket-events`. What it made of a batch is safe with the bus before the batch is committed. Killed at any moment, the next
 * run begins at the commit, so that nothing is missed; what it tells once more, as a run of its own, matchers take for the same
 * connections. Runs until `signal` aborts.
 */
export async function runImportService(
  options: ImportOptions,
): Promise<{ read: number; told: number; unusable: number }> {
  const { codecs, topic, group, log, metrics, health, signal, evidence, privacy, partitions } = options
  const bus = measuredBus(options.bus, publishMetrics(metrics), health.component('bus'))
  const consumed = consumerMetrics(metrics, group, [topic], partitions)
  const hosts = new WindowsHosts(randomUUID(), evidence)
  const known = await readHosts(options)
  hosts.restore(known.filter(isImported))
  // Of a host that has an agent, too, the agent alone tells the addresses.
  const withAgent = new Set(known.filter(host => !isImported(host)).map(({ host_id }) => host_id))
  const done = watchReader({ bus, group, metrics, consumed, health, signal })
  const result = { read: 0, told: 0, unusable: 0 }
  const publish = (to: AgentTopic | 'dead-letters', records: readonly BusRecord[]) =>
    records.length === 0 ? undefined : untilDone(signal, () => bus.publish(to, records))
  for await (const batch of bus.subscribe([topic], group, signal)) {
    const startMs = performance.now()
    const { records, letters } = readRecords(batch.records)
    const told = hosts.add(records)
    const hostRecords = told.flatMap(({ hostId, host }) =>
      host === null || withAgent.has(hostId) ? [] : [{ key: partitionKey(hostId), value: codecs.hosts.encode(host) }],
    )
    const events = told.flatMap(({ hostId, events }) =>
      events.map(message => {
        const record = privacy?.apply('socket-events', message) ?? message
        return { key: partitionKey(hostId), value: codecs['socket-events'].encode(record) }
      }),
    )
    await publish('hosts', hostRecords)
    await publish('socket-events', events)
    await publish(
      'dead-letters',
      letters.map(letter => ({ key: partitionKey(topic), value: codecs['dead-letters'].encode(letter) })),
    )
    await batch.commit()
    done()
    result.read += batch.records.length
    result.told += told.reduce((sum, one) => sum + one.events.reduce((n, { events }) => n + events.length, 0), 0)
    result.unusable += letters.length
    consumed.consumed.add(batch.records.length, { topic, group })
    consumed.batchSize.observe(batch.records.length)
    consumed.batchDuration.observe((performance.now() - startMs) / 1000, { stage: 'apply' })
    if (letters.length === 0) continue
    consumed.deadLetters.add(letters.length, { reason: letters[0]!.reason })
    log.warn({ topic, offset: letters[0]!.offset, detail: letters[0]!.detail, count: letters.length }, 'dead letters')
  }
  return result
}

/** Events of other logs are passed over; what is no event at all, or lacks what every event has, is a dead letter. */
function readRecords(consumed: readonly ConsumedRecord[]) {
  const records: WindowsRecord[] = []
  const letters = []
  for (const { topic, partition, offset, key, value } of consumed) {
    if (value === null) continue
    try {
      const record = readWindowsRecord(Buffer.from(value).toString())
      if (record !== null) records.push(record)
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      letters.push({
        ...{ topic, partition, offset, key: Buffer.from(key), value: Buffer.from(value), step: 'import' },
        ...{ reason: 'undecodable' as const, detail: error.message, time_us: Date.now() * 1000 },
      })
    }
  }
  return { records, letters }
}

const pollMs = 50

/** What the `hosts` topic holds by now, the newest record of each. */
async function readHosts({ bus, codecs, prepare, log, signal }: ImportOptions): Promise<Host[]> {
  const group = `import-${randomUUID()}`
  const enough = new AbortController()
  const hosts = new Map<string, Host>()
  const isRead = () => {
    const reader = bus.reader(group)
    return reader?.knowsEnd && reader.rebalances > 0 && reader.lag.every(({ records }) => records === 0)
  }
  const watch = async () => {
    while (!signal.aborted && !isRead()) await sleep(pollMs)
    enough.abort()
  }
  const reading = bus.subscribe(['hosts'], group, AbortSignal.any([signal, enough.signal]))
  const watching = watch()
  for await (const batch of reading) {
    await prepare(batch.records)
    for (const { key, value } of batch.records) {
      if (value === null) continue
      try {
        hosts.set(key, codecs.hosts.decode(value))
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
        log.warn({ key, error }, 'a host record cannot be decoded')
      }
    }
  }
  await watching
  return [...hosts.values()]
}
