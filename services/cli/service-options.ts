import { accessSync, constants } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import type { KafkaSecurity } from '#shared/bus/kafka-security.ts'
import { InputError } from '#shared/errors.ts'
import type { RegistrySettings } from '#shared/registry.ts'

/** How the commands reach Kafka and the schema registry. */
export interface ConnectionFlags {
  brokers: string[]
  clientId?: string
  kafkaTls?: boolean
  kafkaCaFile?: string
  kafkaCertFile?: string
  kafkaKeyFile?: string
  kafkaUsername?: string
  kafkaPassword?: string
  kafkaPasswordFile?: string
  registry?: string
  registryCaFile?: string
  registryUsername?: string
  registryPassword?: string
  registryPasswordFile?: string
}

export interface Connections {
  brokers: string[]
  /** Null: by default `proclabel-` and the command. */
  clientId: string | null
  security: KafkaSecurity
  /** Null without a registry. */
  registry: RegistrySettings | null
}

/** The options of ConnectionFlags. */
export const connectionOptions = (command: Command): Command =>
  command
    .requiredOption('--brokers <address...>', 'Kafka brokers to begin with, host:port')
    .option('--client-id <name>', "names this process in the brokers' logs")
    .option('--kafka-tls', 'speak TLS; also on when a file below is given')
    .option('--kafka-ca-file <file>', 'certificate authority of the brokers, PEM')
    .option('--kafka-cert-file <file>', 'client certificate, PEM')
    .option('--kafka-key-file <file>', 'its key, PEM')
    .option('--kafka-username <name>', 'SASL SCRAM-SHA-512 user')
    .option('--kafka-password <password>', 'better in PROCLABEL_KAFKA_PASSWORD than on the command line')
    .option('--kafka-password-file <file>', 'file that holds the password')
    .option(
      '--registry <url>',
      'schema registry, base address of its Confluent-compatible API; all services have one, or none has',
    )
    .option('--registry-ca-file <file>', 'certificate authority of the registry, PEM')
    .option('--registry-username <name>', 'user of the registry')
    .option('--registry-password <password>', 'better in PROCLABEL_REGISTRY_PASSWORD than on the command line')
    .option('--registry-password-file <file>', 'file that holds the password')

/** Checks everything; throws one InputError that names all that is wrong, and no secret. */
export function compileConnections(flags: ConnectionFlags): Connections {
  const problems = [
    ...flags.brokers.flatMap(broker => (parseAddress(broker) ? [] : [`brokers: expected host:port, got '${broker}'`])),
    ...pairProblems('kafka', flags.kafkaUsername, flags.kafkaPassword, flags.kafkaPasswordFile),
    ...pairProblems('registry', flags.registryUsername, flags.registryPassword, flags.registryPasswordFile),
    ...fileProblems({
      'kafka-ca-file': flags.kafkaCaFile,
      'kafka-cert-file': flags.kafkaCertFile,
      'kafka-key-file': flags.kafkaKeyFile,
      'kafka-password-file': flags.kafkaPasswordFile,
      'registry-ca-file': flags.registryCaFile,
      'registry-password-file': flags.registryPasswordFile,
    }),
    ...registryProblems(flags),
  ]
  if ((flags.kafkaCertFile === undefined) !== (flags.kafkaKeyFile === undefined))
    problems.push('kafka-cert-file and kafka-key-file go together')
  if (problems.length > 0) throw new InputError('PROCLABEL_CONFIG', problems.join('; '))
  return {
    brokers: flags.brokers,
    clientId: flags.clientId ?? null,
    security: present({
      tls: flags.kafkaTls,
      caFile: flags.kafkaCaFile,
      certFile: flags.kafkaCertFile,
      keyFile: flags.kafkaKeyFile,
      username: flags.kafkaUsername,
      password: flags.kafkaPassword,
      passwordFile: flags.kafkaPasswordFile,
    }),
    registry:
      flags.registry === undefined
        ? null
        : {
            url: flags.registry,
            ...present({
              caFile: flags.registryCaFile,
              username: flags.registryUsername,
              password: flags.registryPassword,
              passwordFile: flags.registryPasswordFile,
            }),
          },
  }
}

function pairProblems(of: string, username?: string, password?: string, passwordFile?: string): string[] {
  if (password !== undefined && passwordFile !== undefined)
    return [`${of}-password and ${of}-password-file exclude each other`]
  const hasPassword = (password ?? passwordFile) !== undefined
  return hasPassword === (username !== undefined)
    ? []
    : [`${of}-username needs ${of}-password-file, or PROCLABEL_${of.toUpperCase()}_PASSWORD, and they it`]
}

function fileProblems(files: Record<string, string | undefined>): string[] {
  return Object.entries(files).flatMap(([option, file]) => {
    if (file === undefined) return []
    try {
      accessSync(file, constants.R_OK)
      return []
    } catch (error) {
      return [`${option} '${file}' cannot be read: ${(error as NodeJS.ErrnoException).code}`]
    }
  })
}

function registryProblems({ registry, registryCaFile, registryUsername }: ConnectionFlags): string[] {
  if (registry === undefined)
    return (registryCaFile ?? registryUsername) ? ['registry-ca-file and registry-username need registry'] : []
  const url = URL.canParse(registry) ? new URL(registry) : null
  // The text may hold a password: it is not repeated.
  if (url === null || !/^https?:$/.test(url.protocol)) return ['registry must be http://… or https://…']
  return url.username + url.password === ''
    ? []
    : ['registry holds no user and no password: they have options of their own']
}

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
/** Without the members that are undefined. */
const present = <T extends object>(members: T): Present<T> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Present<T>

/** Null for what is no host:port; an IPv6 host stands in brackets. */
function parseAddress(text: string): { host: string; port: number } | null {
  const [, host, port] = /^(\[[0-9a-f:.]+\]|[^:\s]*):(\d{1,5})$/i.exec(text) ?? []
  if (host === undefined || Number(port) > 65_535) return null
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}

/** Parses an option's value as the address to listen on; without a host it is every address of the machine. */
export function listenAddress(text: string): { host: string; port: number } {
  const address = parseAddress(text)
  if (address === null) throw new InvalidArgumentError('expected host:port.')
  return { host: address.host || '::', port: address.port }
}
