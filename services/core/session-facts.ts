import type { Direction, DirectionEvidence, LabeledSession } from '#schemas'

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

const synFlag = 2

/** The facts of a session that has been published. */
export const factsOf = (record: LabeledSession): SessionFacts => ({
  sessionId: record.session_id,
  proto: record.proto,
  localIp: record.local_ip,
  localPort: record.local_port,
  remoteIp: record.remote_ip,
  remotePort: record.remote_port,
  firstUs: record.first_us,
  lastUs: record.last_us,
  direction: record.direction,
  directionBy: record.direction_by,
  synSeen: (record.tcp_flags & synFlag) !== 0,
  packetsOut: record.packets_out,
  packetsIn: record.packets_in,
  tcpFlags: record.tcp_flags,
  sni: record.sni,
  ja4: record.ja4,
  captureGap: record.capture_gap,
})
