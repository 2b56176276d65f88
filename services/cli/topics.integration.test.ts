import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import kafkajs, { type Admin, Kafka } from 'kafkajs'
import { type Topic, topics } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { grant } from '#shared/bus/kafka-fixture.ts'
import { patchKafkajs } from '#shared/bus/kafkajs-patches.ts'
import type { KafkaUser } from '../e2e/stack/kafka.ts'
import { type Stack, startStack } from '../e2e/stack/stack.ts'
import { type Acl, aclServices, topicAcls } from './topic-acls.ts'

const command = fileURLToPath(new URL('main.ts', import.meta.url))
const run = async (...args: string[]) => {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [command, 'topics', ...args])
    return { code: 0, lines: stdout.trimEnd().split('\n'), stderr: '' }
  } catch (error) {
    const { code, stderr } = error as { code: number; stderr: string }
    return { code, lines: [], stderr }
  }
}
patchKafkajs()
const topicNames = Object.keys(topics) as Topic[]

suite('topics apply', () => {
  let stack: Stack
  let admin: Admin
  after(async () => {
    await admin?.disconnect()
    await stack?.stop()
  })
  const apply = (...more: string[]) => {
    const where = ['--brokers', ...stack.kafka!.brokers, '--registry', stack.registry!.url]
    return run('apply', ...where, '--replication', '1', ...more)
  }
  const configOf = async (topic: string) => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic }],
    })
    return Object.fromEntries(resources[0]!.configEntries.map(entry => [entry.configName, entry.configValue]))
  }

  test('creates all topics with their settings and registers all schemas', async () => {
    stack = await startStack({ kafka: true, registry: true })
    admin = new Kafka({ brokers: stack.kafka!.brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()
    await admin.connect()
    const refused = await apply('--replication', '3')
    assert.deepEqual([refused.code, await admin.listTopics()], [2, []])
    assert.match(refused.stderr, /need as many brokers, and there is 1: give --replication 1/)
    const { code, lines } = await apply('--partitions', '6')
    assert.equal(code, 0)
    assert.deepEqual(
      lines.slice(0, 7),
      topicNames.map(topic => `topic ${topic}: created`),
    )
    for (const line of lines.slice(7, 14)) assert.match(line, /^schema \S+-value: registered, id \d+$/)
    assert.equal(lines[14], '14 changed')
    const metadata = await admin.fetchTopicMetadata()
    assert.deepEqual(metadata.topics.map(({ name }) => name).sort(), [...topicNames].sort())
    assert.ok(metadata.topics.every(({ partitions }) => partitions.length === 6))
    const [packets, hosts, sessions] = await Promise.all(['packets', 'hosts', 'labeled-sessions'].map(configOf))
    assert.partialDeepStrictEqual(packets, {
      'message.timestamp.type': 'LogAppendTime',
      'compression.type': 'zstd',
      'cleanup.policy': 'delete',
      'retention.ms': '86400000',
    })
    assert.partialDeepStrictEqual(hosts, { 'message.timestamp.type': 'LogAppendTime', 'cleanup.policy': 'compact' })
    assert.equal(sessions!['cleanup.policy'], 'compact,delete')
  })

  test('run again it changes nothing and says so', async () => {
    const { code, lines } = await apply('--partitions', '6')
    assert.equal(code, 0)
    assert.ok(lines.slice(0, -1).every(line => line.includes(': unchanged')))
    assert.equal(lines.at(-1), 'nothing had to be changed')
  })

  test('leaves the copies of a topic as they are, and says so', async () => {
    const { code, lines } = await apply('--partitions', '6', '--replication', '2')
    assert.equal(code, 0)
    const told = lines.filter(line => line.startsWith('copies'))
    assert.deepEqual(told, [
      `copies of each partition stay as they are, not 2: ${topicNames.map(topic => `${topic} has 1`).join(', ')}; ` +
        'kafka-reassign-partitions.sh changes them',
    ])
    assert.equal(lines.at(-1), 'nothing had to be changed')
  })

  test('corrects a setting that differs, and leaves the settings of others alone', async () => {
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: 'packets',
          configEntries: [
            { name: 'cleanup.policy', value: 'compact' },
            { name: 'segment.ms', value: '3600000' },
          ],
        },
      ],
    })
    const { lines } = await apply('--partitions', '6')
    assert.deepEqual([lines[3], lines.at(-1)], ['topic packets: configured', '1 changed'])
    assert.partialDeepStrictEqual(await configOf('packets'), { 'cleanup.policy': 'delete', 'segment.ms': '3600000' })
  })

  test('creates what is missing again', async () => {
    await admin.deleteTopics({ topics: ['resolutions'] })
    const { lines } = await apply('--partitions', '6')
    assert.deepEqual(
      lines.filter(line => !line.includes('unchanged')),
      ['topic resolutions: created', '1 changed'],
    )
  })

  test('another number of partitions is refused before anything is done, with what to do', async () => {
    await admin.deleteTopics({ topics: ['resolutions'] })
    const { code, stderr } = await apply('--partitions', '12')
    assert.equal(code, 2)
    assert.match(stderr, /packets has 6 partitions.*not 12; .*give --partitions as it is, or stop all services/)
    assert.ok(!(await admin.listTopics()).includes('resolutions'))
  })
})

suite('topics acls', () => {
  let stack: Stack
  after(() => stack?.stop())
  const principals = Object.fromEntries(aclServices.map(service => [service, [`User:${service}`]])) as Record<
    (typeof aclServices)[number],
    string[]
  >

  test('grant what each service needs, and an agent three topics to write', async () => {
    stack = await startStack({ kafka: true, secured: true, users: ['agent', 'matcher'] })
    const { brokers, secured } = stack.kafka!
    const { caFile, users } = secured!
    const securityOf = ({ name, passwordFile }: KafkaUser) => ({ caFile, username: name, passwordFile })
    const { caFile: _, ...admin } = securityOf(users.admin!)
    const applied = await run(
      ...['apply', '--brokers', ...brokers, '--kafka-ca-file', caFile, '--kafka-username', admin.username],
      ...['--kafka-password-file', admin.passwordFile, '--replication', '1', '--partitions', '2'],
    )
    assert.equal(applied.code, 0, applied.stderr)
    const kafka = new Kafka({
      brokers,
      logLevel: kafkajs.logLevel.NOTHING,
      ssl: { ca: [readFileSync(caFile, 'utf8')] },
      sasl: { mechanism: 'scram-sha-512', username: 'admin', password: readFileSync(admin.passwordFile, 'utf8') },
    }).admin()
    await kafka.connect()
    await grant(kafka, topicAcls(principals).map(toKafkajs))
    await kafka.disconnect()

    const busOf = (name: string) => new KafkaBus({ brokers, clientId: name, security: securityOf(users[name]!) })
    const [agent, matcher] = [busOf('agent'), busOf('matcher')]
    try {
      const record = { key: 'h', value: Buffer.from('v') }
      for (const topic of ['hosts', 'socket-snapshots', 'socket-events']) await agent.publish(topic, [record])
      await assert.rejects(agent.publish('packets', [record]), /authoriz/i)
      await matcher.publish('labeled-sessions', [record])
      const inputs = ['hosts', 'socket-snapshots', 'socket-events', 'packets', 'resolutions']
      const seen = new Set<string>()
      for await (const { records, commit } of matcher.subscribe(inputs, 'matcher', AbortSignal.timeout(60_000))) {
        for (const { topic } of records) seen.add(topic)
        await commit()
        if (seen.size === 3) break
      }
      assert.deepEqual([...seen].sort(), ['hosts', 'socket-events', 'socket-snapshots'])
    } finally {
      await Promise.all([agent.close(), matcher.close()])
    }
  })

  test('are printed as commands and as JSON', async () => {
    const { lines } = await run('acls', '--principal-agent', 'User:CN=agent 1,O=x')
    assert.equal(
      lines[0],
      'kafka-acls.sh --bootstrap-server "$BROKERS" --command-config "$ADMIN" --add ' +
        "--allow-principal 'User:CN=agent 1,O=x' --operation WRITE --topic hosts",
    )
    assert.ok(lines.some(line => line.endsWith('--group capture- --resource-pattern-type prefixed')))
    const json = JSON.parse((await run('acls', '--json')).lines.join('\n')) as Acl[]
    assert.deepEqual(json, topicAcls(principals))
    const agent = json.filter(({ principal }) => principal === 'User:agent')
    assert.deepEqual(
      agent.map(({ operation, resourceName }) => `${operation} ${resourceName}`),
      ['WRITE hosts', 'WRITE socket-snapshots', 'WRITE socket-events'],
    )
    const { lines: ofTwo } = await run('acls', '--principal-agent', 'User:desk', 'User:lab')
    assert.equal(ofTwo.filter(line => / User:(desk|lab) --operation WRITE /.test(line)).length, 6)
  })
})

const toKafkajs = ({ principal, operation, resourceType, resourceName, patternType }: Acl) => ({
  principal,
  host: '*',
  permissionType: kafkajs.AclPermissionTypes.ALLOW,
  operation: kafkajs.AclOperationTypes[operation],
  resourceType: kafkajs.AclResourceTypes[resourceType],
  resourceName,
  resourcePatternType: kafkajs.ResourcePatternTypes[patternType],
})
