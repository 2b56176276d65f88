import type { Direction, DirectionEvidence } from '#schemas'

/** What matching needs to know of a session; all of it can be read off a labeled session too. */
export interface SessionFacts {
  sessionId: string
  /** tcp, udp, icmp, or the IANA protocol number as text. */
  proto: string
  /** The monitored host's end, canonical text; v4-mapped IPv6 written as IPv4. */
  localIp: string
  localPort: number
  remoteIp: string
  remotePort: number
  /** First and last packet so far, capture clock, microseconds since the epoch. */
  firstUs: number
  lastUs: number
  direction: Direction
  directionBy: DirectionEvidence
  /** The first packets held a SYN: the connection began when the session did. */
  synSeen: boolean
  packetsOut: number
  packetsIn: number
  /** TCP flags of all packets, or-ed. */
  tcpFlags: number
  sni: string | null
  ja4: string | null
  /** The sensor lost packets during the session. */
  captureGap: boolean
}
