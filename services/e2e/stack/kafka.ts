import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type Certificate, CertificateAuthority } from './certificates.ts'
import { kafkaJars } from './downloads.ts'
import type { NewPart, Part, PartOptions } from './part.ts'
import { freePort } from './ports.ts'

const logging = fileURLToPath(new URL('log4j2.properties', import.meta.url))
/** Small and quick to start; the second compiler would earn its cost only in a long run. */
const jvm = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xms64m']

/** A principal of the secured broker, by password or by certificate. */
export interface KafkaUser extends Certificate {
  name: string
  passwordFile: string
}

export interface SecuredKafka {
  caFile: string
  /** Bootstrap addresses of the listener that asks for a client certificate; its principal is the certificate's name. */
  mutualTls: string[]
  /** By name; `admin` may do everything, the others what ACLs grant. */
  users: Record<string, KafkaUser>
}

export interface KafkaStack {
  /** Bootstrap addresses; of the secured broker those of SASL_SSL with SCRAM-SHA-512. */
  brokers: string[]
  nodes: Part[]
  secured: SecuredKafka | null
  /** Where the listener is that belongs behind a proxy; null without one. */
  behindProxyPort: number | null
}

interface Node {
  id: number
  clientPort: number
  controllerPort: number
  mutualTlsPort: number
}

const host = '127.0.0.1'
const adminUser = 'admin'

/** Starts `count` brokers that are controllers too. `users` is null for the plain variant, `proxyPort` where there is no proxy. */
export async function startKafka(
  folder: string,
  newPart: NewPart,
  count: number,
  users: readonly string[] | null,
  proxyPort: number | null,
): Promise<KafkaStack> {
  const jars = await kafkaJars()
  const nodes: Node[] = []
  for (let id = 1; id <= count; id++) {
    const [clientPort, controllerPort, mutualTlsPort] = [await freePort(), await freePort(), await freePort()]
    nodes.push({ id, clientPort, controllerPort, mutualTlsPort })
  }
  const secured = users && makeUsers(folder, users, nodes)
  const behindProxyPort = proxyPort === null ? null : await freePort()
  // An id that begins with a dash would be taken for an option by Kafka's tools.
  const clusterId = `k${randomBytes(16).toString('base64url').slice(1)}`
  const proxied = behindProxyPort === null ? null : { behindProxyPort, proxyPort: proxyPort! }
  const formatted = nodes.map(node => format(folder, jars, clusterId, node, nodes, secured, proxied))
  const parts = (await Promise.all(formatted)).map(newPart)
  await Promise.all(parts.map(part => part.start()))
  return { brokers: nodes.map(({ clientPort }) => `${host}:${clientPort}`), nodes: parts, secured, behindProxyPort }
}

function makeUsers(folder: string, names: readonly string[], nodes: readonly Node[]): SecuredKafka {
  const authority = new CertificateAuthority(folder)
  const users: Record<string, KafkaUser> = {}
  for (const name of [adminUser, ...names]) {
    const passwordFile = `${folder}/${name}.password`
    writeFileSync(passwordFile, randomBytes(18).toString('base64url'))
    users[name] = { name, passwordFile, ...authority.issue(name) }
  }
  const { certFile, keyFile } = authority.issue('broker')
  writeFileSync(`${folder}/broker-store.pem`, readFileSync(keyFile, 'utf8') + readFileSync(certFile, 'utf8'))
  return { caFile: authority.caFile, mutualTls: nodes.map(node => `${host}:${node.mutualTlsPort}`), users }
}

const passwordOf = ({ passwordFile }: KafkaUser) => readFileSync(passwordFile, 'utf8')

/** Writes a node's configuration and formats its storage; the SCRAM users are born with it. */
async function format(
  folder: string,
  jars: string,
  clusterId: string,
  node: Node,
  nodes: readonly Node[],
  secured: SecuredKafka | null,
  proxied: { behindProxyPort: number; proxyPort: number } | null,
): Promise<PartOptions> {
  const home = `${folder}/kafka-${node.id}`
  const properties = `${home}/server.properties`
  const java = ['-cp', `${jars}/*`, `-Dlog4j2.configurationFile=${logging}`]
  mkdirSync(home)
  const settings: Record<string, string | number> = {
    ...plainSettings(home, node, nodes),
    ...(secured && securedSettings(folder, node, secured)),
  }
  if (proxied) {
    settings.listeners += `,PROXIED://${host}:${proxied.behindProxyPort}`
    settings['advertised.listeners'] += `,PROXIED://${host}:${proxied.proxyPort}`
  }
  writeFileSync(
    properties,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  const scram = Object.values(secured?.users ?? {}).flatMap(user => [
    '--add-scram',
    `SCRAM-SHA-512=[name="${user.name}",password="${passwordOf(user)}"]`,
  ])
  const storage = ['kafka.tools.StorageTool', 'format', '-t', clusterId, '-c', properties, ...scram]
  await promisify(execFile)('java', [...jvm, '-Xmx128m', ...java, ...storage])
  return {
    name: `kafka-${node.id}`,
    command: 'java',
    args: [...jvm, '-Xmx384m', ...java, 'kafka.Kafka', properties],
    logFile: `${home}/broker.log`,
    // Logged when the controllers know the broker and its listeners are open.
    isReady: log => log.includes('Kafka Server started'),
  }
}

function plainSettings(home: string, node: Node, nodes: readonly Node[]): Record<string, string | number> {
  const replicas = nodes.length
  const inSync = Math.min(2, replicas)
  const listener = `PLAINTEXT://${host}:${node.clientPort}`
  return {
    'process.roles': 'broker,controller',
    'node.id': node.id,
    'controller.quorum.voters': nodes.map(({ id, controllerPort }) => `${id}@${host}:${controllerPort}`).join(','),
    listeners: `${listener},CONTROLLER://${host}:${node.controllerPort}`,
    'advertised.listeners': listener,
    'inter.broker.listener.name': 'PLAINTEXT',
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map':
      'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,PROXIED:PLAINTEXT',
    'log.dirs': `${home}/data`,
    'default.replication.factor': replicas,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': replicas,
    'offsets.topic.num.partitions': 4,
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': 4,
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'group.initial.rebalance.delay.ms': 0,
    'auto.create.topics.enable': 'false',
    // A broker that was killed may come back when its old session has ended; the default is 9 s.
    'broker.session.timeout.ms': 3000,
    'broker.heartbeat.interval.ms': 500,
    // The default of 128 MB would not fit the heap.
    'log.cleaner.dedupe.buffer.size': 4_194_304,
  }
}

function securedSettings(folder: string, node: Node, secured: SecuredKafka): Record<string, string | number> {
  const admin = secured.users[adminUser]!
  const login = 'org.apache.kafka.common.security.scram.ScramLoginModule required'
  const listeners = `SASL_SSL://${host}:${node.clientPort},SSL://${host}:${node.mutualTlsPort}`
  return {
    listeners: `${listeners},CONTROLLER://${host}:${node.controllerPort}`,
    'advertised.listeners': listeners,
    'inter.broker.listener.name': 'SASL_SSL',
    'sasl.enabled.mechanisms': 'SCRAM-SHA-512',
    'sasl.mechanism.inter.broker.protocol': 'SCRAM-SHA-512',
    'listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config': `${login} username="${admin.name}" password="${passwordOf(admin)}";`,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': `${folder}/broker-store.pem`,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': secured.caFile,
    'listener.name.ssl.ssl.client.auth': 'required',
    'listener.name.ssl.ssl.principal.mapping.rules': 'RULE:^CN=(.*?)$/$1/,DEFAULT',
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    // The controllers speak plain text on loopback among themselves, and so are ANONYMOUS; clients have no such listener.
    'super.users': `User:${admin.name};User:ANONYMOUS`,
  }
}
