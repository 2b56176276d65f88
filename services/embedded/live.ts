import { randomUUID } from 'node:crypto'
import type { MatchConstants } from '#core/constants.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { codecs, type Host, type LabeledSession, partitionKey, type TopicRecord } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { type AgentTopic, runAgent } from '../agent/agent.ts'
import type { EventSource } from '../agent/event-source.ts'
import type { SocketSource } from '../agent/socket-source.ts'
import { createCapture } from '../capture/create-capture.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import { Matcher, withinProcess } from '../matcher/matcher.ts'
import { exportSessions } from './export-sessions.ts'
import { onBus } from './on-bus.ts'
import { PacketPublisher } from './packet-publisher.ts'

const tickMs = 1000

export interface LiveOptions {
  packets: PacketSource
  source: SocketSource
  /** Kernel events; polls alone without. */
  events?: EventSource | null
  constants: MatchConstants
  hostId: string
  sink: (session: LabeledSession) => Promise<void> | void
  /** Ends capture and agent; what was captured is then labeled and handed out before runLive resolves. */
  signal: AbortSignal
}

/** Agent, capture, matcher and export in this process, on this machine's own traffic. */
export async function runLive(options: LiveOptions): Promise<void> {
  const { packets, source, events, constants, hostId, sink, signal } = options
  const bus = new InProcessBus()
  const directory = new HostDirectory()
  const matcher = new Matcher({ bus, store: new MemoryStore(), constants, provisional: true, ...withinProcess })
  const capture = createCapture({ sensorId: hostId, runId: randomUUID(), hosts: directory, keepUnmonitored: true })
  const publisher = new PacketPublisher(packets, capture, onBus(bus))
  const stopConsumers = new AbortController()
  const consuming = Promise.all([matcher.run(stopConsumers.signal), exportSessions(bus, sink, stopConsumers.signal)])
  consuming.catch(() => bus.close())

  const publishAgent = async <T extends AgentTopic>(topic: T, record: TopicRecord<T>) => {
    if (topic === 'hosts') directory.apply(record as Host)
    const encode = codecs[topic].encode as (record: TopicRecord<T>) => Buffer
    await bus.publish(topic, [{ key: partitionKey(record.host_id), value: encode(record) }])
  }
  const readPackets = async () => {
    for await (const block of packets.blocks(signal)) await publisher.publish(await publisher.add(block))
    await publisher.publish(capture.flush())
  }
  const ticker = setInterval(() => {
    publisher.publish(capture.tick(Date.now() * 1000)).catch(() => {})
  }, tickMs)
  try {
    await Promise.all([readPackets(), runAgent({ source, events, publish: publishAgent, signal, hostId })])
    await bus.drained()
    await matcher.end()
    await matcher.finish()
    await bus.drained()
    stopConsumers.abort()
    await consuming
  } finally {
    clearInterval(ticker)
    stopConsumers.abort()
    await bus.close()
  }
}
