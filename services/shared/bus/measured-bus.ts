import { ProclabelError } from '../errors.ts'
import type { HealthComponent } from '../health.ts'
import type { PublishMetrics } from '../service-metrics.ts'
import type { Bus } from './bus.ts'

/** The bus of a service that publishes what it makes at once: measured, and not ready while the bus takes nothing. */
export function measuredBus(bus: Bus, metrics: PublishMetrics, health: HealthComponent): Bus {
  health.ready()
  return {
    publish: async (topic, records) => {
      const startMs = performance.now()
      try {
        await bus.publish(topic, records)
      } catch (error) {
        const isAway = error instanceof ProclabelError && error.retryable
        metrics.errors.add(1, { topic, reason: isAway ? 'unavailable' : 'refused' })
        if (isAway) health.notReady('the bus does not take records')
        throw error
      }
      health.ready()
      metrics.produced.add(records.length, { topic })
      metrics.duration.observe((performance.now() - startMs) / 1000, { topic })
    },
    subscribe: (...all) => bus.subscribe(...all),
    reader: group => bus.reader(group),
    close: () => bus.close(),
  }
}
