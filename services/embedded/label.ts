import { randomUUID } from 'node:crypto'
import type { MatchConstants } from '#core/constants.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { type LabeledSession, partitionKey } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { createCapture } from '../capture/create-capture.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import { Matcher, withinProcess } from '../matcher/matcher.ts'
import { type LogHistory, portKey, readLogHistory } from './log-history.ts'
import { onBus } from './on-bus.ts'
import { PacketPublisher } from './packet-publisher.ts'
import type { SocketLogs } from './socket-logs.ts'

/** The socket log is read this far ahead of the packets, so that a host clock behind the capture's costs no second judgement. */
const logLeadUs = 60_000_000

export interface LabelOptions {
  packets: PacketSource
  /** Null labels nothing: a bare capture, each session reported once. */
  logs: SocketLogs | null
  constants: MatchConstants
  sensorId: string
  /** As in CaptureOptions. */
  duplicateWindowUs?: number | null
  /** Takes each session once, when nothing changes it any more. */
  sink: (session: LabeledSession) => Promise<void> | void
  /** Called after every block of frames. */
  onProgress?: () => void
}

export interface LabelResult {
  /** Frames by what became of them; each frame is in exactly one. */
  frames: Readonly<Record<string, number>>
  /** LINKTYPE_ values that cannot be decoded. */
  unsupportedLinkTypes: readonly number[]
  /** First and last packet time, microseconds since the epoch; null for a capture without packets. */
  firstUs: number | null
  lastUs: number | null
  /** Bus records by what the matcher did with them. */
  records: Readonly<Record<string, number>>
}

/**
 * Labels a capture with socket logs in this process: the same capture and matcher code as the services, over the
 * in-process bus and the memory store, at the speed at which the files can be read.
 */
export async function labelCapture(options: LabelOptions): Promise<LabelResult> {
  const { packets, logs, constants, sink } = options
  const directory = logs ? new HostDirectory() : null
  for (const host of logs?.hosts ?? []) directory!.apply(host)
  const bus = new InProcessBus()
  const stop = new AbortController()
  const matcher = new Matcher({ bus, store: new MemoryStore(), constants, provisional: false, sink, ...withinProcess })
  const capture = createCapture({
    sensorId: options.sensorId,
    runId: randomUUID(),
    hosts: directory,
    keepUnmonitored: true,
    duplicateWindowUs: options.duplicateWindowUs ?? null,
  })
  const publisher = new PacketPublisher(packets, capture, onBus(bus))
  const running = matcher.run(stop.signal)
  // A consumer that fails must not leave the producer waiting for room in its queue.
  running.catch(() => bus.close())

  const times = { firstUs: null as number | null, lastUs: null as number | null }
  const replay = async () => {
    const log = logs?.records()[Symbol.asyncIterator]()
    let ahead = await log?.next()
    const publishLogUntil = async (untilUs: number) => {
      for (; ahead && !ahead.done && ahead.value.timeUs <= untilUs; ahead = await log!.next()) {
        const { topic, hostId, value } = ahead.value
        await bus.publish(topic, [{ key: partitionKey(hostId), value }])
      }
    }
    for await (const block of packets.blocks()) {
      const batches = await publisher.add(block)
      times.firstUs ??= capture.nowUs
      times.lastUs = capture.nowUs
      await publishLogUntil(capture.nowUs! + logLeadUs)
      await publisher.publish(batches)
      options.onProgress?.()
    }
    await publisher.publish(capture.flush())
    await bus.drained()
    await matcher.end()
    await matcher.finish(logs && (await historyBeyond(logs, times, matcher, constants)))
  }
  try {
    await Promise.race([replay(), running.then(() => Promise.reject(new Error('a consumer ended early')))])
    stop.abort()
    await running
  } finally {
    stop.abort()
    await bus.close()
  }
  return {
    frames: capture.frames,
    unsupportedLinkTypes: [...capture.unsupportedLinkTypes],
    ...times,
    records: matcher.records,
  }
}

/** The socket logs' whole history, where they reach further than what the matcher has seen and remembers. */
async function historyBeyond(
  logs: SocketLogs,
  { firstUs, lastUs }: Pick<LabelResult, 'firstUs' | 'lastUs'>,
  matcher: Matcher,
  constants: MatchConstants,
): Promise<LogHistory | null> {
  if (firstUs === null || lastUs === null || logs.firstUs === null || logs.lastUs === null) return null
  if (logs.firstUs > firstUs - constants.keepUs && logs.lastUs < lastUs + logLeadUs) return null
  const wanted = new Map<string, Set<string>>()
  for (const { hostId, facts } of matcher.undecided()) {
    const ports = wanted.get(hostId) ?? new Set()
    wanted.set(hostId, ports.add(portKey(facts.proto, facts.localPort)))
  }
  return wanted.size === 0 ? null : readLogHistory(logs.records(), wanted, constants)
}
