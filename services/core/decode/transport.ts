import { u16, u32 } from './bytes.ts'
import {
  AYIYA,
  type Cursor,
  GENEVE,
  GRE,
  GTP_U,
  L2TP,
  LISP,
  MPLS_IN_UDP,
  OTHER,
  PORTS,
  STOP,
  TEREDO,
  TZSP,
  VXLAN,
  VXLAN_GPE,
} from './cursor.ts'
import type { Packet } from './packet.ts'

/** RFC 9293. The ports alone make the session; what else a snap length has left is taken. */
export function readTcp(c: Cursor, packet: Packet): number {
  if (!c.has(4)) return STOP
  const { data, offset, end } = c
  c.commit(packet, PORTS)
  packet.sourcePort = u16(data, offset)
  packet.destinationPort = u16(data, offset + 2)
  if (end - offset < 14) return STOP
  packet.tcpSequence = u32(data, offset + 4)
  packet.tcpFlags = data[offset + 13]!
  c.setPayload(packet, offset + Math.max(20, (data[offset + 12]! >> 4) * 4))
  return STOP
}

/** RFC 768, and the tunnels on their registered ports. */
export function readUdp(c: Cursor, packet: Packet): number {
  if (!c.has(4)) return STOP
  const { data, offset } = c
  c.commit(packet, PORTS)
  packet.sourcePort = u16(data, offset)
  packet.destinationPort = u16(data, offset + 2)
  c.setPayload(packet, offset + 8)
  if (!c.has(8)) return STOP
  c.offset = offset + 8
  return tunnelOfPorts(packet.sourcePort, packet.destinationPort)
}

const TUNNEL_OF_PORT = new Uint8Array(65536)
for (const [port, tunnel] of [
  [1701, L2TP],
  [2152, GTP_U],
  [3544, TEREDO],
  [4341, LISP],
  [4754, GRE],
  [4789, VXLAN],
  [4790, VXLAN_GPE],
  [5072, AYIYA],
  [6081, GENEVE],
  [6635, MPLS_IN_UDP],
  [37008, TZSP],
] as const) {
  TUNNEL_OF_PORT[port] = tunnel
}

/** The destination's port counts; the source's (an answer) only where the destination is no well-known service. */
function tunnelOfPorts(source: number, destination: number): number {
  return TUNNEL_OF_PORT[destination]! || (destination < 1024 ? STOP : TUNNEL_OF_PORT[source]!)
}

/** ICMP and ICMPv6. The packet quoted in an error makes no session. */
export function readIcmp(c: Cursor, packet: Packet): number {
  if (c.committed === PORTS || !c.has(2)) return STOP
  const type = c.data[c.offset]!
  const counterpart = (c.protocol === 1 ? ICMP_COUNTERPART : ICMPV6_COUNTERPART)[type]!
  c.commit(packet, OTHER)
  packet.sourcePort = type
  packet.destinationPort = counterpart < 0 ? c.data[c.offset + 1]! : counterpart
  c.setPayload(packet, c.offset + 8)
  return STOP
}

/**
 * The Community ID specification v1 gives ICMP a pair of ports: the type, and the type of the message in the other
 * direction where there is one, else the code. -1 where there is none.
 */
const ICMP_COUNTERPART = counterparts([8, 0], [13, 14], [15, 16], [17, 18], [10, 9])
const ICMPV6_COUNTERPART = counterparts([128, 129], [130, 131], [133, 134], [135, 136], [139, 140], [144, 145])

function counterparts(...pairs: readonly [number, number][]): Int16Array {
  const table = new Int16Array(256).fill(-1)
  for (const [request, reply] of pairs) {
    table[request] = reply
    table[reply] = request
  }
  return table
}

/** Any other protocol by its number; inside a tunnel it leaves the packet to the outer TCP or UDP session. */
export function readOtherIp(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  return STOP
}
