import { randomUUID } from 'node:crypto'
import { HostDirectory } from '#core/host-directory.ts'
import { codecs as checkedIn, type PacketBatch, partitionKey, type Topic } from '#schemas'
import type { Bus, BusRecord } from '#shared/bus/bus.ts'
import type { AgentTopic } from '../agent/agent.ts'
import { createCapture } from '../capture/create-capture.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import type { SocketLogs } from './socket-logs.ts'

/** As in label.ts: the socket log is this far ahead of the packets. */
const logLeadUs = 60_000_000
/** Longer than any session waits for its next packet: the last word is that for so long nothing came. */
const silenceUs = 400_000_000
/** Records of one publish at most. */
const maxRecords = 500

export interface ReplayOptions {
  bus: Pick<Bus, 'publish'>
  packets: PacketSource
  logs: SocketLogs
  sensorId: string
  /** Those of the registry's schema ids; of the checked-in schemas when not given. */
  codecs?: Pick<typeof checkedIn, AgentTopic | 'packets'>
  signal: AbortSignal
}

/**
 * Publishes a recording as agent and capture would have, in order of event time and as fast as it goes, and ends it with a
 * silence in which all sessions close. Answers with how many records each topic got.
 */
export async function replayRecording(options: ReplayOptions): Promise<Record<string, number>> {
  const { bus, packets, logs, sensorId, codecs = checkedIn, signal } = options
  const directory = new HostDirectory()
  for (const host of logs.hosts) directory.apply(host)
  const capture = createCapture({ sensorId, runId: randomUUID(), hosts: directory, keepUnmonitored: false })
  const published: Record<string, number> = {}
  let topic: Topic = 'hosts'
  let waiting: BusRecord[] = []
  const flush = async () => {
    signal.throwIfAborted()
    if (waiting.length > 0) await bus.publish(topic, waiting)
    published[topic] = (published[topic] ?? 0) + waiting.length
    waiting = []
  }
  // Readers go by the order in which the broker took the records of all topics: each publish ends before the next.
  const send = async (to: Topic, hostId: string, value: Buffer) => {
    if (to !== topic || waiting.length === maxRecords) await flush()
    topic = to
    waiting.push({ key: partitionKey(hostId), value })
  }
  const log = logs.records()[Symbol.asyncIterator]()
  let ahead = await log.next()
  const sendLogUntil = async (untilUs: number) => {
    for (; !ahead.done && ahead.value.timeUs <= untilUs; ahead = await log.next()) {
      const { topic: to, hostId, value } = ahead.value
      const encode = codecs[to].encode as (record: unknown) => Buffer
      await send(to, hostId, encode(checkedIn[to].decode(value)))
    }
  }
  const sequence = new Map<string, number>()
  const sendPackets = async (batches: readonly PacketBatch[]) => {
    for (const batch of batches) {
      batch.seq = sequence.get(batch.host_id) ?? 0
      sequence.set(batch.host_id, batch.seq + 1)
      await send('packets', batch.host_id, codecs.packets.encode(batch))
    }
  }
  for await (const block of packets.blocks(signal)) {
    const batches = capture.add(block)
    await sendLogUntil(capture.nowUs! + logLeadUs)
    await sendPackets(batches)
  }
  await sendLogUntil(Number.POSITIVE_INFINITY)
  await sendPackets(capture.flush())
  if (capture.nowUs !== null) await sendPackets(capture.tick(capture.nowUs + silenceUs))
  await flush()
  return published
}
