import { u16 } from './bytes.ts'
import {
  type Cursor,
  E_TAG,
  ETHERNET,
  FABRIC_PATH,
  IP,
  IPV4,
  IPV6,
  LLC,
  MACSEC,
  MPLS,
  NSH,
  PPPOE,
  PROVIDER_BACKBONE,
  STOP,
  VLAN,
  VN_TAG,
} from './cursor.ts'

/** The layer that an EtherType announces; STOP for one that cannot lead to IP. */
export function layerOfEthertype(type: number): number {
  switch (type) {
    case 0x0800:
      return IPV4
    case 0x86dd:
      return IPV6
    case 0x8100:
    case 0x88a8:
    case 0x9100:
      return VLAN
    case 0x8847:
    case 0x8848:
      return MPLS
    case 0x8864:
      return PPPOE
    case 0x6558:
      return ETHERNET
    case 0x894f:
      return NSH
    case 0x88e5:
      return MACSEC
    case 0x8926:
      return VN_TAG
    case 0x893f:
      return E_TAG
    case 0x8903:
      return FABRIC_PATH
    case 0x88e7:
      return PROVIDER_BACKBONE
    case 0x8870:
      return LLC
    default:
      return STOP
  }
}

export function readEthernet(c: Cursor): number {
  if (!c.has(14)) return STOP
  const type = u16(c.data, c.offset + 12)
  c.offset += 14
  return typeOrLength(c, type)
}

/** IEEE 802.1Q: two bytes of tag (the id is the low 12 bits), then the next EtherType. */
export function readVlan(c: Cursor): number {
  if (!c.has(4)) return STOP
  c.vlan = u16(c.data, c.offset) & 0xfff
  const type = u16(c.data, c.offset + 2)
  c.offset += 4
  return typeOrLength(c, type)
}

/** Up to 1500 the field is the length of an LLC frame (IEEE 802.3 section 3.2.6). */
function typeOrLength(c: Cursor, type: number): number {
  if (type > 1500) return layerOfEthertype(type)
  c.limit(c.offset + type)
  return LLC
}

/** IEEE 802.2. */
export function readLlc(c: Cursor): number {
  if (!c.has(3)) return STOP
  const { data, offset } = c
  const dsap = data[offset]!
  if (dsap === 0x06) {
    c.offset += 3
    return IP
  }
  if (dsap !== 0xaa || data[offset + 1] !== 0xaa) return STOP
  c.offset += 3
  return readSnap(c)
}

/** Organization and type: RFC 1042, and for frame relay RFC 2427 section 4.1. */
export function readSnap(c: Cursor): number {
  if (!c.has(5)) return STOP
  const organization = (c.data[c.offset]! << 16) | u16(c.data, c.offset + 1)
  const type = u16(c.data, c.offset + 3)
  c.offset += 5
  if (organization === 0 || organization === 0x0000f8) return layerOfEthertype(type)
  // RFC 2684 section 5.2: bridged Ethernet; padding of two bytes in front.
  if (organization === 0x0080c2 && (type === 1 || type === 7)) {
    c.offset += 2
    return ETHERNET
  }
  return STOP
}

/** IEEE 802.1AE with integrity only: encrypted frames end here. */
export function readMacsec(c: Cursor): number {
  if (!c.has(6)) return STOP
  const control = c.data[c.offset]!
  const shortLength = c.data[c.offset + 1]! & 0x3f
  if ((control & 0x0c) !== 0) return STOP
  c.offset += (control & 0x20) !== 0 ? 14 : 6
  // The 16 bytes of integrity check value behind are no part of the payload.
  c.limit(shortLength > 0 ? c.offset + shortLength : c.wireEnd - 16)
  if (!c.has(2)) return STOP
  const type = u16(c.data, c.offset)
  c.offset += 2
  return layerOfEthertype(type)
}

/** Cisco VN-Tag: four bytes, then the next EtherType. */
export function readVnTag(c: Cursor): number {
  if (!c.has(6)) return STOP
  const type = u16(c.data, c.offset + 4)
  c.offset += 6
  return typeOrLength(c, type)
}

/** IEEE 802.1BR E-Tag: six bytes, then the next EtherType. */
export function readETag(c: Cursor): number {
  if (!c.has(8)) return STOP
  const type = u16(c.data, c.offset + 6)
  c.offset += 8
  return typeOrLength(c, type)
}

/** Cisco FabricPath: an outer Ethernet header and two bytes of tag around a whole Ethernet frame. */
export function readFabricPath(c: Cursor): number {
  if (!c.has(2)) return STOP
  c.offset += 2
  return ETHERNET
}

/** IEEE 802.1ah I-TAG: four bytes of service id and flags, then a whole Ethernet frame. */
export function readProviderBackbone(c: Cursor): number {
  if (!c.has(4)) return STOP
  c.offset += 4
  return ETHERNET
}

/** Network Service Header, RFC 8300: its length is in words of four bytes. */
export function readNsh(c: Cursor): number {
  if (!c.has(8)) return STOP
  const length = (c.data[c.offset + 1]! & 0x3f) * 4
  const next = c.data[c.offset + 3]!
  if (length < 8) return c.stop('bad-header-length')
  if (!c.has(length)) return STOP
  c.offset += length
  return layerOfNextProtocol(next)
}

/** The next-protocol numbers of NSH (RFC 8300 section 2.2) and VXLAN-GPE, which agree. */
export function layerOfNextProtocol(next: number): number {
  if (next === 1) return IPV4
  if (next === 2) return IPV6
  if (next === 3) return ETHERNET
  if (next === 4) return NSH
  if (next === 5) return MPLS
  return STOP
}
