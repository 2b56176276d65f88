import { randomUUID } from 'node:crypto'
import type { NativeAddon } from '#native'
import { NativeCapture } from '../capture/native-capture.ts'
import { BareSessions, type LineSink } from './bare-sessions.ts'
import type { LabelOptions, LabelResult } from './label.ts'
import { PacketPublisher } from './packet-publisher.ts'

export interface BareResult extends Omit<LabelResult, 'records'> {
  /** Sessions by the name of their protocol. */
  sessions: ReadonlyMap<string, number>
}

/**
 * The records of `labelCapture` without socket logs, as JSON lines, in a quarter of its time: nothing of a packet or session
 * comes to JavaScript but names.
 */
export async function labelBare(
  addon: NativeAddon,
  options: Pick<LabelOptions, 'packets' | 'sensorId' | 'duplicateWindowUs' | 'onProgress'>,
  lines: LineSink,
): Promise<BareResult> {
  const { packets, sensorId, duplicateWindowUs = null, onProgress } = options
  const bare = { hosts: null, keepUnmonitored: true }
  const capture = new NativeCapture(addon, { sensorId, runId: randomUUID(), ...bare, duplicateWindowUs })
  const sessions = new BareSessions(addon, lines)
  const publisher = new PacketPublisher(packets, capture, async batch => {
    await sessions.apply(batch)
    // All columns' memory, freed at once: the collector would let that of many batches wait.
    ;(batch.flow_address.buffer as ArrayBuffer).transfer(0)
  })
  let firstUs: number | null = null
  for await (const block of packets.blocks()) {
    const batches = await publisher.add(block)
    firstUs ??= capture.nowUs
    await publisher.publish(batches)
    onProgress?.()
  }
  const lastUs = capture.nowUs
  await publisher.publish(capture.flush())
  await sessions.finish()
  return {
    frames: capture.frames,
    unsupportedLinkTypes: [...capture.unsupportedLinkTypes],
    firstUs,
    lastUs,
    sessions: sessions.counts,
  }
}
