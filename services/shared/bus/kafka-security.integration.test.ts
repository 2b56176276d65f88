import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import kafkajs, { Kafka, logLevel } from 'kafkajs'
import { type Stack, startStack } from '../../e2e/stack/stack.ts'
import { textRecord } from './contract.ts'
import { KafkaBus } from './kafka.ts'
import { grant } from './kafka-fixture.ts'
import type { KafkaSecurity } from './kafka-security.ts'
import { patchKafkajs } from './kafkajs-patches.ts'

const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
patchKafkajs()
let stack: Stack
before(async () => {
  stack = await startStack({ kafka: true, secured: true, users: ['agent', 'matcher'] })
  const { username, passwordFile, caFile } = byPassword('admin')
  const admin = new Kafka({
    brokers: stack.kafka!.brokers,
    logLevel: logLevel.NOTHING,
    ssl: { ca: [readFileSync(caFile!, 'utf8')] },
    sasl: { mechanism: 'scram-sha-512', username: username!, password: readFileSync(passwordFile!, 'utf8') },
  }).admin()
  await admin.connect()
  await admin.createTopics({
    topics: ['packets', 'hosts'].map(topic => ({ topic, numPartitions: 1 })),
    waitForLeaders: true,
  })
  const allow = (
    user: string,
    operation: keyof typeof AclOperationTypes,
    resource: 'TOPIC' | 'GROUP',
    name: string,
  ) => ({
    principal: `User:${user}`,
    host: '*',
    operation: AclOperationTypes[operation],
    permissionType: AclPermissionTypes.ALLOW,
    resourceType: AclResourceTypes[resource],
    resourceName: name,
    resourcePatternType: ResourcePatternTypes.LITERAL,
  })
  await grant(admin, [
    allow('agent', 'WRITE', 'TOPIC', 'packets'),
    allow('matcher', 'READ', 'TOPIC', 'packets'),
    allow('matcher', 'READ', 'GROUP', 'matcher'),
  ])
  await admin.disconnect()
})
after(() => stack.stop())

const secured = () => stack.kafka!.secured!
const byPassword = (name: string): KafkaSecurity => ({
  caFile: secured().caFile,
  username: name,
  passwordFile: secured().users[name]!.passwordFile,
})
const byCertificate = (name: string): KafkaSecurity => ({
  caFile: secured().caFile,
  certFile: secured().users[name]!.certFile,
  keyFile: secured().users[name]!.keyFile,
})
const busOf = (security: KafkaSecurity) => {
  const brokers = security.username ? stack.kafka!.brokers : secured().mutualTls
  return new KafkaBus({ brokers, clientId: 'security', security })
}
const signal = new AbortController().signal

for (const [how, security] of [
  ['SCRAM over TLS', byPassword],
  ['a client certificate', byCertificate],
] as const) {
  test(`by ${how} a principal may do what it was granted, and nothing else`, { timeout: 120_000 }, async () => {
    const [agent, matcher] = [busOf(security('agent')), busOf(security('matcher'))]
    await agent.publish('packets', [textRecord('host', how)])
    for await (const batch of matcher.subscribe(['packets'], 'matcher', signal)) {
      assert.equal(String(batch.records.at(-1)!.value), how)
      await batch.commit()
      break
    }
    await assert.rejects(agent.publish('hosts', [textRecord('host', 'x')]), /not authorized/i)
    await agent.publish('packets', [textRecord('host', 'still may')])
    await assert.rejects(async () => {
      for await (const _ of agent.subscribe(['packets'], 'matcher', signal)) assert.fail('may not read')
    }, /may this principal READ the group/)
    const rest = matcher.subscribe(['packets'], 'matcher', signal)
    for await (const batch of rest) {
      await batch.commit()
      break
    }
    await Promise.all([agent.close(), matcher.close()])
  })
}

test('a wrong password and an unknown authority are refused, and said so', { timeout: 120_000 }, async () => {
  const passwordFile = `${stack.folder}/wrong.password`
  writeFileSync(passwordFile, 'wrong\n')
  const wrong = busOf({ ...byPassword('agent'), passwordFile })
  await assert.rejects(wrong.publish('packets', [textRecord('h', 'x')]), { code: 'PROCLABEL_BUS' })
  const strange = busOf({ tls: true, username: 'agent', passwordFile: secured().users.agent!.passwordFile })
  await assert.rejects(strange.publish('packets', [textRecord('h', 'x')]), /certificate/i)
  await Promise.all([wrong.close(), strange.close()])
})

test('settings that cannot work are refused before anything is sent', () => {
  const config = { code: 'PROCLABEL_CONFIG' }
  assert.throws(() => busOf({ caFile: '/nowhere/ca.pem' }), config)
  assert.throws(() => busOf({ certFile: secured().users.agent!.certFile }), config)
  assert.throws(() => busOf({ username: 'agent' }), config)
})
