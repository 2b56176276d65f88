import { u16 } from './bytes.ts'
import { type Cursor, ETHERNET, IPV4, IPV6, STOP } from './cursor.ts'
import { layerOfEthertype } from './ethernet.ts'

/**
 * The label stack (RFC 3032), then what nothing in it names: by the first nibble IPv4 or IPv6, else perhaps an Ethernet
 * pseudowire, with the control word of RFC 4448 section 4.6 or without.
 */
export function readMpls(c: Cursor): number {
  let bottom = false
  while (!bottom) {
    if (!c.has(4)) return STOP
    bottom = (c.data[c.offset + 2]! & 1) === 1
    c.offset += 4
  }
  if (!c.has(1)) return STOP
  const nibble = c.data[c.offset]! >> 4
  if (nibble === 4) return IPV4
  if (nibble === 6) return IPV6
  if (nibble === 0 && isEthernet(c, c.offset + 4)) {
    c.offset += 4
    return ETHERNET
  }
  // 1 is the associated channel of RFC 4385 (OAM), never user data.
  return nibble !== 1 && isEthernet(c, c.offset) ? ETHERNET : STOP
}

/** A plausible Ethernet header: an EtherType that we read or ARP, or an 802.3 length that fits. */
function isEthernet(c: Cursor, at: number): boolean {
  if (c.end - at < 14) return false
  const type = u16(c.data, at + 12)
  return type <= 1500 ? type >= 3 && at + 14 + type <= c.wireEnd : type === 0x0806 || layerOfEthertype(type) !== STOP
}
