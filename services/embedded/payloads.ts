import type { PacketSource } from '../capture/packet-source.ts'
import type { PacketLabels } from './packet-labels.ts'

/** The first `most` payload bytes of each session, both directions in the order of the packets, by session id. */
export async function collectPayloads(
  packets: PacketSource,
  labels: PacketLabels,
  most: number,
): Promise<Map<string, Uint8Array>> {
  const payloads = new Map<string, Uint8Array>()
  for await (const { count, data, offset, captured, wireLength, timeUs, linkType } of packets.blocks()) {
    for (let i = 0; i < count; i++) {
      const begin = offset[i]!
      const sessions = labels.find(data, begin, begin + captured[i]!, wireLength[i]!, timeUs[i]!, linkType[i]!)
      if (labels.payloadCaptured === 0) continue
      for (const { sessionId } of sessions) {
        const before = payloads.get(sessionId)
        const room = most - (before?.length ?? 0)
        if (room === 0) continue
        const from = labels.payloadOffset
        const bytes = data.subarray(from, from + Math.min(room, labels.payloadCaptured))
        payloads.set(sessionId, Buffer.concat(before ? [before, bytes] : [bytes]))
      }
    }
  }
  return payloads
}
