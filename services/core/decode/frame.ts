import { i32 } from './bytes.ts'
import {
  AYIYA,
  CISCO_HDLC,
  Cursor,
  E_TAG,
  ETHER_IP,
  ETHERNET,
  FABRIC_PATH,
  GENEVE,
  GRE,
  GTP_U,
  ICMP,
  IP,
  IP_IN_IP,
  IPV4,
  IPV6,
  L2TP,
  LATER_FRAGMENT,
  LISP,
  LLC,
  MACSEC,
  MPLS,
  MPLS_IN_IP,
  MPLS_IN_UDP,
  NOTHING,
  NSH,
  OTHER,
  OTHER_IP,
  PIM,
  PORTS,
  PPP,
  PPPOE,
  PROVIDER_BACKBONE,
  STOP,
  TCP,
  TEREDO,
  TZSP,
  UDP,
  VLAN,
  VN_TAG,
  VXLAN,
  VXLAN_GPE,
} from './cursor.ts'
import {
  readETag,
  readEthernet,
  readFabricPath,
  readLlc,
  readMacsec,
  readNsh,
  readProviderBackbone,
  readVlan,
  readVnTag,
} from './ethernet.ts'
import { Fragments } from './fragments.ts'
import { readGre } from './gre.ts'
import { readEtherIp, readIp, readIpInIp, readIpv4, readIpv6, readMplsInIp, readPim } from './ip.ts'
import { readLink } from './link.ts'
import { readMpls } from './mpls.ts'
import type { Packet } from './packet.ts'
import { readCiscoHdlc, readPpp, readPppoe } from './ppp.ts'
import type { Reason } from './reason.ts'
import { readIcmp, readOtherIp, readTcp, readUdp } from './transport.ts'
import {
  readAyiya,
  readGeneve,
  readGtpU,
  readL2tp,
  readLisp,
  readMplsInUdp,
  readTeredo,
  readTzsp,
  readVxlan,
  readVxlanGpe,
} from './udp-tunnels.ts'

/** More headers than any network nests; a hostile frame could hold thousands. */
const MAX_LAYERS = 64

/**
 * Turns frames into packets. It remembers fragments and tunnels between frames, so one decoder serves one input.
 * Any bytes are acceptable: nothing throws, nothing outside of the frame is read.
 */
export class FrameDecoder {
  private readonly cursor = new Cursor()
  private readonly fragments: Fragments

  /**
   * `onReleased` is told of each later fragment that had come before its first, from within the `decode` of that first
   * and before `decode` returns; the packet is the callee's to keep.
   */
  constructor(onReleased: (packet: Packet) => void) {
    this.fragments = new Fragments(onReleased)
  }

  /** Later fragments so far that belong to no session, their first being missing; each was `fragment-held` before. */
  get fragmentsWithoutFirst(): number {
    return this.fragments.withoutFirst
  }

  /** The frame decoded last was `fragment-held`, and is a copy of one before: it is not to be counted. */
  forgetHeld(): void {
    this.fragments.forgetLastHeld()
  }

  /**
   * Decodes the frame in `data[start, end)`. The caller has set `packet.timeUs` and `packet.wireLength`; all else is
   * filled in if the answer is `ok`, and without meaning if not.
   */
  decode(data: Uint8Array, start: number, end: number, linkType: number, packet: Packet): Reason {
    const c = this.cursor
    c.begin(data, start, end, packet.wireLength)
    let layer = readLink(c, linkType)
    for (let layers = 0; layer !== STOP; layers++) {
      if (layers === MAX_LAYERS) {
        c.reason = 'too-many-layers'
        break
      }
      layer = layer === LATER_FRAGMENT ? this.joinFragment(packet) : read(layer, c, packet)
    }
    if (c.committed === NOTHING) return c.reason
    if (c.firstFragments > 0) this.learnFragments(packet)
    return 'ok'
  }

  /** A later fragment inside a tunnel, if nothing is known of its first, belongs to the outer session. */
  private joinFragment(packet: Packet): typeof STOP {
    const c = this.cursor
    const key = fragmentKey(c.data, c.ipOffset, c.fragmentId)
    if (c.committed === PORTS && !this.fragments.knowsSession(key)) return STOP
    c.commit(packet, OTHER)
    packet.laterFragment = true
    const reason = this.fragments.join(key, packet)
    if (reason === 'ok') return STOP
    c.committed = NOTHING
    return c.stop(reason)
  }

  /** Only the fragments of the session's own IP header have its ports; those of an outer one are parts of a tunnel. */
  private learnFragments(packet: Packet): void {
    const c = this.cursor
    for (let i = 0; i < c.firstFragments; i++) {
      const ipOffset = c.firstFragmentIp[i]!
      const key = fragmentKey(c.data, ipOffset, c.firstFragmentId[i]!)
      this.fragments.learn(key, ipOffset !== c.committedIpOffset, packet)
    }
  }
}

function read(layer: number, c: Cursor, packet: Packet): number {
  switch (layer) {
    case ETHERNET:
      return readEthernet(c)
    case VLAN:
      return readVlan(c)
    case LLC:
      return readLlc(c)
    case MPLS:
      return readMpls(c)
    case PPP:
      return readPpp(c)
    case PPPOE:
      return readPppoe(c)
    case CISCO_HDLC:
      return readCiscoHdlc(c)
    case IPV4:
      return readIpv4(c)
    case IPV6:
      return readIpv6(c)
    case IP:
      return readIp(c)
    case TCP:
      return readTcp(c, packet)
    case UDP:
      return readUdp(c, packet)
    case ICMP:
      return readIcmp(c, packet)
    case OTHER_IP:
      return readOtherIp(c, packet)
    case IP_IN_IP:
      return readIpInIp(c, packet)
    case ETHER_IP:
      return readEtherIp(c, packet)
    case MPLS_IN_IP:
      return readMplsInIp(c, packet)
    case PIM:
      return readPim(c, packet)
    case GRE:
      return readGre(c, packet)
    case VXLAN:
      return readVxlan(c)
    case VXLAN_GPE:
      return readVxlanGpe(c)
    case GENEVE:
      return readGeneve(c)
    case GTP_U:
      return readGtpU(c)
    case TEREDO:
      return readTeredo(c)
    case L2TP:
      return readL2tp(c)
    case MPLS_IN_UDP:
      return readMplsInUdp(c)
    case NSH:
      return readNsh(c)
    case MACSEC:
      return readMacsec(c)
    case VN_TAG:
      return readVnTag(c)
    case FABRIC_PATH:
      return readFabricPath(c)
    case E_TAG:
      return readETag(c)
    case TZSP:
      return readTzsp(c)
    case AYIYA:
      return readAyiya(c)
    case LISP:
      return readLisp(c)
    case PROVIDER_BACKBONE:
      return readProviderBackbone(c)
    default:
      return STOP
  }
}

/** RFC 791 section 3.2 and RFC 8200 section 4.5: addresses and identification, for IPv4 the protocol too. */
function fragmentKey(data: Uint8Array, ipOffset: number, id: number): string {
  const isV4 = data[ipOffset]! >> 4 === 4
  let key = isV4 ? `4/${data[ipOffset + 9]}/${id}` : `6/${id}`
  const addresses = isV4 ? ipOffset + 12 : ipOffset + 8
  const end = isV4 ? ipOffset + 20 : ipOffset + 40
  for (let at = addresses; at < end; at += 4) key += `/${i32(data, at)}`
  return key
}
