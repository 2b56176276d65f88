import type { MatchConstants } from '#core/constants.ts'
import type { Bus } from '#shared/bus/bus.ts'
import { measuredBus } from '#shared/bus/measured-bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { watchReader } from '#shared/reader-watch.ts'
import { consumerMetrics, publishMetrics, resolverMetrics } from '#shared/service-metrics.ts'
import type { Store } from '#shared/store/store.ts'
import { storeLossMs } from '#shared/trailing-commits.ts'
import { inputTopic, Resolver, type ResolverOptions, resolverGroup } from './resolver.ts'

/** What is read again after a crash. */
const writeEveryMs = 5_000

export interface ResolverServiceOptions extends Required<Pick<ResolverOptions, 'codecs' | 'prepare'>> {
  bus: Bus
  store: Store
  constants: MatchConstants
  /** Partition count of `labeled-sessions`, for the metrics. */
  partitions: number
  log: Log
  metrics: Metrics
  health: Health
  /** Ends the run. */
  signal: AbortSignal
}

/** The resolver as a service: reads until `signal` aborts. Rejects when bus or store have failed for good. */
export async function runResolverService(options: ResolverServiceOptions): Promise<void> {
  const { store, constants, codecs, prepare, partitions, log, metrics, health, signal } = options
  const bus = measuredBus(options.bus, publishMetrics(metrics), health.component('bus'))
  const consumed = consumerMetrics(metrics, resolverGroup, [inputTopic], partitions)
  const measured = resolverMetrics(metrics)
  const done = watchReader({ bus, group: resolverGroup, metrics, consumed, health, signal })
  const resolver = new Resolver({
    ...{ bus, store, constants, codecs, prepare, writeEveryMs, commitLagMs: storeLossMs },
    onBatch: (records, { applied: _, tombstone: __, repeated = 0, ...buried }, seconds) => {
      done()
      consumed.batchDuration.observe(seconds, { stage: 'apply' })
      consumed.batchSize.observe(records.length)
      consumed.consumed.add(records.length, { topic: inputTopic, group: resolverGroup })
      consumed.repeated.add(repeated, { topic: inputTopic })
      for (const [reason, count] of Object.entries(buried)) consumed.deadLetters.add(count, { reason })
      measured.waiting.set(resolver.waiting)
      measured.givenUp.set(resolver.givenUp)
    },
    onResolved: resolutions => {
      measured.resolved.add(resolutions.length)
      log.debug({ count: resolutions.length }, 'resolved')
    },
  })
  log.info('reading')
  await resolver.run(signal)
}
