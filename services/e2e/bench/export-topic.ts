/**
 * What `export` costs behind Kafka: decodes records of `labeled-sessions`, keeps its journal and writes the tables. A process for
 * `dataset.ts`: `node services/e2e/bench/export-topic.ts RECORDS OUT`; RECORDS is a file of values, each behind its length in 32 bits.
 */
import { readFileSync } from 'node:fs'
import { codecs } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { disguiseWith } from '../../export/disguise.ts'
import { runExportService } from '../../export/main.ts'
import { parquetTable } from '../../export/parquet-table.ts'

/** As many as a fetch brings, some 600 bytes each. */
const recordsOfBatch = 2000

const [file, folder] = process.argv.slice(2)
const bytes = readFileSync(file!)
const bus = new InProcessBus()
const stop = new AbortController()
const running = runExportService({
  ...{ bus, codecs, prepare: () => undefined, everyMs: 300_000, group: 'export', partitions: 1 },
  ...{ log: createLog('export', 'silent'), metrics: noMetrics, health: new Health(), signal: stop.signal },
  dataset: {
    ...{ folder: folder!, format: parquetTable(false), selection: {}, privacy: {}, tool: 'bench' },
    wanted: () => true,
  },
  disguise: disguiseWith({ key: null, names: 'keep', dropPaths: false }),
})
let batch: { key: string; value: Buffer }[] = []
for (let at = 0; at < bytes.length; ) {
  const end = at + 4 + bytes.readUInt32LE(at)
  batch.push({ key: 'session', value: bytes.subarray(at + 4, end) })
  at = end
  if (batch.length < recordsOfBatch && at < bytes.length) continue
  await bus.publish('labeled-sessions', batch)
  batch = []
}
await bus.drained()
stop.abort()
await running
