import { readPacketColumns } from './packet-columns.ts'
import type { PacketBatch } from './types.ts'

/**
 * The same packets flow by flow, in their order within each: what resembles each other comes together, so that a batch
 * compresses to three quarters of what it takes in order of time. Throws a RangeError for columns that do not fit each other.
 */
export function packetsByFlow(batch: PacketBatch): PacketBatch {
  const columns = readPacketColumns(batch)
  const { flows, packets, packetFlow, tcpFlags } = columns
  /** By flow: where its next packet goes. */
  const next = new Uint32Array(flows + 1)
  for (let row = 0; row < packets; row++) next[packetFlow[row]! + 1]!++
  for (let flow = 0; flow < flows; flow++) next[flow + 1]! += next[flow]!
  /** By old row: the new one. */
  const place = new Uint32Array(packets)
  for (let row = 0; row < packets; row++) place[row] = next[packetFlow[row]!]!++
  const move = <C extends Uint8Array | Uint16Array | Uint32Array | Int32Array>(from: C, to: C): Buffer => {
    for (let row = 0; row < packets; row++) to[place[row]!] = from[row]!
    return Buffer.from(to.buffer)
  }
  const movedFlags = move(tcpFlags, new Uint8Array(packets))
  return {
    ...batch,
    packet_flow: move(packetFlow, new Uint16Array(packets)),
    packet_time: move(columns.packetTime, new Int32Array(packets)),
    packet_wire_length: move(columns.wireLength, new Uint32Array(packets)),
    packet_ip_length: move(columns.ipLength, new Uint32Array(packets)),
    packet_payload_length: move(columns.payloadLength, new Uint32Array(packets)),
    packet_tcp_flags: movedFlags,
    packet_direction: move(columns.direction, new Uint8Array(packets)),
    syn_sequence: movedSequences(columns.synSequence, tcpFlags, movedFlags, place),
    names: batch.names.map(name => ({ ...name, packet: place[name.packet]! })),
    dns: batch.dns.map(answer => ({ ...answer, packet: place[answer.packet]! })),
  }
}

const synFlag = 2

/** One sequence number for each packet with SYN, in the new order of these. */
function movedSequences(sequences: Uint32Array, flags: Uint8Array, moved: Uint8Array, place: Uint32Array): Buffer {
  if (sequences.length === 0) return Buffer.alloc(0)
  const byRow = new Uint32Array(flags.length)
  for (let row = 0, syn = 0; row < flags.length; row++)
    if (flags[row]! & synFlag) byRow[place[row]!] = sequences[syn++]!
  return Buffer.from(byRow.filter((_, row) => moved[row]! & synFlag).buffer)
}
