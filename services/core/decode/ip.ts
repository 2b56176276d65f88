import { u16, u32 } from './bytes.ts'
import {
  type Cursor,
  ETHER_IP,
  ETHERNET,
  GRE,
  ICMP,
  IP,
  IP_IN_IP,
  IPV4,
  IPV6,
  LATER_FRAGMENT,
  MPLS,
  MPLS_IN_IP,
  OTHER,
  OTHER_IP,
  PIM,
  PORTS,
  STOP,
  TCP,
  UDP,
} from './cursor.ts'
import type { Packet } from './packet.ts'

/** IPv4 or IPv6, as the version nibble says. */
export function readIp(c: Cursor): number {
  if (!c.has(1)) return STOP
  const version = c.data[c.offset]! >> 4
  if (version === 4) return IPV4
  return version === 6 ? IPV6 : c.stop('bad-version')
}

/** RFC 791. */
export function readIpv4(c: Cursor): number {
  if (!c.has(20)) return STOP
  const { data, offset } = c
  const first = data[offset]!
  if (first >> 4 !== 4) return first >> 4 === 6 ? IPV6 : c.stop('bad-version')
  const headerLength = (first & 15) * 4
  if (headerLength < 20) return c.stop('bad-header-length')
  // Total length 0: captured before segmentation offload cut the packet, so it goes on to the end of the frame.
  const total = u16(data, offset + 2) || c.wireEnd - offset
  if (total < headerLength) return c.stop('bad-header-length')
  if (!c.has(headerLength)) return STOP
  setIp(c, 4, total)
  c.sourceOffset = offset + 12
  c.destinationOffset = offset + 16
  c.offset = offset + headerLength
  c.protocol = data[offset + 9]!
  const fragment = u16(data, offset + 6)
  if ((fragment & 0x3fff) !== 0) {
    c.fragmentId = u16(data, offset + 4)
    if ((fragment & 0x1fff) !== 0) return LATER_FRAGMENT
    c.noteFirstFragment()
  }
  return c.protocol === AUTHENTICATION ? readExtensionHeaders(c, AUTHENTICATION) : layerOfProtocol(c.protocol)
}

/** RFC 8200. */
export function readIpv6(c: Cursor): number {
  if (!c.has(40)) return STOP
  const { data, offset } = c
  if (data[offset]! >> 4 !== 6) return c.stop('bad-version')
  const nextHeader = data[offset + 6]!
  let payload = u16(data, offset + 4)
  // Length 0 is a jumbogram (RFC 2675) or a packet before segmentation offload: it goes on to the end of the frame.
  if (payload === 0 && nextHeader !== NO_NEXT_HEADER) payload = c.wireEnd - offset - 40
  setIp(c, 6, 40 + payload)
  c.sourceOffset = offset + 8
  c.destinationOffset = offset + 24
  c.offset = offset + 40
  return readExtensionHeaders(c, nextHeader)
}

function setIp(c: Cursor, version: number, length: number): void {
  c.ipOffset = c.offset
  c.ipVersion = version
  c.ipLength = length
  c.ipEnd = c.offset + length
  c.limit(c.ipEnd)
}

const HOP_BY_HOP = 0
const ROUTING = 43
const FRAGMENT = 44
const AUTHENTICATION = 51
const NO_NEXT_HEADER = 59
const DESTINATION_OPTIONS = 60

/** Moves past the extension headers; each is at least 8 bytes, so the frame bounds their number. */
function readExtensionHeaders(c: Cursor, firstHeader: number): number {
  const { data } = c
  c.protocol = firstHeader
  while (true) {
    const header = c.protocol
    if (header === FRAGMENT) {
      if (!c.has(8)) return STOP
      c.protocol = data[c.offset]!
      const fragment = u16(data, c.offset + 2)
      c.fragmentId = u32(data, c.offset + 4)
      c.offset += 8
      if (fragment >> 3 !== 0) return LATER_FRAGMENT
      // Neither an offset nor "more" is an atomic fragment (RFC 6946): a whole packet.
      if ((fragment & 1) === 1) c.noteFirstFragment()
    } else if (header === HOP_BY_HOP || header === ROUTING || header === DESTINATION_OPTIONS) {
      if (!c.has(8)) return STOP
      if (!skipHeader(c, (data[c.offset + 1]! + 1) * 8)) return STOP
    } else if (header === AUTHENTICATION) {
      // RFC 4302 section 2.2: the length counts words of four bytes, minus two.
      if (!c.has(12)) return STOP
      if (!skipHeader(c, (data[c.offset + 1]! + 2) * 4)) return STOP
    } else {
      return layerOfProtocol(header)
    }
  }
}

function skipHeader(c: Cursor, length: number): boolean {
  if (!c.has(length)) return false
  c.protocol = c.data[c.offset]!
  c.offset += length
  return true
}

/** RFC 2003, RFC 2473 and RFC 4213: protocol 4 is IPv4 and 41 is IPv6, in either version. */
export function readIpInIp(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  const inner = c.protocol === 4 ? IPV4 : IPV6
  c.enterTunnel(inner === IPV6 && c.ipVersion === 4 ? '6in4' : 'ip-in-ip', -1)
  return inner
}

/** RFC 3378: two bytes, then a whole Ethernet frame. */
export function readEtherIp(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  if (!c.has(2)) return STOP
  c.enterTunnel('etherip', -1)
  c.offset += 2
  return ETHERNET
}

/** RFC 4023. */
export function readMplsInIp(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  c.enterTunnel('mpls-in-ip', -1)
  return MPLS
}

/** A Register of PIM (RFC 7761 section 4.9.3): eight bytes, then the packet that a router hands to the rendezvous point. */
export function readPim(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  if (!c.has(8) || c.data[c.offset] !== 0x21) return STOP
  c.enterTunnel('pim-register', -1)
  c.offset += 8
  return IP
}

function layerOfProtocol(protocol: number): number {
  switch (protocol) {
    case 6:
      return TCP
    case 17:
      return UDP
    case 1:
    case 58:
      return ICMP
    case 4:
    case 41:
      return IP_IN_IP
    case 47:
      return GRE
    case 97:
      return ETHER_IP
    case 103:
      return PIM
    case 137:
      return MPLS_IN_IP
    default:
      return OTHER_IP
  }
}
