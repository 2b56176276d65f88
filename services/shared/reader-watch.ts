import type { Bus } from './bus/bus.ts'
import type { Health } from './health.ts'
import type { Metrics } from './metrics.ts'
import type { ConsumerMetrics } from './service-metrics.ts'

const lookMs = 1000

export interface ReaderWatchOptions {
  bus: Pick<Bus, 'reader'>
  group: string
  metrics: Metrics
  consumed: ConsumerMetrics
  health: Health
  /** Ends the watch. */
  signal: AbortSignal
}

/**
 * Watches this process's reader of a group: lag, rebalances and failures as metrics; for health, whether it is in its group, and
 * whether records wait here and nothing moves. While another part of the service is not ready, that is why they wait.
 * Answers with what is to be called when work on a batch is done.
 */
export function watchReader({ bus, group, metrics, consumed, health, signal }: ReaderWatchOptions): () => void {
  const part = health.component('input')
  part.notReady('not in its group yet')
  let told = { rebalances: 0, restarted: 0, final: 0 }
  let lagging: { topic: string; partition: number }[] = []
  metrics.onCollect(() => {
    const statistics = bus.reader(group)
    const of = ({ topic, partition }: { topic: string; partition: number }) => ({
      topic,
      partition: `${partition}`,
      group,
    })
    // Partitions that another member has by now are not its lag.
    for (const where of lagging) consumed.lagMessages.set(0, of(where))
    lagging = statistics?.lag.filter(({ records }) => records > 0) ?? []
    if (!statistics) return
    for (const where of statistics.lag) if (where.records > 0) consumed.lagMessages.set(where.records, of(where))
    const { oldestMs, rebalances, crashes } = statistics
    consumed.lagSeconds.set(oldestMs === null ? 0 : Math.max(0, Date.now() - oldestMs) / 1000)
    consumed.rebalances.add(rebalances - told.rebalances)
    consumed.crashes.add(crashes.restarted - told.restarted, { restart: 'true' })
    consumed.crashes.add(crashes.final - told.final, { restart: 'false' })
    told = { rebalances, ...crashes }
  })
  const timer = setInterval(() => {
    const statistics = bus.reader(group)
    if (statistics && statistics.rebalances > 0) part.ready()
    part.waiting((statistics?.waiting ?? 0) > 0 && health.notReady().length === 0)
  }, lookMs).unref()
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  return () => {
    part.progress()
    consumed.lastProgress.set(Date.now() / 1000)
  }
}
