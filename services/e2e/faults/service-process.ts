/** What the processes have in common that tests kill: each runs one service, its settings as JSON in the first argument. */
import { codecs } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import type { SubscriptionTimes } from '#shared/bus/kafka-subscription.ts'
import { Health } from '#shared/health.ts'
import { runUntilStopped } from '#shared/lifecycle.ts'
import { createLog, type Log } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { RedisStore } from '#shared/store/redis.ts'
import { compileRedisSettings } from '#shared/store/redis-settings.ts'

export interface ServiceSettings {
  brokers: string[]
  redisUrl: string
  partitions: number
  times: Partial<SubscriptionTimes>
}

/** What a service is run with. */
export interface ServiceParts {
  bus: KafkaBus
  store: RedisStore
  log: Log
  metrics: PrometheusMetrics
  health: Health
  signal: AbortSignal
  codecs: typeof codecs
  prepare: () => undefined
  partitions: number
}

export async function runProcess(name: string, run: (parts: ServiceParts) => Promise<void>): Promise<void> {
  const { brokers, redisUrl, partitions, times }: ServiceSettings = JSON.parse(process.argv[2]!)
  const log = createLog(name, 'warn')
  await runUntilStopped(
    async signal => {
      const bus = new KafkaBus({ brokers, clientId: `${name}-${process.pid}`, times })
      const store = new RedisStore(compileRedisSettings({ redisUrl: [redisUrl] }))
      const metrics = new PrometheusMetrics(name, 'test')
      const health = new Health()
      await run({ bus, store, log, metrics, health, signal, codecs, prepare: () => undefined, partitions })
      await bus.close()
    },
    { log },
  )
}
