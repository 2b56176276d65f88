import type { MatchConstants } from '#core/constants.ts'
import type { Bus } from '#shared/bus/bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { consumerMetrics, resolverMetrics } from '#shared/service-metrics.ts'
import type { Store } from '#shared/store/store.ts'
import { storeLossMs } from '#shared/trailing-commits.ts'
import { Resolver, type ResolverOptions, resolverGroup } from './resolver.ts'

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
  const { bus, store, constants, codecs, prepare, partitions, log, signal } = options
  const consumed = consumerMetrics(options.metrics, resolverGroup, partitions)
  const measured = resolverMetrics(options.metrics)
  const reading = options.health.component('input')
  const resolver = new Resolver({
    ...{ bus, store, constants, codecs, prepare, writeEveryMs, commitLagMs: storeLossMs },
    onBatch: (records, { applied: _, tombstone: __, repeated = 0, ...buried }) => {
      reading.progress()
      consumed.batchSize.observe(records.length)
      consumed.consumed.add(records.length, { topic: 'labeled-sessions', group: resolverGroup })
      consumed.lagSeconds.set(Math.max(0, Date.now() - records.at(-1)!.appendMs) / 1000)
      consumed.repeated.add(repeated, { topic: 'labeled-sessions' })
      for (const [reason, count] of Object.entries(buried)) consumed.deadLetters.add(count, { reason })
      measured.waiting.set(resolver.waiting)
      measured.givenUp.set(resolver.givenUp)
    },
    onResolved: resolutions => {
      measured.resolved.add(resolutions.length)
      log.debug({ count: resolutions.length }, 'resolved')
    },
  })
  reading.ready()
  log.info('reading')
  await resolver.run(signal)
}
