import { join } from 'node:path'
import process from 'node:process'
import { type Command, Option } from 'commander'
import type { Codecs } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import { InputError } from '#shared/errors.ts'
import type { Health } from '#shared/health.ts'
import { type Log, type LogLevel, logLevels } from '#shared/log.ts'
import type { PrometheusMetrics } from '#shared/metrics.ts'
import type { RegistryCodecs } from '#shared/registry-codecs.ts'
import { type ConnectionFlags, connectionOptions, listenAddress } from './service-options.ts'
import { wholeNumber } from './whole-number.ts'

export interface ServiceFlags extends ConnectionFlags {
  registryCache?: string
  metricsAddress?: { host: string; port: number }
  logLevel: LogLevel
}

export interface ProducerFlags extends ServiceFlags {
  spool?: string
  spoolSize: number
  traceOneIn?: number
}

/** What a service runs with. */
export interface ServiceParts {
  bus: Bus
  /** Those of the registry, or without one those of the checked-in schemas. */
  codecs: Codecs
  /** To be called, and awaited where it answers, before records are decoded: learns the schemas of other versions. */
  prepare: RegistryCodecs['prepare']
  log: Log
  metrics: PrometheusMetrics
  health: Health
  signal: AbortSignal
}

/** Folder of spools where none is given. */
export const spoolRoot = process.platform === 'win32' ? `${process.env.ProgramData}\\proclabel` : '/var/lib/proclabel'
export const mebibyte = 1024 * 1024

/** With the folder of the spool where none is given, and schema ids kept in it: a producer starts also while the registry is away. */
export function withSpool<F extends ProducerFlags>(
  flags: F,
  name: string,
): F & { spool: string; registryCache: string } {
  const spool = flags.spool ?? spoolFolder(name)
  return { ...flags, spool, registryCache: flags.registryCache ?? join(spool, 'schema-ids.json') }
}

/** The folder of a spool when none is given. */
const spoolFolder = (name: string): string => join(spoolRoot, name.replaceAll(/[^\w.-]/g, '_'))

/** The options that `agent` and `capture` share. */
export const producerOptions = (command: Command): Command =>
  serviceOptions(command)
    .option('--spool <folder>', `where records wait while Kafka is away; by default in ${spoolRoot}`)
    .option('--spool-size <MiB>', 'size of the spool at most, MiB', wholeNumber(16, 1_048_576), 1024)
    .option(
      '--trace-one-in <n>',
      'one of so many records, by chance, begins a trace: a traceparent header, which goes on with what the matcher publishes',
      wholeNumber(1, 1_000_000_000),
    )

/** The options that all commands over Kafka share. */
export const clientOptions = (command: Command): Command =>
  connectionOptions(command)
    .option(
      '--registry-cache <file>',
      'remembers schema ids, so that a restart works while the registry is away; agent and capture have one in the spool',
    )
    .addOption(new Option('--log-level <level>', 'what is logged').choices(logLevels).default('info'))

/** Those of services, which serve their metrics; a client beside one must not want its address. */
export const serviceOptions = (command: Command): Command =>
  clientOptions(command).option(
    '--metrics-address <host:port>',
    'where to serve /metrics, /healthz and /readyz',
    listenAddress,
  )

/** For a command that may have its input from files instead: `needsBrokers` then asks for them where they are needed. */
export function withoutBrokers(command: Command): Command {
  command.options.find(option => option.name() === 'brokers')!.makeOptionMandatory(false)
  return command
}

/** Throws InputError for flags without brokers. */
export function needsBrokers<F extends ServiceFlags>(flags: F): F {
  if (flags.brokers) return flags
  throw new InputError('PROCLABEL_CONFIG', 'give files, or --brokers to read from Kafka')
}

/** Runs a service over Kafka until it is told to stop; ends the process. What that needs is loaded only then. */
export const runService: typeof import('./service-runner.ts').runService = async (...args) =>
  (await import('./service-runner.ts')).runService(...args)
