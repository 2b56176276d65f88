/** A matcher in a process of its own, for tests that kill it: settings as JSON in the first argument. */
import { defaultConstants } from '#core/constants.ts'
import { codecs } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import type { SubscriptionTimes } from '#shared/bus/kafka-subscription.ts'
import { Health } from '#shared/health.ts'
import { runUntilStopped } from '#shared/lifecycle.ts'
import { createLog } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { RedisStore } from '#shared/store/redis.ts'
import { compileRedisSettings } from '#shared/store/redis-settings.ts'
import { runMatcherService } from '../../matcher/main.ts'

export interface MatcherSettings {
  brokers: string[]
  redisUrl: string
  times: Partial<SubscriptionTimes>
}

const { brokers, redisUrl, times }: MatcherSettings = JSON.parse(process.argv[2]!)
const log = createLog('matcher', 'warn')
await runUntilStopped(
  async signal => {
    const bus = new KafkaBus({ brokers, clientId: `matcher-${process.pid}`, times })
    const store = new RedisStore(compileRedisSettings({ redisUrl: [redisUrl] }))
    const metrics = new PrometheusMetrics('matcher', 'test')
    const parts = { log, metrics, health: new Health(), signal, codecs, prepare: () => undefined }
    await runMatcherService({ ...parts, bus, store, constants: defaultConstants, partitions: 6 })
    await bus.close()
  },
  { log },
)
