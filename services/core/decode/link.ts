import { u16, u32, u32le } from './bytes.ts'
import { CISCO_HDLC, type Cursor, ETHERNET, IP, IPV4, IPV6, LLC, PPP, PPPOE, STOP } from './cursor.ts'
import { layerOfEthertype, readSnap } from './ethernet.ts'

/** Reads the link-layer header of a frame as its capture names it (LINKTYPE_ value); answers with the next layer. */
export function readLink(c: Cursor, linkType: number): number {
  switch (linkType) {
    case 1:
      return ETHERNET
    case 0:
    case 108:
      return readLoopback(c)
    case 9:
    case 50:
      return PPP
    case 6:
      return readTokenRing(c)
    case 10:
      return readFddi(c)
    case 12:
    case 14:
    case 101:
      return IP
    case 228:
      return IPV4
    case 229:
      return IPV6
    case 51:
      return PPPOE
    case 204:
      // One byte tells the direction.
      c.offset++
      return PPP
    case 100:
      return LLC
    case 117:
      return readPflog(c)
    case 104:
      return CISCO_HDLC
    case 113:
      return readLinuxCooked(c)
    case 276:
      return readLinuxCooked2(c)
    case 239:
      return readNflog(c)
    case 105:
      return readWireless(c)
    case 127:
      return readRadiotap(c)
    case 107:
      return readFrameRelay(c)
    case 178:
      return readJuniperEthernet(c)
    case 242:
      return readInfiniBand(c)
    case 192:
      return readPpi(c)
    // 149 is DLT_USER2, which macOS wrote for PKTAP.
    case 149:
    case 258:
      return readPktap(c)
    default:
      return c.stop('unsupported-link-type')
  }
}

/** BSD null and loopback: an address family of four bytes, in the byte order of the machine that captured. */
function readLoopback(c: Cursor): number {
  if (!c.has(4)) return STOP
  const little = u32le(c.data, c.offset)
  const family = little > 0xffff ? u32(c.data, c.offset) : little
  c.offset += 4
  return layerOfFamily(family) || layerOfEthertype(family)
}

function layerOfFamily(family: number): number {
  if (family === 2) return IPV4
  // AF_INET6 of NetBSD and OpenBSD, FreeBSD, macOS.
  return family === 24 || family === 28 || family === 30 ? IPV6 : STOP
}

/** FDDI: frame control and two addresses; frame controls 0x50 to 0x57 announce LLC. */
function readFddi(c: Cursor): number {
  if (!c.has(13)) return STOP
  const isLlc = (c.data[c.offset]! & 0xf8) === 0x50
  c.offset += 13
  return isLlc ? LLC : STOP
}

/** IEEE 802.5: access and frame control, two addresses, and a route where the source's first bit says so; frame control 0x40 is LLC. */
function readTokenRing(c: Cursor): number {
  if (!c.has(14)) return STOP
  const isLlc = (c.data[c.offset + 1]! & 0xc0) === 0x40
  const isRouted = (c.data[c.offset + 8]! & 0x80) !== 0
  c.offset += 14
  if (!isLlc) return STOP
  if (isRouted) {
    if (!c.has(2)) return STOP
    const length = c.data[c.offset]! & 0x1f
    if (length < 2) return c.stop('bad-header-length')
    if (!c.has(length)) return STOP
    c.offset += length
  }
  return LLC
}

/** What a receiver of 802.11 tells in front of the frame (radiotap.org): version, and its own length, little-endian. */
function readRadiotap(c: Cursor): number {
  if (!c.has(8)) return STOP
  const length = c.data[c.offset + 2]! | (c.data[c.offset + 3]! << 8)
  if (length < 8) return c.stop('bad-header-length')
  if (!c.has(length)) return STOP
  c.offset += length
  return readWireless(c)
}

/**
 * IEEE 802.11-2020 section 9.2.4: data frames that nothing encrypts, neither later fragments nor several in one (A-MSDU). Their header has
 * a fourth address between two access points, QoS control and HT control where its bits say so.
 */
function readWireless(c: Cursor): number {
  if (!c.has(24)) return STOP
  const [control, flags] = [c.data[c.offset]!, c.data[c.offset + 1]!]
  const [isData, isEmpty, isQos] = [(control & 0x0c) === 0x08, (control & 0x40) !== 0, (control & 0x80) !== 0]
  const isLaterFragment = (c.data[c.offset + 22]! & 0x0f) !== 0
  if (!isData || isEmpty || isLaterFragment || (flags & 0x40) !== 0) return STOP
  c.offset += (flags & 0x03) === 0x03 ? 30 : 24
  if (!isQos) return LLC
  const length = (flags & 0x80) !== 0 ? 6 : 2
  if (!c.has(length) || (c.data[c.offset]! & 0x80) !== 0) return STOP
  c.offset += length
  return LLC
}

function readLinuxCooked(c: Cursor): number {
  if (!c.has(16)) return STOP
  const protocol = u16(c.data, c.offset + 14)
  c.offset += 16
  return layerOfLinuxProtocol(protocol)
}

function readLinuxCooked2(c: Cursor): number {
  if (!c.has(20)) return STOP
  const protocol = u16(c.data, c.offset)
  c.offset += 20
  return layerOfLinuxProtocol(protocol)
}

/** Linux's own numbers (ETH_P_ALL, ETH_P_802_2, ETH_P_PPP_MP) are below the EtherTypes. */
function layerOfLinuxProtocol(protocol: number): number {
  if (protocol === 3) return ETHERNET
  if (protocol === 4) return LLC
  return protocol === 7 ? PPP : layerOfEthertype(protocol)
}

const NFLOG_PAYLOAD = 9

/** Netfilter log: family, version, resource id, then attributes whose lengths are in the capturing machine's byte order. */
function readNflog(c: Cursor): number {
  if (!c.has(4)) return STOP
  const family = c.data[c.offset]!
  c.offset += 4
  while (c.has(4)) {
    const { data, offset } = c
    // Types are small: of the two bytes of the type, the one that is zero is the upper one.
    const bigEndian = data[offset + 2] === 0 && data[offset + 3] !== 0
    const length = bigEndian ? u16(data, offset) : data[offset]! | (data[offset + 1]! << 8)
    const type = bigEndian ? u16(data, offset + 2) : data[offset + 2]! | (data[offset + 3]! << 8)
    if (length < 4) return c.stop('bad-header-length')
    if ((type & 0x7fff) === NFLOG_PAYLOAD) {
      c.limit(offset + length)
      c.offset += 4
      if (family === 2) return IPV4
      return family === 10 ? IPV6 : STOP
    }
    c.offset += (length + 3) & ~3
  }
  return STOP
}

/** Frame relay with the encapsulation of RFC 2427: address of two to four bytes, control, protocol id. */
function readFrameRelay(c: Cursor): number {
  let isLast = false
  while (!isLast) {
    if (!c.has(1)) return STOP
    isLast = (c.data[c.offset++]! & 1) === 1
  }
  if (!c.has(2)) return STOP
  if (c.data[c.offset] !== 3) {
    // Cisco's own encapsulation: an EtherType.
    const type = u16(c.data, c.offset)
    c.offset += 2
    return layerOfEthertype(type)
  }
  // A padding byte may stand in front of the protocol id.
  if (c.data[c.offset + 1] === 0) c.offset++
  if (!c.has(2)) return STOP
  const protocol = c.data[c.offset + 1]!
  c.offset += 2
  if (protocol === 0xcc) return IPV4
  if (protocol === 0x8e) return IPV6
  return protocol === 0x80 ? readSnap(c) : STOP
}

const [juniperStripped, juniperExtended] = [0x02, 0x80]

/** Juniper's router in front of an Ethernet frame: "MGC", flags, extensions behind their length (tcpdump's print-juniper.c). */
function readJuniperEthernet(c: Cursor): number {
  if (!c.has(4)) return STOP
  if (u32(c.data, c.offset) >>> 8 !== 0x4d4743) return STOP
  const flags = c.data[c.offset + 3]!
  c.offset += 4
  if (flags & juniperExtended) {
    if (!c.has(2)) return STOP
    const length = 2 + u16(c.data, c.offset)
    if (!c.has(length)) return STOP
    c.offset += length
  }
  return flags & juniperStripped ? IP : ETHERNET
}

/** IP over InfiniBand: a global route header of 40 bytes, then the encapsulation header of RFC 4391 section 6. */
function readInfiniBand(c: Cursor): number {
  if (!c.has(44)) return STOP
  const type = u16(c.data, c.offset + 40)
  c.offset += 44
  return layerOfEthertype(type)
}

/** OpenBSD's packet filter log: its own length without padding to four bytes, then the address family. */
function readPflog(c: Cursor): number {
  if (!c.has(2)) return STOP
  const length = (c.data[c.offset]! + 3) & ~3
  const family = c.data[c.offset + 1]!
  if (!c.has(length)) return STOP
  c.offset += length
  return layerOfFamily(family)
}

/** Per-packet information: its own length, then the link type of the frame behind it, both little-endian. */
function readPpi(c: Cursor): number {
  if (!c.has(8)) return STOP
  const length = c.data[c.offset + 2]! | (c.data[c.offset + 3]! << 8)
  const linkType = u32le(c.data, c.offset + 4)
  if (length < 8) return c.stop('bad-header-length')
  if (!c.has(length)) return STOP
  c.offset += length
  return readWrappedLink(c, linkType)
}

/** macOS packet tap: a little-endian header that says its own length and the link type of the frame behind it. */
function readPktap(c: Cursor): number {
  if (!c.has(12)) return STOP
  const length = u32le(c.data, c.offset)
  const type = u32le(c.data, c.offset + 4)
  const linkType = u32le(c.data, c.offset + 8)
  if (type !== 1) return STOP
  if (length < 12) return c.stop('bad-header-length')
  if (!c.has(length)) return STOP
  c.offset += length
  return readWrappedLink(c, linkType)
}

/** Wrappers do not nest: a hostile frame could hold thousands, each a call deep. */
function readWrappedLink(c: Cursor, linkType: number): number {
  const isWrapper = linkType === 149 || linkType === 192 || linkType === 258
  return isWrapper ? c.stop('unsupported-link-type') : readLink(c, linkType)
}
