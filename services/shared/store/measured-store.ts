import { ProclabelError } from '../errors.ts'
import type { HealthComponent } from '../health.ts'
import type { Metrics } from '../metrics.ts'
import { storeMetrics } from '../service-metrics.ts'
import type { RedisStore } from './redis.ts'
import type { Store } from './store.ts'

/** How often Redis is asked for its memory. */
const memoryEveryMs = 15_000

export interface MeasuredStoreOptions {
  metrics: Metrics
  /** Not ready until the store answers, and again while it does not. */
  health: HealthComponent
  signal: AbortSignal
}

/** The store with every call timed, and Redis asked for its memory until `signal` aborts. */
export function measuredStore(store: Store & Pick<RedisStore, 'memory'>, options: MeasuredStoreOptions): Store {
  const { metrics, health, signal } = options
  const { duration, usedBytes, limitBytes } = storeMetrics(metrics)
  const answered = (error: unknown = null) => {
    if (error instanceof ProclabelError && error.retryable) health.notReady('the store does not answer')
    else health.ready()
  }
  const timed = async <T>(command: string, call: () => Promise<T>): Promise<T> => {
    const started = performance.now()
    let result = 'error'
    try {
      const answer = await call()
      result = 'ok'
      answered()
      return answer
    } catch (error) {
      answered(error)
      throw error
    } finally {
      duration.observe((performance.now() - started) / 1000, { command, result })
    }
  }
  const askMemory = async () => {
    try {
      const { used, limit } = await store.memory()
      usedBytes.set(used)
      limitBytes.set(limit)
      answered()
    } catch (error) {
      // It may also be that this user may not ask.
      answered(error)
    }
  }
  const timer = setInterval(askMemory, memoryEveryMs)
  signal.addEventListener('abort', () => clearInterval(timer), { once: true })
  void askMemory()
  return {
    get epoch() {
      return store.epoch
    },
    load: hostId => timed('load', () => store.load(hostId)),
    loadMany: hostIds => timed('load', () => store.loadMany(hostIds)),
    save: (hostId, write) => timed('save', () => store.save(hostId, write)),
    outbox: hostId => timed('load', () => store.outbox(hostId)),
    acknowledge: (hostId, ids) => timed('acknowledge', () => store.acknowledge(hostId, ids)),
    close: () => store.close(),
  }
}
