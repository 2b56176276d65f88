import type { DestinationStream } from 'pino'
import { codecs } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { tracedBus } from '#shared/bus/trace-context.ts'
import { Health, serveHealth } from '#shared/health.ts'
import { runUntilStopped } from '#shared/lifecycle.ts'
import { createLog, kafkaLog } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import packageJson from '../../package.json' with { type: 'json' }
import type { ProducerFlags, ServiceFlags, ServiceParts } from './run-service.ts'
import { compileConnections } from './service-options.ts'

/** Runs a service over Kafka until it is told to stop; ends the process. Logs to standard error when `logTo` is not given. */
export async function runService(
  name: string,
  flags: ServiceFlags & Pick<ProducerFlags, 'traceOneIn'>,
  run: (parts: ServiceParts) => Promise<void>,
  logTo?: DestinationStream,
): Promise<never> {
  const { brokers, clientId, security, registry } = compileConnections(flags)
  const log = createLog(name, flags.logLevel, logTo)
  return runUntilStopped(
    async signal => {
      const metrics = new PrometheusMetrics(name, packageJson.version)
      const health = new Health()
      const server = flags.metricsAddress && (await serveHealth(flags.metricsAddress, { health, metrics }))
      if (server) log.info({ address: server.address }, 'serving metrics and health')
      const kafka = new KafkaBus({ brokers, clientId: clientId ?? `proclabel-${name}`, security, log: kafkaLog(log) })
      const bus = flags.traceOneIn === undefined ? kafka : tracedBus(kafka, flags.traceOneIn)
      try {
        const connected =
          registry &&
          (await RegistryCodecs.connect({
            registry: new Registry(registry),
            cacheFile: flags.registryCache ?? null,
            log,
            metrics: registryMetrics(metrics),
            health: health.component('registry'),
            signal,
          }))
        const prepare: RegistryCodecs['prepare'] = records => connected?.prepare(records)
        await run({ bus, codecs: connected?.codecs ?? codecs, prepare, log, metrics, health, signal })
      } catch (error) {
        if (!signal.aborted) throw error
        log.info({ error }, 'ended while it waited')
      } finally {
        await bus.close()
        await server?.close()
      }
    },
    { log },
  )
}
