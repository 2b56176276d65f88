import { u16 } from './bytes.ts'
import { CISCO_HDLC, type Cursor, IPV4, IPV6, MPLS, PPP, STOP } from './cursor.ts'
import { layerOfEthertype } from './ethernet.ts'

/**
 * PPP (RFC 1661), with or without HDLC's address and control bytes (RFC 1662), the protocol field compressed or not.
 * Links that carry Cisco HDLC are often recorded as PPP: 0x0f and 0x8f as the first byte tell them apart.
 */
export function readPpp(c: Cursor): number {
  if (!c.has(2)) return STOP
  const first = c.data[c.offset]!
  if (first === 0x0f || first === 0x8f) return CISCO_HDLC
  if (first === 0xff && c.data[c.offset + 1] === 0x03) c.offset += 2
  if (!c.has(2)) return STOP
  const compressed = (c.data[c.offset]! & 1) === 1
  const protocol = compressed ? c.data[c.offset]! : u16(c.data, c.offset)
  c.offset += compressed ? 1 : 2
  switch (protocol) {
    case 0x21:
      return IPV4
    case 0x57:
      return IPV6
    case 0x281:
    case 0x283:
      return MPLS
    default:
      return STOP
  }
}

/** The session stage of RFC 2516: only code 0 carries PPP. */
export function readPppoe(c: Cursor): number {
  if (!c.has(6)) return STOP
  const code = c.data[c.offset + 1]!
  const length = u16(c.data, c.offset + 4)
  c.offset += 6
  c.limit(c.offset + length)
  return code === 0 ? PPP : STOP
}

/** Address, control, EtherType. */
export function readCiscoHdlc(c: Cursor): number {
  if (!c.has(4)) return STOP
  const type = u16(c.data, c.offset + 2)
  c.offset += 4
  return layerOfEthertype(type)
}
