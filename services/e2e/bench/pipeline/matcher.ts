/** A matcher service in a process of its own that tells each second how far it is: what its /metrics say. */
import { defaultConstants } from '#core/constants.ts'
import { codecs } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { Health } from '#shared/health.ts'
import { runUntilStopped } from '#shared/lifecycle.ts'
import { createLog } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { RedisStore } from '#shared/store/redis.ts'
import { compileRedisSettings } from '#shared/store/redis-settings.ts'
import { runMatcherService } from '../../../matcher/main.ts'

export interface MatcherSettings {
  brokers: string[]
  redisUrls: string[]
  redisCluster: boolean
  partitions: number
}

export interface MatcherProgress {
  /** Records of its inputs that were applied and written. */
  records: number
  /** Age of the last record when it was written. */
  lagS: number
  /** Sessions in memory, open or not final. */
  sessions: number
  rssBytes: number
}

const tellMs = 1000
const { brokers, redisUrls, redisCluster, partitions }: MatcherSettings = JSON.parse(process.argv[2]!)
const log = createLog('matcher', 'warn')
const metrics = new PrometheusMetrics('matcher', 'bench')

/** The sum of a metric's series. */
function readMetric(text: string, name: string): number {
  let sum = 0
  for (const [, value] of text.matchAll(new RegExp(`^proclabel_${name}(?:{.*})? (\\S+)$`, 'gm'))) sum += Number(value)
  return sum
}

setInterval(async () => {
  const text = await metrics.text()
  const progress: MatcherProgress = {
    records: readMetric(text, 'events_consumed_total') - readMetric(text, 'dedupe_hits_total'),
    lagS: readMetric(text, 'consumer_lag_seconds'),
    sessions: readMetric(text, 'sessions_active'),
    rssBytes: process.memoryUsage.rss(),
  }
  if (process.connected) process.send!(progress)
}, tellMs).unref()

await runUntilStopped(
  async signal => {
    const bus = new KafkaBus({ brokers, clientId: `matcher-${process.pid}` })
    const store = new RedisStore(compileRedisSettings({ redisUrl: redisUrls, redisCluster }))
    const parts = { bus, store, codecs, log, metrics, health: new Health(), signal }
    await runMatcherService({ ...parts, prepare: () => undefined, constants: defaultConstants, partitions })
    await bus.close()
    await store.close()
  },
  { log },
)
