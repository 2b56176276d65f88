import { join } from 'node:path'
import { type Codecs, type DecodeError, partitionKey } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import { measuredBus } from '#shared/bus/measured-bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { watchReader } from '#shared/reader-watch.ts'
import { consumerMetrics, publishMetrics } from '#shared/service-metrics.ts'
import { lockFolder } from '#shared/spool-lock.ts'
import { Dataset, type DatasetOptions } from './dataset.ts'
import { Journal } from './journal.ts'
import { readSessions, type SessionReaderOptions, sessionsTopic } from './read-sessions.ts'
import { type TableSession, tableSession } from './table-session.ts'

export interface ExportServiceOptions {
  bus: Bus
  codecs: Pick<Codecs, typeof sessionsTopic | 'dead-letters'>
  prepare: SessionReaderOptions['prepare']
  dataset: DatasetOptions
  /** What becomes of a session before anything of it is written. */
  disguise: (session: TableSession) => TableSession
  /** Tables and manifest are brought up to date this often, and at the end. */
  everyMs: number
  /** Each group gets all sessions; one exporter a group and folder. */
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
 * The export as a service: brings a dataset up to date until `signal` aborts. Sessions go to a journal on the disk, then
 * offsets are committed; every while they are merged into the tables. Killed at any moment, the next run goes on: it finds in
 * the journal what is not in the tables yet, and a record that comes twice is one row all the same.
 */
export async function runExportService(options: ExportServiceOptions): Promise<{ records: number; damaged: number }> {
  const { codecs, group, partitions, log, metrics, health, signal, everyMs, disguise } = options
  const bus = measuredBus(options.bus, publishMetrics(metrics), health.component('bus'))
  const consumed = consumerMetrics(metrics, group, [sessionsTopic], partitions)
  const done = watchReader({ bus, group, metrics, consumed, health, signal })
  const result = { records: 0, damaged: 0 }
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
  const stop = new AbortController()
  const batches = readSessions({ ...options, bus, onDamaged, signal: AbortSignal.any([signal, stop.signal]) })
  const unlock = await lockFolder(options.dataset.folder, 'the dataset')
  const journal = new Journal(join(options.dataset.folder, '.journal'))
  let timer: NodeJS.Timeout | undefined
  try {
    const dataset = new Dataset(options.dataset)
    const merge = async () => {
      if (!(await dataset.flush())) return
      await journal.clear()
      log.info({ sessions: dataset.sessions }, 'dataset is up to date')
    }
    // One after the other: what is appended while tables are written would be cleared with the journal.
    let turn = Promise.resolve()
    const inTurn = (act: () => Promise<void>): Promise<void> => {
      turn = turn.then(act)
      return turn
    }
    for await (const session of journal.left()) await dataset.add(session)
    await merge()
    timer = setInterval(() => void inTurn(merge).catch(() => stop.abort()), everyMs)
    for await (const { sessions, commit } of batches) {
      const startMs = performance.now()
      await inTurn(async () => {
        const disguised = sessions.map(({ session }) => disguise(tableSession(session)))
        await journal.append(disguised)
        for (const session of disguised) {
          const writing = dataset.add(session)
          if (writing) await writing
        }
      })
      await commit()
      done()
      consumed.batchDuration.observe((performance.now() - startMs) / 1000, { stage: 'write' })
      result.records += sessions.length
      consumed.consumed.add(sessions.length, { topic: sessionsTopic, group })
      consumed.batchSize.observe(sessions.length)
    }
    clearInterval(timer)
    await inTurn(merge)
  } finally {
    stop.abort()
    clearInterval(timer)
    await journal.close()
    await unlock()
  }
  return result
}
