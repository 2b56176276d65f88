import { type Codecs, type DecodeError, partitionKey } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import { measuredBus } from '#shared/bus/measured-bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { watchReader } from '#shared/reader-watch.ts'
import { consumerMetrics, publishMetrics } from '#shared/service-metrics.ts'
import { JsonLinesFolder } from './json-lines-folder.ts'
import { readSessions, type SessionReaderOptions, sessionsTopic } from './read-sessions.ts'

export interface ExportServiceOptions {
  bus: Bus
  codecs: Pick<Codecs, typeof sessionsTopic | 'dead-letters'>
  prepare: SessionReaderOptions['prepare']
  folder: string
  maxFileBytes: number
  /** Exporters of one group share the sessions; each group gets all of them. */
  group: string
  /** Partition count of `labeled-sessions`, for the metrics. */
  partitions: number
  log: Log
  metrics: Metrics
  health: Health
  /** Ends the run. */
  signal: AbortSignal
}

/**
 * The export as a service: writes labeled sessions to files until `signal` aborts. Offsets are committed once the lines are
 * on the disk, so none is lost, and after a crash some may be there twice, with the same session id and revision.
 */
export async function runExportService(options: ExportServiceOptions): Promise<{ sessions: number; damaged: number }> {
  const { codecs, group, partitions, log, metrics, health, signal } = options
  const bus = measuredBus(options.bus, publishMetrics(metrics), health.component('bus'))
  const consumed = consumerMetrics(metrics, group, [sessionsTopic], partitions)
  const done = watchReader({ bus, group, metrics, consumed, health, signal })
  const out = new JsonLinesFolder(options)
  const result = { sessions: 0, damaged: 0 }
  const onDamaged = async (record: ConsumedRecord, error: DecodeError) => {
    result.damaged++
    consumed.deadLetters.add(1, { reason: error.reason })
    const { topic, partition, offset, key, value } = record
    const letter = {
      ...{ topic, partition, offset, key: Buffer.from(key), value: value && Buffer.from(value), step: 'export' },
      ...{ reason: error.reason, detail: error.message, time_us: Date.now() * 1000 },
    }
    await bus.publish('dead-letters', [{ key: partitionKey(topic), value: codecs['dead-letters'].encode(letter) }])
    log.warn({ topic, partition, offset, reason: error.reason }, 'dead letter')
  }
  try {
    for await (const { sessions, commit } of readSessions({ ...options, bus, onDamaged, signal })) {
      const startMs = performance.now()
      await out.append(sessions.map(({ session }) => session))
      await commit()
      done()
      consumed.batchDuration.observe((performance.now() - startMs) / 1000, { stage: 'write' })
      result.sessions += sessions.length
      consumed.consumed.add(sessions.length, { topic: sessionsTopic, group })
      consumed.batchSize.observe(sessions.length)
    }
  } finally {
    await out.close()
  }
  return result
}
