import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { patchKafkajs } from './kafkajs-patches.ts'

const require = createRequire(import.meta.url)

function newQueue() {
  const RequestQueue = require('kafkajs/src/network/requestQueue')
  return new RequestQueue({ maxInFlightRequests: null, logger: { debug: () => {} }, broker: 'b', clientId: 'c' })
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

test('a group tells its assigners what it joined', async () => {
  patchKafkajs()
  const ConsumerGroup = require('kafkajs/src/consumer/consumerGroup')
  const told: unknown[] = []
  const observer = {
    joined: (join: unknown) => told.push(join),
    fetched: (batches: unknown[]) => told.push(batches.length),
  }
  const group = Object.create(ConsumerGroup.prototype)
  const logger = { info: () => {}, debug: () => {}, namespace: () => logger }
  const coordinator = {
    joinGroup: async () => ({ generationId: 7, leaderId: 'x', memberId: 'm', members: [], groupProtocol: 'p' }),
    syncGroup: async () => ({ memberAssignment: Buffer.alloc(0) }),
  }
  Object.assign(group, {
    logger,
    assigners: [{ observer, protocol: () => ({}) }],
    retrier: (work: (bail: (error: Error) => void) => Promise<void>) => work(error => assert.fail(error)),
    cluster: { findGroupCoordinator: async () => coordinator, committedOffsets: () => ({}) },
    instrumentationEmitter: { emit: () => {} },
    topicsSubscribed: [],
    subscriptionState: { assign: () => {}, assigned: () => [{ topic: 't', partitions: [1] }] },
  })
  await group.joinAndSync()
  assert.deepEqual(told, [{ memberId: 'm', generation: 7, assigned: [{ topic: 't', partitions: [1] }] }])
})
