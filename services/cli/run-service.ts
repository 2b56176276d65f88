import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Bus } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { Health, serveHealth } from '#shared/health.ts'
import { runUntilStopped } from '#shared/lifecycle.ts'
import { createLog, type Log, type LogLevel, logLevels } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { wholeNumber } from './whole-number.ts'

export interface ServiceFlags {
  brokers: string[]
  metricsAddress?: { host: string; port: number }
  logLevel: LogLevel
}

export interface ProducerFlags extends ServiceFlags {
  spool?: string
  spoolSize: number
}

/** What a service runs with. */
export interface ServiceParts {
  bus: Bus
  log: Log
  metrics: PrometheusMetrics
  health: Health
  signal: AbortSignal
}

const spoolRoot = '/var/lib/proclabel'
export const mebibyte = 1024 * 1024

/** The folder of a spool when none is given. */
export const spoolFolder = (name: string): string => `${spoolRoot}/${name.replaceAll(/[^\w.-]/g, '_')}`

/** The options that `agent` and `capture` share. */
export const producerOptions = (command: Command): Command =>
  serviceOptions(command)
    .option('--spool <folder>', `where records wait while Kafka is away; by default in ${spoolRoot}`)
    .option('--spool-size <MiB>', 'size of the spool at most, MiB', wholeNumber(16, 1_048_576), 1024)

/** The options that all services share. */
export const serviceOptions = (command: Command): Command =>
  command
    .requiredOption('--brokers <address...>', 'Kafka brokers to begin with, host:port')
    .option('--metrics-address <host:port>', 'where to serve /metrics, /healthz and /readyz', address)
    .addOption(new Option('--log-level <level>', 'what is logged').choices(logLevels).default('info'))

/** Runs a service over Kafka until it is told to stop; ends the process. */
export async function runService(
  name: string,
  { brokers, metricsAddress, logLevel }: ServiceFlags,
  run: (parts: ServiceParts) => Promise<void>,
): Promise<never> {
  const log = createLog(name, logLevel)
  return runUntilStopped(
    async signal => {
      const metrics = new PrometheusMetrics(name, packageJson.version)
      const health = new Health()
      const server = metricsAddress && (await serveHealth(metricsAddress, { health, metrics }))
      if (server) log.info({ address: server.address }, 'serving metrics and health')
      const kafkaLog = (level: 'error' | 'warn', message: string, fields: Record<string, unknown>) =>
        log[level]({ client: 'kafkajs', ...fields }, message)
      const bus = new KafkaBus({ brokers, clientId: `proclabel-${name}`, log: kafkaLog })
      try {
        await run({ bus, log, metrics, health, signal })
      } finally {
        await bus.close()
        await server?.close()
      }
    },
    { log },
  )
}

function address(text: string): { host: string; port: number } {
  const [, host, port] = /^(.*):(\d+)$/.exec(text) ?? []
  if (host === undefined) throw new InvalidArgumentError('expected host:port.')
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}
