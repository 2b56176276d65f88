import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { after, suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { Kafka, logLevel } from 'kafkajs'
import { patchKafkajs } from '#shared/bus/kafkajs-patches.ts'
import { type Stack, startStack } from './stack.ts'

patchKafkajs()
const main = fileURLToPath(new URL('main.ts', import.meta.url))
const quiet = { logLevel: logLevel.NOTHING, retry: { retries: 2 } }

async function isGone(pid: number): Promise<boolean> {
  for (let i = 0; i < 40 && existsSync(`/proc/${pid}`); i++) await sleep(50)
  return !existsSync(`/proc/${pid}`)
}

suite('one of each, through their own clients', async () => {
  let stack: Stack
  after(() => stack.stop())

  test('all of it is ready when startStack resolves', async () => {
    stack = await startStack({ kafka: true, registry: true, redis: true })
    const admin = new Kafka({ brokers: stack.kafka!.brokers, ...quiet }).admin()
    await admin.connect()
    assert.equal(await admin.createTopics({ topics: [{ topic: 't', numPartitions: 2 }] }), true)
    assert.equal((await admin.describeCluster()).brokers.length, 1)
    await admin.disconnect()
    assert.deepEqual(await (await fetch(`${stack.registry!.url}/subjects`)).json(), [])
    const redis = new Redis(stack.redis!.urls[0]!)
    assert.equal(await redis.set('k', 'v'), 'OK')
    await redis.quit()
  })

  test('a part that was killed comes back at its address with its data', async () => {
    const { pid } = stack.kafka!.nodes[0]!
    const parts = [stack.kafka!.nodes[0]!, stack.redis!.nodes[0]!]
    await sleep(1100) // Redis writes out each second
    for (const part of parts) await part.kill()
    assert.ok(!existsSync(`/proc/${pid}`))
    for (const part of parts) await part.start()
    const admin = new Kafka({ brokers: stack.kafka!.brokers, ...quiet }).admin()
    await admin.connect()
    assert.deepEqual(await admin.listTopics(), ['t'])
    await admin.disconnect()
    const redis = new Redis(stack.redis!.urls[0]!)
    assert.equal(await redis.get('k'), 'v')
    await redis.quit()
  })

  test('stop leaves no process, not even a frozen one, and no file', async () => {
    const pids = [...stack.kafka!.nodes, ...stack.redis!.nodes, stack.registry!.node].map(({ pid }) => pid)
    stack.kafka!.nodes[0]!.signal('SIGSTOP')
    await stack.stop()
    assert.deepEqual(
      pids.filter(pid => existsSync(`/proc/${pid}`)),
      [],
    )
    assert.ok(!existsSync(stack.folder))
  })
})

suite('the secured variant', async () => {
  let stack: Stack
  after(() => stack?.stop())

  test('Kafka takes a password or a certificate, and grants what ACLs say', async () => {
    stack = await startStack({ kafka: true, redis: true, secured: true, users: ['agent'] })
    const { brokers, secured } = stack.kafka!
    const { caFile, mutualTls, users } = secured!
    const ca = [readFileSync(caFile, 'utf8')]
    const byPassword = (name: string, password = readFileSync(users[name]!.passwordFile, 'utf8')) =>
      new Kafka({ brokers, ...quiet, ssl: { ca }, sasl: { mechanism: 'scram-sha-512', username: name, password } })
    const cert = readFileSync(users.agent!.certFile, 'utf8')
    const key = readFileSync(users.agent!.keyFile, 'utf8')
    const byCertificate = new Kafka({ brokers: mutualTls, ...quiet, ssl: { ca, cert, key } })

    const admin = byPassword('admin').admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic: 't', numPartitions: 1 }] })
    for (const kafka of [byPassword('agent'), byCertificate]) {
      const agent = kafka.admin()
      await agent.connect()
      await assert.rejects(agent.fetchTopicOffsets('t'), /not authorized/i)
      await agent.disconnect()
    }
    // DESCRIBE (8) of the topic (2) t, literal (3), allowed (3).
    const acl = { principal: 'User:agent', host: '*', operation: 8, permissionType: 3 }
    await admin.createAcls({ acl: [{ ...acl, resourceType: 2, resourceName: 't', resourcePatternType: 3 }] })
    for (const kafka of [byPassword('agent'), byCertificate]) {
      const agent = kafka.admin()
      await agent.connect()
      assert.equal((await agent.fetchTopicOffsets('t')).length, 1)
      await agent.disconnect()
    }
    await admin.disconnect()
    await assert.rejects(byPassword('agent', 'wrong').admin().connect(), /Authentication failed|SASL/)
    const noCertificate = new Kafka({ brokers: mutualTls, ...quiet, ssl: { ca } }).admin()
    await assert.rejects(noCertificate.connect())
    await noCertificate.disconnect()
  })

  test('Redis takes its user over TLS, and keeps it to its keys', async () => {
    const { urls, secured } = stack.redis!
    const tls = {
      ca: readFileSync(secured!.caFile),
      cert: readFileSync(secured!.client.certFile),
      key: readFileSync(secured!.client.keyFile),
    }
    const password = readFileSync(secured!.passwordFile, 'utf8')
    const redis = new Redis(urls[0]!, { tls, username: secured!.user, password })
    assert.equal(await redis.set('proclabel:k', 'v'), 'OK')
    await assert.rejects(redis.set('other', 'v'), /NOPERM/)
    await assert.rejects(redis.config('GET', '*'), /NOPERM/)
    await redis.quit()
  })
})

test('a Redis Cluster has three masters, each with a replica', async () => {
  const stack = await startStack({ redis: 'cluster' })
  try {
    const redis = new Redis(stack.redis!.urls[0]!)
    const roles = String(await redis.cluster('NODES'))
      .trimEnd()
      .split('\n')
      .map(line => (line.includes('slave') ? 'replica' : 'master'))
    assert.deepEqual(roles.sort(), ['master', 'master', 'master', 'replica', 'replica', 'replica'])
    await redis.quit()
  } finally {
    await stack.stop()
  }
})

suite('npm run stack', () => {
  /** Resolves when it is ready, with the pids of its servers. */
  async function startCommand(...command: string[]): Promise<{ child: ChildProcess; pids: number[] }> {
    const child = spawn(command[0]!, [...command.slice(1)], { stdio: ['ignore', 'pipe', 'inherit'] })
    for await (const line of createInterface(child.stdout!)) if (line.startsWith('PROCLABEL_STACK_REDIS=')) break
    const servers = (pid: number): number[] => {
      const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
      return children.length > 0 ? children.flatMap(servers) : [pid]
    }
    return { child, pids: servers(child.pid!) }
  }

  test('ends with its servers on SIGINT', async () => {
    const { child, pids } = await startCommand(process.execPath, main)
    assert.equal(pids.length, 3)
    child.kill('SIGINT')
    for (const pid of pids) assert.ok(await isGone(pid), `server ${pid} is left`)
  })

  test('ends with its servers when npm is killed', async () => {
    const { child, pids } = await startCommand('npm', '--silent', 'run', 'stack')
    assert.equal(pids.length, 3)
    child.kill('SIGKILL')
    for (const pid of pids) assert.ok(await isGone(pid), `server ${pid} is left`)
  })
})
