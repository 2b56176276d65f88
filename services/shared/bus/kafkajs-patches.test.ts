import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type GroupObserver, isWithoutCoordinator, patchKafkajs } from './kafkajs-patches.ts'

const require = createRequire(import.meta.url)

function newQueue(options = {}) {
  const RequestQueue = require('kafkajs/src/network/requestQueue')
  const logger = { debug: () => {} }
  return new RequestQueue({ maxInFlightRequests: null, logger, broker: 'b', clientId: 'c', ...options })
}

test('a connection with nothing to send sets no timer; one that is throttled does', () => {
  patchKafkajs()
  patchKafkajs()
  const queue = newQueue()
  queue.checkPendingRequests()
  assert.equal(queue.throttleCheckTimeoutId, null)
  queue.maybeThrottle(1000)
  queue.checkPendingRequests()
  assert.notEqual(queue.throttleCheckTimeoutId, null)
  queue.destroy()
})

test('a connection looks for requests that take too long only while some are under way', async () => {
  patchKafkajs()
  const queue = newQueue({ requestTimeout: 10_000, enforceRequestTimeout: true, isConnected: () => true })
  queue.scheduleRequestTimeoutCheck()
  assert.equal(queue.requestTimeoutIntervalId ?? null, null)
  const answer = new Promise((resolve, reject) => {
    const entry = { correlationId: 1, apiName: 'Produce', apiKey: 0, apiVersion: 3, resolve, reject }
    queue.push({ entry, expectResponse: true, requestTimeout: null, sendRequest: () => {} })
  })
  assert.notEqual(queue.requestTimeoutIntervalId, null)
  queue.fulfillRequest({ correlationId: 1, payload: Buffer.alloc(0), size: 0 })
  await answer
  while (queue.requestTimeoutIntervalId !== null) await sleep(10)
})

test('a request that was sent while its connection ended is told that it takes too long', async () => {
  patchKafkajs()
  const queue = newQueue({ requestTimeout: 150, enforceRequestTimeout: true, isConnected: () => false })
  queue.scheduleRequestTimeoutCheck()
  const answer = new Promise((resolve, reject) => {
    const entry = { correlationId: 1, apiName: 'Heartbeat', apiKey: 12, apiVersion: 3, resolve, reject }
    queue.push({ entry, expectResponse: true, requestTimeout: null, sendRequest: () => {} })
  })
  await assert.rejects(answer, { name: 'KafkaJSRequestTimeoutError' })
  assert.equal(queue.inflight.size, 0)
})

/** A member of a group as kafkajs has it, over a broker that has one topic `t` with nothing in it. */
function newGroup(observer: GroupObserver) {
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup')
  const logger = { info: () => {}, debug: () => {}, namespace: () => logger }
  const partitions = [{ partition: 1, highWatermark: '5', messages: [], abortedTransactions: [] }]
  const broker = {
    joinGroup: async () => ({ generationId: 7, leaderId: 'x', memberId: 'm', members: [], groupProtocol: 'p' }),
    syncGroup: async () => ({ memberAssignment: Buffer.alloc(0) }),
    fetch: async () => ({ responses: [{ topicName: 't', partitions }] }),
  }
  const assigned = () => [{ topic: 't', partitions: [1] }]
  return Object.assign(Object.create(ConsumerGroup.prototype), {
    logger,
    assigners: [{ observer, protocol: () => ({}) }],
    retrier: (work: (bail: (error: Error) => void) => Promise<void>) => work(error => assert.fail(error)),
    cluster: {
      findGroupCoordinator: async () => broker,
      findBroker: async () => broker,
      findTopicPartitionMetadata: () => [{ partitionId: 1, leader: 1 }],
      committedOffsets: () => ({}),
      refreshMetadataIfNecessary: async () => {},
    },
    instrumentationEmitter: { emit: () => {} },
    topicsSubscribed: ['t'],
    preferredReadReplicasPerTopicPartition: {},
    seekOffset: { pop: () => null, has: () => false },
    subscriptionState: { assign: () => {}, assigned, active: assigned, isPaused: () => false },
  })
}

test('a group tells its assigners what it joined and fetched, empty partitions too', async () => {
  patchKafkajs()
  const told: unknown[] = []
  const group = newGroup({
    joined: join => told.push(join),
    fetched: batches =>
      told.push(batches.map(({ topic, partition, highWatermark }) => [topic, partition, highWatermark])),
  })
  await group.joinAndSync()
  group.offsetManager = {
    committedOffsets: () => ({ t: { 1: '0' } }),
    nextOffset: () => '0',
    resolveOffsets: async () => {},
  }
  await group.fetch(1)
  const join = { memberId: 'm', generation: 7, assigned: [{ topic: 't', partitions: [1] }] }
  assert.deepEqual(told, [join, [['t', 1, '5']]])

  group.cluster.refreshMetadataIfNecessary = async () => {
    group.generationId = 8
  }
  assert.deepEqual(await group.fetch(1), [], 'an answer to a question of an earlier generation')
  assert.equal(told.length, 2)
})

test('a member whose joining failed half-way joins again before it reads', async () => {
  patchKafkajs()
  const { isRebalancing } = require('kafkajs/src/errors')
  const group = newGroup({ joined: () => {}, fetched: () => assert.fail('read what was assigned before') })
  const broker = await group.cluster.findGroupCoordinator()
  const { syncGroup } = broker
  broker.syncGroup = async () => {
    throw new Error('closed connection')
  }
  group.retrier = (work: (bail: (error: Error) => void) => Promise<void>) =>
    work(error => {
      throw error
    })
  await assert.rejects(group.joinAndSync(), /closed connection/)
  await assert.rejects(group.fetch(1), isRebalancing)
  broker.syncGroup = syncGroup
  await group.joinAndSync()
  group.assigners = []
  group.offsetManager = {
    committedOffsets: () => ({ t: { 1: '0' } }),
    nextOffset: () => '0',
    resolveOffsets: async () => {},
  }
  assert.equal((await group.fetch(1)).length, 1)
})

test('that no broker tells the coordinator is a reason to ask again, unless the group may not be read', async () => {
  patchKafkajs()
  const Cluster = require('kafkajs/src/cluster')
  const Broker = require('kafkajs/src/broker')
  const ask = async (type: string) => {
    const error = Object.assign(new Error('refused'), { type })
    const refuse = () => {
      throw error
    }
    const broker = Object.assign(Object.create(Broker.prototype), { lookupRequest: () => refuse })
    const brokerPool = {
      withBroker: async (work: (one: object) => Promise<object>) => work({ nodeId: 1, broker }).catch(() => null),
    }
    const retrier = (work: (bail: (error: Error) => void) => Promise<object>) =>
      work(error => {
        throw error
      })
    const logger = { debug: () => {} }
    const cluster = Object.assign(Object.create(Cluster.prototype), { brokerPool, retrier, logger })
    return cluster.findGroupCoordinatorMetadata({ groupId: 'g' }).catch((error: unknown) => error)
  }
  const error = await ask('NETWORK_EXCEPTION')
  assert.equal(error.retriable, true)
  assert.ok(isWithoutCoordinator(new Error('wrapped', { cause: error })))
  assert.ok(!isWithoutCoordinator(new Error('other')))
  assert.equal((await ask('GROUP_AUTHORIZATION_FAILED')).retriable, false)
})
