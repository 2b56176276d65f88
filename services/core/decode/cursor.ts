import { readAddress } from './bytes.ts'
import type { Packet, Tunnel } from './packet.ts'
import type { Reason } from './reason.ts'
import { TunnelCache } from './tunnel-cache.ts'

/**
 * What comes next in a frame. Every layer's reader takes the cursor standing on its first byte, moves it to the next
 * layer's, and answers with that layer; the loop in frame.ts goes on from there. Plain numbers, so that the loop's
 * switch is a jump table.
 */
export const STOP = 0
export const ETHERNET = 1
export const VLAN = 2
export const LLC = 3
export const MPLS = 4
export const PPP = 5
export const PPPOE = 6
export const CISCO_HDLC = 7
export const IPV4 = 8
export const IPV6 = 9
/** IPv4 or IPv6 by the version nibble. */
export const IP = 10
export const TCP = 11
export const UDP = 12
export const ICMP = 13
export const OTHER_IP = 14
export const LATER_FRAGMENT = 15
export const GRE = 16
export const VXLAN = 17
export const VXLAN_GPE = 18
export const GENEVE = 19
export const GTP_U = 20
export const TEREDO = 21
export const L2TP = 22
export const MPLS_IN_UDP = 23
export const NSH = 24
export const MACSEC = 25
export const VN_TAG = 26
export const PROVIDER_BACKBONE = 27
export const IP_IN_IP = 28
export const FABRIC_PATH = 29
export const TZSP = 30
export const AYIYA = 31
export const LISP = 32
export const E_TAG = 33
export const ETHER_IP = 34
export const MPLS_IN_IP = 35
export const PIM = 36

/** Where decoding stands in one frame, and what of it has been decided so far. One object serves all frames. */
export class Cursor {
  data: Uint8Array = new Uint8Array(0)
  /** Next byte to read, and the end of what was captured of the layer around it. */
  offset = 0
  end = 0
  /** End of the layer around on the wire; beyond `end` where a snap length cut the frame. */
  wireEnd = 0
  reason: Reason = 'ok'
  vlan = -1

  /** The IP header read last: where it is, its length fields, and where its payload ends on the wire. */
  ipOffset = 0
  ipVersion = 0
  ipLength = 0
  ipEnd = 0
  /** The protocol after the IP header and its extension headers. */
  protocol = 0
  /** Where the packet's addresses are in `data`. */
  sourceOffset = 0
  destinationOffset = 0
  /** Identification of the fragment read last. */
  fragmentId = 0

  /** The tunnel around the current IP header, by the IP header that carries it; kind null outside of any. */
  tunnelKind: Tunnel['kind'] | null = null
  tunnelIpOffset = 0
  tunnelIpVersion = 0
  tunnelId = -1
  private readonly tunnels = new TunnelCache()

  /** How good the packet is that has been filled in: nothing, an IP protocol without ports we know, or TCP/UDP. */
  committed = NOTHING
  committedIpOffset = -1
  /** First fragments met on the way: their IP headers and identifications. */
  readonly firstFragmentIp = new Int32Array(MAX_FIRST_FRAGMENTS)
  readonly firstFragmentId = new Uint32Array(MAX_FIRST_FRAGMENTS)
  firstFragments = 0

  begin(data: Uint8Array, start: number, end: number, wireLength: number): void {
    this.data = data
    this.offset = start
    this.end = end
    this.wireEnd = Math.max(end, start + wireLength)
    this.reason = 'not-ip'
    this.vlan = -1
    this.tunnelKind = null
    this.committed = NOTHING
    this.committedIpOffset = -1
    this.firstFragments = 0
  }

  /** Are `count` more bytes captured? If not, the frame is a truncated one. */
  has(count: number): boolean {
    if (this.end - this.offset >= count) return true
    this.reason = 'truncated-header'
    return false
  }

  stop(reason: Reason): typeof STOP {
    this.reason = reason
    return STOP
  }

  /** The current layer ends at `at`: what follows is padding or a trailer. */
  limit(at: number): void {
    if (at < this.end) this.end = at
    if (at < this.wireEnd) this.wireEnd = at
  }

  /** What follows is carried by the current IP header. */
  enterTunnel(kind: Tunnel['kind'], id: number): void {
    this.tunnelKind = kind
    this.tunnelIpOffset = this.ipOffset
    this.tunnelIpVersion = this.ipVersion
    this.tunnelId = id
  }

  noteFirstFragment(): void {
    if (this.firstFragments === MAX_FIRST_FRAGMENTS) return
    this.firstFragmentIp[this.firstFragments] = this.ipOffset
    this.firstFragmentId[this.firstFragments] = this.fragmentId
    this.firstFragments++
  }

  /** Makes the current IP header the one of the session, with nothing known of its payload yet. */
  commit(packet: Packet, quality: typeof OTHER | typeof PORTS): void {
    this.committed = quality
    this.committedIpOffset = this.ipOffset
    readAddress(this.data, this.sourceOffset, this.ipVersion, packet.addresses, 0)
    readAddress(this.data, this.destinationOffset, this.ipVersion, packet.addresses, 4)
    packet.ipVersion = this.ipVersion
    packet.protocol = this.protocol
    packet.sourcePort = 0
    packet.destinationPort = 0
    packet.ipOffset = this.ipOffset
    packet.ipLength = this.ipLength
    packet.tcpFlags = 0
    packet.tcpSequence = 0
    packet.laterFragment = false
    packet.vlan = this.vlan
    packet.tunnel = this.tunnelKind === null ? null : this.tunnels.find(this)
    this.setPayload(packet, this.offset)
  }

  setPayload(packet: Packet, at: number): void {
    packet.payloadOffset = Math.min(at, this.end)
    packet.payloadLength = Math.max(0, this.ipEnd - at)
    packet.payloadCaptured = Math.max(0, this.end - at)
  }
}

const MAX_FIRST_FRAGMENTS = 4

export const NOTHING = 0
export const OTHER = 1
export const PORTS = 2
