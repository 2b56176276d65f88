/** The outer header of a tunnelled packet: what carried the frame whose TCP or UDP header makes the session. */
export interface Tunnel {
  kind:
    | 'gre'
    | 'erspan'
    | 'vxlan'
    | 'geneve'
    | 'gtp-u'
    | 'ip-in-ip'
    | '6in4'
    | 'teredo'
    | 'l2tp'
    | 'mpls-in-udp'
    | 'tzsp'
    | 'ayiya'
    | 'lisp'
    | 'etherip'
    | 'mpls-in-ip'
    | 'pim-register'
  /** Outer addresses in canonical text (RFC 5952 for IPv6). */
  source: string
  destination: string
  /** VNI, GRE key, ERSPAN session id or TEID; null where the tunnel has none. */
  id: number | null
}

/**
 * One decoded packet. The decoder fills the same object again and again, so that nothing is allocated for a packet:
 * copy what must outlive the next call.
 */
export class Packet {
  /** Capture time, microseconds since the epoch, rounded down. */
  timeUs = 0
  /** Bytes of the frame on the wire, from the capture's own record; more than was captured where a snap length cut it. */
  wireLength = 0
  /** Words 0-3 source, 4-7 destination, big-endian order; IPv4 is v4-mapped (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2). */
  readonly addresses = new Int32Array(8)
  /** 4 or 6: the IP version of the header that makes the session. */
  ipVersion = 0
  /** IANA protocol number: 6 TCP, 17 UDP, 1 ICMP, 58 ICMPv6, others as they are. */
  protocol = 0
  /** TCP and UDP ports; for ICMP and ICMPv6 the pair of the Community ID flow hash; 0 for other protocols. */
  sourcePort = 0
  destinationPort = 0
  /** Where the IP header that makes the session begins in the frame's buffer. */
  ipOffset = 0
  /** IP header and payload as the IP header states it, no link-layer header and no padding. */
  ipLength = 0
  /** TCP flags of RFC 9293 (FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128); 0 for others. */
  tcpFlags = 0
  /** TCP sequence number, unsigned; 0 for others. */
  tcpSequence = 0
  /** Transport payload: where it begins in the frame's buffer, its bytes by the IP header, and the bytes captured of it. */
  payloadOffset = 0
  payloadLength = 0
  payloadCaptured = 0
  /** A later IP fragment: it carries no ports of its own; those of its first fragment are filled in. */
  laterFragment = false
  /** VLAN id of the tag nearest in front of the session's IP header; -1 without one. */
  vlan = -1
  /** The innermost tunnel; null for a packet that is not tunnelled. */
  tunnel: Tunnel | null = null
}
