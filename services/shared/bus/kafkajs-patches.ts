/**
 * What kafkajs 2.2.4 must do differently, and what it does not tell. It is not maintained: nothing will change under these
 * patches, and `kafkajs-patches.test.ts` would notice.
 */
import { createRequire } from 'node:module'
import type { KafkaMessage } from 'kafkajs'
import { encodeProduce, type ProduceArguments } from './produce-request.ts'

const require = createRequire(import.meta.url)

interface RequestQueue {
  pending: unknown[]
  throttledUntil: number
  scheduleCheckPendingRequests: () => void
  inflight: Map<number, { sentAt: number; requestTimeout: number; timeoutRequest: () => void }>
  requestTimeoutIntervalId: NodeJS.Timeout | null
  scheduleRequestTimeoutCheck: () => void
  sendSocketRequest: (request: object) => void
  destroy: () => void
}

/** A topic-partition's part of one answer to a fetch, as kafkajs has it: offsets are text. */
export interface FetchedBatch {
  topic: string
  partition: number
  fetchedOffset: string
  highWatermark: string
  rawMessages: readonly unknown[]
  messages: readonly Pick<KafkaMessage, 'offset' | 'timestamp' | 'key' | 'value' | 'headers'>[]
  lastOffset: () => string
}

/** What a member of a group is after it joined. */
export interface GroupJoin {
  memberId: string
  generation: number
  assigned: readonly { topic: string; partitions: readonly number[] }[]
}

/** Put into a consumer's partition assigner, is told what kafkajs keeps to itself. */
export interface GroupObserver {
  /** The member has joined: called before anything is fetched in the new generation, so that `seek` comes in time. */
  joined: (join: GroupJoin) => void
  /** All of one broker's answer, with the partitions that had nothing; nothing of an earlier generation. */
  fetched: (batches: readonly FetchedBatch[]) => void
}

interface GroupQuestion {
  groupId: string
}

interface Broker {
  findGroupCoordinator: (question: GroupQuestion) => Promise<object>
}

interface Cluster {
  findGroupCoordinatorMetadata: (question: GroupQuestion) => Promise<object>
}

interface ConsumerGroup {
  memberId: string
  generationId: number
  assigners: readonly { observer?: GroupObserver }[]
  assigned: () => { topic: string; partitions: number[] }[]
  joinAndSync: () => Promise<void>
  fetch: (nodeId: number) => Promise<FetchedBatch[]>
}

interface ProduceProtocol {
  protocol: (of: { version: number }) => (args: ProduceArguments) => { request: object; response: object }
}

interface Compression {
  lookupCodec: (type: number) => { compress: (encoder: { buffer: Buffer }) => Promise<Buffer> }
}

const isPatched = Symbol.for('proclabel.kafkajs-patches')

/** Applies the patches; safe to call again. */
export function patchKafkajs(): void {
  const requestQueue = require('kafkajs/src/network/requestQueue').prototype as RequestQueue & { [isPatched]?: true }
  if (requestQueue[isPatched]) return
  requestQueue[isPatched] = true
  stopIdleTimer(requestQueue)
  timeOutToTheLast(requestQueue)
  observeGroup(require('kafkajs/src/consumer/consumerGroup').prototype as ConsumerGroup)
  seekCoordinatorAgain(
    require('kafkajs/src/cluster').prototype as Cluster,
    require('kafkajs/src/broker').prototype as Broker,
  )
  encodeFast(require('kafkajs/src/protocol/requests/produce') as ProduceProtocol)
}

/** Requests to publish are written by us; before version 3, record batches were others. */
function encodeFast(produce: ProduceProtocol): void {
  const { protocol } = produce
  const { lookupCodec } = require('kafkajs/src/protocol/message/compression') as Compression
  const compress = (codec: number, buffer: Buffer) => lookupCodec(codec).compress({ buffer })
  produce.protocol = ({ version }) => {
    const made = protocol({ version })
    if (version < 3) return made
    return args => {
      const { request, response } = made(args)
      const encode = async () => {
        const buffer = await encodeProduce(args, compress)
        // What kafkajs takes for one of its encoders.
        return { buf: buffer, buffer }
      }
      return { request: { ...request, encode }, response }
    }
  }
}

/** kafkajs issue 1751: with nothing to send, a timer of 1 ms is set again and again, on every connection. */
function stopIdleTimer(requestQueue: RequestQueue): void {
  const schedule = requestQueue.scheduleCheckPendingRequests
  requestQueue.scheduleCheckPendingRequests = function (this: RequestQueue) {
    if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this)
  }
}

const timeoutCheckMs = 100

/**
 * kafkajs looks for requests that take too long ten times a second on every connection, also where none is under way, and no more
 * once their connection has ended: one that was sent in that moment would wait for ever, and with it all heartbeats, which share
 * the promise of the one under way. Here it looks as long as there are any.
 */
function timeOutToTheLast(queue: RequestQueue): void {
  const { sendSocketRequest, destroy } = queue
  queue.scheduleRequestTimeoutCheck = () => {}
  queue.sendSocketRequest = function (this: RequestQueue, request) {
    sendSocketRequest.call(this, request)
    this.requestTimeoutIntervalId ??= setInterval(() => {
      for (const request of [...this.inflight.values()])
        if (Date.now() - request.sentAt > request.requestTimeout) request.timeoutRequest()
      if (this.inflight.size === 0) this.destroy()
    }, timeoutCheckMs)
  }
  queue.destroy = function (this: RequestQueue) {
    destroy.call(this)
    this.requestTimeoutIntervalId = null
  }
}

/**
 * kafkajs ends a consumer for good when no broker tells its coordinator, as while they are started anew or connections break,
 * and hides why. Only who may not read the group has to give up.
 */
function seekCoordinatorAgain(cluster: Cluster, broker: Broker): void {
  const denied = new Set<string>()
  const { findGroupCoordinator } = broker
  broker.findGroupCoordinator = async function (this: Broker, question) {
    denied.delete(question.groupId)
    try {
      return await findGroupCoordinator.call(this, question)
    } catch (error) {
      if ((error as { type?: string }).type === 'GROUP_AUTHORIZATION_FAILED') denied.add(question.groupId)
      throw error
    }
  }
  const { findGroupCoordinatorMetadata } = cluster
  cluster.findGroupCoordinatorMetadata = async function (this: Cluster, question) {
    try {
      return await findGroupCoordinatorMetadata.call(this, question)
    } catch (error) {
      if (isWithoutCoordinator(error)) Object.assign(error as Error, { retriable: !denied.has(question.groupId) })
      throw error
    }
  }
}

/** Whether a consumer crashed because no broker told it who coordinates its group. */
export function isWithoutCoordinator(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return error.name === 'KafkaJSGroupCoordinatorNotFound' || isWithoutCoordinator(error.cause)
}

/**
 * kafkajs also goes on as what it was when joining again fails half-way, as when the answer to a sync is lost: alive under its
 * new name, it reads what was assigned to the old one and can commit none of it. Here it joins before it reads again.
 */
function observeGroup(group: ConsumerGroup): void {
  const halfJoined = new WeakSet<ConsumerGroup>()
  const { joinAndSync, fetch } = group
  group.joinAndSync = async function (this: ConsumerGroup) {
    try {
      await joinAndSync.call(this)
      halfJoined.delete(this)
    } catch (error) {
      halfJoined.add(this)
      throw error
    }
    const join = { memberId: this.memberId, generation: this.generationId, assigned: this.assigned() }
    for (const { observer } of this.assigners) observer?.joined(join)
  }
  group.fetch = async function (this: ConsumerGroup, nodeId) {
    // What kafkajs takes for the group's word to join again.
    if (halfJoined.has(this)) throw Object.assign(new Error('not joined yet'), { type: 'REBALANCE_IN_PROGRESS' })
    const { generationId } = this
    const batches = await fetch.call(this, nodeId)
    // With several brokers, one fetch may have joined the group again while another was under way.
    if (this.generationId !== generationId) return []
    for (const { observer } of this.assigners) observer?.fetched(batches)
    return batches
  }
}
