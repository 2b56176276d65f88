import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { kafkaJars, registryJar } from '../e2e/stack/downloads.ts'
import { Part } from '../e2e/stack/part.ts'
import { freePort } from '../e2e/stack/ports.ts'
import { goTool } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const command = join(repository, 'services/cli/proclabel.mjs')
const jvm = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xms64m', '-Xmx384m']
const users = ['admin', 'agent']
const run = promisify(execFile)

/** As Kafka's image makes properties of variables: `_` is a dot, two are one, three are a dash. */
const propertyName = (variable: string): string =>
  variable
    .replace(/^KAFKA_/, '')
    .toLowerCase()
    .replaceAll('___', '-')
    .replaceAll('__', '\0')
    .replaceAll('_', '.')
    .replaceAll('\0', '_')

test('Kafka and registry start with the settings of the secured compose file, let in whom they should, and keep the schemas', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-compose-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(join(repository, 'services/deploy/make-secrets.sh'), join(folder, 'make-secrets.sh'))
  assert.equal(spawnSync(join(folder, 'make-secrets.sh')).status, 0)
  const secrets = join(folder, 'secrets')

  const files = ['docker-compose.yml', 'services/deploy/docker-compose.secured.yml'].flatMap(file => ['-f', file])
  const compose = await goTool('github.com/docker/compose/v5/cmd')
  const { stdout } = await run(compose, [...files, 'config', '--format', 'json'], { cwd: repository })
  const { kafka, registry } = (
    JSON.parse(stdout) as { services: Record<string, { environment: Record<string, string> }> }
  ).services
  // Container names and ports are this machine's loopback here; nothing else is changed.
  const ports = new Map<string, number>()
  for (const port of ['9092', '9093', '9094', '29092']) ports.set(port, await freePort())
  const here = (text: string) =>
    text
      .replaceAll(/kafka-internal|\bkafka(?=:\d)/g, '127.0.0.1')
      .replaceAll(/:(29092|9092|9093|9094)\b/g, (_, port) => `:${ports.get(port)}`)
      .replaceAll('/run/secrets', secrets)
      .replaceAll('/var/lib/kafka/data', join(folder, 'data'))

  const properties = join(folder, 'server.properties')
  const lines = Object.entries(kafka!.environment)
    .filter(([name]) => name.startsWith('KAFKA_') && name !== 'KAFKA_HEAP_OPTS')
    .map(([name, value]) => `${propertyName(name)}=${here(value)}\n`)
  writeFileSync(properties, [...lines, 'log.cleaner.dedupe.buffer.size=4194304\n'].join(''))
  const logging = join(repository, 'services/e2e/stack/log4j2.properties')
  const java = [...jvm, '-cp', `${await kafkaJars()}/*`, `-Dlog4j2.configurationFile=${logging}`]
  const scram = users.flatMap(name => {
    const password = readFileSync(join(secrets, `password-${name}`), 'utf8').trim()
    return ['--add-scram', `SCRAM-SHA-512=[name="${name}",password="${password}"]`]
  })
  const { CLUSTER_ID: cluster } = kafka!.environment
  await run('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', cluster!, '-c', properties, ...scram])
  const broker = new Part({
    name: 'kafka',
    command: 'java',
    args: [...java, 'kafka.Kafka', properties],
    logFile: join(folder, 'kafka.log'),
    isReady: log => log.includes('Kafka Server started'),
  })
  t.after(() => broker.stop())
  await broker.start()

  const registryPort = await freePort()
  const url = `http://127.0.0.1:${registryPort}/apis/ccompat/v7`
  const settings = Object.entries(registry!.environment)
    .filter(([name]) => name.startsWith('APICURIO_'))
    .map(([name, value]) => `${name}=${here(value)}`)
  const schemas = new Part({
    name: 'registry',
    command: 'env',
    args: [
      ...settings,
      'java',
      ...jvm,
      '-Dquarkus.http.host=127.0.0.1',
      `-Dquarkus.http.port=${registryPort}`,
      '-jar',
      await registryJar(),
    ],
    logFile: join(folder, 'registry.log'),
    // What the health check of the compose file asks.
    isReady: async () => (await fetch(`http://127.0.0.1:${registryPort}/health/ready`).catch(() => null))?.ok === true,
  })
  t.after(() => schemas.stop())
  await schemas.start()

  const proclabel = async (...args: string[]): Promise<{ status: number; text: string }> => {
    const connection = ['--brokers', here('kafka:9092'), '--registry', url]
    try {
      const done = await run(process.execPath, [command, ...args, ...connection], { timeout: 90_000 })
      return { status: 0, text: done.stdout }
    } catch (error) {
      const { code, stderr } = error as { code: number; stderr: string }
      return { status: code, text: stderr }
    }
  }
  const as = (user: string) => [
    ...['--kafka-ca-file', join(secrets, 'ca.pem'), '--kafka-username', user],
    ...['--kafka-password-file', join(secrets, `password-${user}`)],
  ]
  const apply = ['topics', 'apply', '--replication', '1', '--partitions', '1']
  await t.test('nobody without a password, no service beyond its rights, the administrator', async () => {
    assert.equal((await proclabel(...apply, '--kafka-ca-file', join(secrets, 'ca.pem'))).status, 5)
    assert.equal((await proclabel(...apply, ...as('agent'))).status, 5)
    const { status, text } = await proclabel(...apply, ...as('admin'))
    assert.equal(status, 0, text)
    assert.match(text, /^schema packets-value: registered/m)
  })
  await t.test('schemas outlive the registry', async () => {
    await schemas.stop()
    await schemas.start()
    const { text } = await proclabel(...apply, ...as('admin'))
    assert.match(text, /^nothing had to be changed$/m)
  })
})
