import { u16, u32 } from './bytes.ts'
import { type Cursor, ETHERNET, IP, OTHER, PORTS, PPP, STOP } from './cursor.ts'
import { layerOfEthertype } from './ethernet.ts'
import type { Packet } from './packet.ts'

const CHECKSUM = 0x8000
const ROUTING = 0x4000
const KEY = 0x2000
const SEQUENCE = 0x1000
const ACKNOWLEDGEMENT = 0x0080

/** RFC 2784 with key and sequence (RFC 2890) and routing (RFC 1701); version 1 is PPTP's (RFC 2637). */
export function readGre(c: Cursor, packet: Packet): number {
  if (c.committed !== PORTS) c.commit(packet, OTHER)
  if (!c.has(4)) return STOP
  const flags = u16(c.data, c.offset)
  const type = u16(c.data, c.offset + 2)
  const version = flags & 7
  c.offset += 4
  if ((flags & (CHECKSUM | ROUTING)) !== 0 && !skip(c, 4)) return STOP
  let id = -1
  if ((flags & KEY) !== 0) {
    if (!c.has(4)) return STOP
    // PPTP keeps the payload length in the key's upper half.
    id = version === 1 ? u16(c.data, c.offset + 2) : u32(c.data, c.offset)
    c.offset += 4
  }
  if ((flags & SEQUENCE) !== 0 && !skip(c, 4)) return STOP
  if (version === 1 && (flags & ACKNOWLEDGEMENT) !== 0 && !skip(c, 4)) return STOP
  if ((flags & ROUTING) !== 0 && !skipRouting(c)) return STOP
  if (type === 0x88be || type === 0x22eb) return readErspan(c, type === 0x88be && (flags & SEQUENCE) === 0)
  c.enterTunnel('gre', id)
  return layerOfGreType(c, type)
}

function layerOfGreType(c: Cursor, type: number): number {
  switch (type) {
    case 0x880b:
      return PPP
    case 0x6400:
      return ETHERNET
    case 0x883e:
      // WCCP version 2 puts a redirect header of four bytes in front, which never begins like IPv4.
      if (c.has(1) && c.data[c.offset]! >> 4 !== 4) c.offset += 4
      return IP
    default:
      return layerOfEthertype(type)
  }
}

/** RFC 1701: source route entries, the last one empty. */
function skipRouting(c: Cursor): boolean {
  while (c.has(4)) {
    const family = u16(c.data, c.offset)
    const length = c.data[c.offset + 3]!
    c.offset += 4
    if (family === 0 && length === 0) return true
    if (!skip(c, length)) return false
  }
  return false
}

function skip(c: Cursor, count: number): boolean {
  if (!c.has(count)) return false
  c.offset += count
  return true
}

/** ERSPAN: type I has no header of its own, type II (version 1) one of 8 bytes, type III (version 2) of 12 or 20. */
function readErspan(c: Cursor, typeOne: boolean): number {
  if (typeOne) {
    c.enterTunnel('erspan', -1)
    return ETHERNET
  }
  if (!c.has(8)) return STOP
  const version = c.data[c.offset]! >> 4
  const session = u16(c.data, c.offset + 2) & 0x3ff
  c.enterTunnel('erspan', session)
  if (version === 1) {
    c.offset += 8
    return ETHERNET
  }
  if (version !== 2 || !c.has(12)) return STOP
  const last = u16(c.data, c.offset + 10)
  // Frame type 0 is Ethernet, 2 is IP; the lowest bit announces a platform specific subheader.
  const frameType = (last >> 10) & 31
  if (!skip(c, (last & 1) === 1 ? 20 : 12)) return STOP
  if (frameType === 0) return ETHERNET
  return frameType === 2 ? IP : STOP
}
