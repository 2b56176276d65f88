import { type Codecs, type DecodeError, partitionKey } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { consumerMetrics } from '#shared/service-metrics.ts'
import { JsonLinesFolder } from './json-lines-folder.ts'
import { readSessions, type SessionReaderOptions, sessionsTopic } from './read-sessions.ts'

export interface ExportServiceOptions {
  bus: Pick<Bus, 'publish' | 'subscribe'>
  codecs: Pick<Codecs, typeof sessionsTopic | 'dead-letters'>
  prepare: SessionReaderOptions['prepare']
  folder: string
  maxFileBytes: number
  /** Exporters of one group share the sessions; each group gets all of them. */
  group: string
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
  const { bus, codecs, group, log, health, signal } = options
  const metrics = consumerMetrics(options.metrics, group, 0)
  const part = health.component('export')
  const out = new JsonLinesFolder(options)
  const result = { sessions: 0, damaged: 0 }
  const onDamaged = async (record: ConsumedRecord, error: DecodeError) => {
    result.damaged++
    metrics.deadLetters.add(1, { reason: error.reason })
    const { topic, partition, offset, key, value } = record
    const letter = {
      ...{ topic, partition, offset, key: Buffer.from(key), value: value && Buffer.from(value), step: 'export' },
      ...{ reason: error.reason, detail: error.message, time_us: Date.now() * 1000 },
    }
    await bus.publish('dead-letters', [{ key: partitionKey(topic), value: codecs['dead-letters'].encode(letter) }])
    log.warn({ topic, partition, offset, reason: error.reason }, 'dead letter')
  }
  part.ready()
  try {
    for await (const { sessions, commit } of readSessions({ ...options, onDamaged, signal })) {
      part.waiting(true)
      await out.append(sessions.map(({ session }) => session))
      await commit()
      part.progress()
      part.waiting(false)
      result.sessions += sessions.length
      metrics.consumed.add(sessions.length, { topic: sessionsTopic, group })
      metrics.batchSize.observe(sessions.length)
      metrics.lastProgress.set(Date.now() / 1000)
      const last = sessions.at(-1)
      if (last) metrics.lagSeconds.set(Math.max(0, Date.now() - last.appendMs) / 1000)
    }
  } finally {
    await out.close()
  }
  return result
}
