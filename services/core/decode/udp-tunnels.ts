import { u16, u32 } from './bytes.ts'
import { type Cursor, ETHERNET, IP, IPV4, IPV6, MPLS, PPP, STOP } from './cursor.ts'
import { layerOfEthertype, layerOfNextProtocol } from './ethernet.ts'

/** RFC 7348: eight bytes, the I flag says that the network id is valid. */
export function readVxlan(c: Cursor): number {
  if (!c.has(8)) return STOP
  if ((c.data[c.offset]! & 0x08) === 0) return STOP
  c.enterTunnel('vxlan', u32(c.data, c.offset + 4) >>> 8)
  c.offset += 8
  return ETHERNET
}

/** draft-ietf-nvo3-vxlan-gpe: as VXLAN, but the P flag says that a protocol number is in byte 3. */
export function readVxlanGpe(c: Cursor): number {
  if (!c.has(8)) return STOP
  const flags = c.data[c.offset]!
  const next = c.data[c.offset + 3]!
  c.enterTunnel('vxlan', u32(c.data, c.offset + 4) >>> 8)
  c.offset += 8
  return (flags & 0x04) === 0 ? ETHERNET : layerOfNextProtocol(next)
}

/** RFC 8926: version 0, options in words of four bytes. */
export function readGeneve(c: Cursor): number {
  if (!c.has(8)) return STOP
  const first = c.data[c.offset]!
  const length = 8 + (first & 0x3f) * 4
  if (first >> 6 !== 0 || !c.has(length)) return STOP
  c.enterTunnel('geneve', u32(c.data, c.offset + 4) >>> 8)
  const type = u16(c.data, c.offset + 2)
  c.offset += length
  return layerOfEthertype(type)
}

/** 3GPP TS 29.281: only a G-PDU (message 255) carries a user's packet. */
export function readGtpU(c: Cursor): number {
  if (!c.has(8)) return STOP
  const { data } = c
  const flags = data[c.offset]!
  // Version 1, protocol type GTP.
  if ((flags & 0xf0) !== 0x30 || data[c.offset + 1] !== 255) return STOP
  c.enterTunnel('gtp-u', u32(data, c.offset + 4))
  c.offset += 8
  if ((flags & 0x07) !== 0) {
    if (!c.has(4)) return STOP
    let extension = (flags & 0x04) !== 0 ? data[c.offset + 3]! : 0
    c.offset += 4
    while (extension !== 0) {
      if (!c.has(4)) return STOP
      const length = data[c.offset]! * 4
      if (length === 0 || !c.has(length)) return STOP
      c.offset += length
      extension = data[c.offset - 1]!
    }
  }
  return IP
}

/** RFC 4380 sections 5.1.1 and 5.1.2: authentication and origin indication in front of IPv6. */
export function readTeredo(c: Cursor): number {
  if (!c.has(2)) return STOP
  if (u16(c.data, c.offset) === 1) {
    if (!c.has(13)) return STOP
    const length = 13 + c.data[c.offset + 2]! + c.data[c.offset + 3]!
    if (!c.has(length)) return STOP
    c.offset += length
    if (!c.has(2)) return STOP
  }
  if (u16(c.data, c.offset) === 0) {
    if (!c.has(8)) return STOP
    c.offset += 8
  }
  c.enterTunnel('teredo', -1)
  return IPV6
}

/** RFC 2661, data messages of version 2: they carry PPP. */
export function readL2tp(c: Cursor): number {
  if (!c.has(6)) return STOP
  const { data } = c
  const flags = u16(data, c.offset)
  const hasLength = (flags & 0x4000) !== 0
  const hasSequence = (flags & 0x0800) !== 0
  const hasOffset = (flags & 0x0200) !== 0
  const isControl = (flags & 0x8000) !== 0
  if (isControl || (flags & 15) !== 2) return STOP
  let length = 6 + (hasLength ? 2 : 0) + (hasSequence ? 4 : 0)
  if (hasOffset) {
    if (!c.has(length + 2)) return STOP
    length += 2 + u16(data, c.offset + length)
  }
  if (!c.has(length)) return STOP
  c.enterTunnel('l2tp', u16(data, c.offset + (hasLength ? 4 : 2)))
  c.offset += length
  return PPP
}

/** TaZmen Sniffer Protocol, by which wireless and MikroTik devices mirror frames; only Ethernet is read. */
export function readTzsp(c: Cursor): number {
  if (!c.has(4)) return STOP
  const isEthernet = u16(c.data, c.offset + 2) === 1
  c.offset += 4
  while (c.has(1)) {
    const tag = c.data[c.offset]!
    c.offset++
    if (tag === TZSP_END) {
      c.enterTunnel('tzsp', -1)
      return isEthernet ? ETHERNET : STOP
    }
    if (tag === TZSP_PADDING) continue
    if (!c.has(1)) return STOP
    c.offset += 1 + c.data[c.offset]!
  }
  return STOP
}

const TZSP_PADDING = 0
const TZSP_END = 1

/** draft-massar-v6ops-ayiya: identity and signature in front of IPv6 (operation 1 is forwarding). */
export function readAyiya(c: Cursor): number {
  if (!c.has(8)) return STOP
  const identityBytes = 1 << (c.data[c.offset]! >> 4)
  const signatureBytes = (c.data[c.offset + 1]! >> 4) * 4
  const operation = c.data[c.offset + 2]! & 15
  const nextHeader = c.data[c.offset + 3]!
  const length = 8 + identityBytes + signatureBytes
  if (operation !== 1 || !c.has(length)) return STOP
  c.enterTunnel('ayiya', -1)
  c.offset += length
  if (nextHeader === 4) return IPV4
  return nextHeader === 41 ? IPV6 : STOP
}

/** RFC 9300 section 5: eight bytes, then IP. */
export function readLisp(c: Cursor): number {
  if (!c.has(8)) return STOP
  c.enterTunnel('lisp', -1)
  c.offset += 8
  return IP
}

/** RFC 7510. */
export function readMplsInUdp(c: Cursor): number {
  c.enterTunnel('mpls-in-udp', -1)
  return MPLS
}
