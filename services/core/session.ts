import type { DirectionEvidence, EndReason, FlowName, LabeledSession, SessionState as RecordState } from '#schemas'
import { addressText } from './address.ts'
import { communityId } from './community-id.ts'
import type { Decision } from './match.ts'
import type { SessionFacts } from './session-facts.ts'
import { sessionId } from './session-id.ts'
import { SessionRows, word } from './session-rows.ts'

const protocolNames: Record<number, string> = { 1: 'icmp', 6: 'tcp', 17: 'udp' }

/** tcp, udp, icmp, or the IANA protocol number as text. */
export const protocolName = (protocol: number): string => protocolNames[protocol] ?? String(protocol)

/** Whether two judgements tell a consumer the same: who it was, or why that is not known. */
export const saysTheSame = (a: Judgement, b: Judgement): boolean =>
  a.unknown_cause === b.unknown_cause && JSON.stringify(a.label) === JSON.stringify(b.label)

/** What decides a session's label, kept with it between judgements. */
export type Judgement = Pick<
  LabeledSession,
  'label' | 'stage' | 'confidence' | 'label_final' | 'unknown_cause' | 'evidence' | 'agent_gap'
>

export const judgementOf = (decision: Decision): Judgement => ({
  label: decision.label,
  stage: decision.stage,
  confidence: decision.confidence,
  label_final: decision.final,
  unknown_cause: decision.unknownCause,
  evidence: decision.evidence,
  agent_gap: decision.agentGap,
})

export type SessionState = ReturnType<Session['state']>

/** A bidirectional flow of one host (design section 3): counts, times, names, and the label once judged. */
export class Session {
  /** Its number in the host's session table. */
  readonly entry: number
  /** Where its counts are. */
  #rows: SessionRows
  #row: number
  readonly protocol: number
  localPort: number
  remotePort: number
  direction: 'out' | 'in'
  directionBy: DirectionEvidence
  readonly firstFromRemote: boolean
  vlan = -1
  tunnel: LabeledSession['tunnel'] = null
  sni: string | null = null
  alpn: string[] | null = null
  ja4: string | null = null
  dnsName: string | null = null
  peerSessionId: string | null = null
  captureGap = false
  truncatedStart = false
  /** Known once asked for. */
  #id: string | null = null
  #localIp: string | null = null
  #remoteIp: string | null = null
  judgement: Judgement | null = null
  /** What the last record said that was published while the session was in the table; null where there was none. */
  #toldState: RecordState | null = null
  #toldPackets = 0
  #toldJudgement: Judgement | null = null
  /** Revision that the next record of this session gets. */
  revision = 0
  /** When the session table looks at it again. */
  dueStep = Number.NaN

  constructor(
    rows: SessionRows,
    entry: number,
    protocol: number,
    localPort: number,
    remotePort: number,
    firstFromRemote: boolean,
  ) {
    this.#rows = rows
    this.#row = entry
    this.entry = entry
    this.protocol = protocol
    this.localPort = localPort
    this.remotePort = remotePort
    this.firstFromRemote = firstFromRemote
    const byPort = serverByPort(localPort, remotePort, protocol)
    this.directionBy = byPort === null ? 'first_packet' : 'port'
    this.direction = (byPort === null ? firstFromRemote : byPort === 'local') ? 'in' : 'out'
  }

  /** Takes the counts out of the table's rows, where another session's will come. */
  leaveRows(): void {
    this.#rows = SessionRows.of(this.#rows.row(this.#row))
    this.#row = 0
  }

  /** Plain data, to be serialized or handed to `fromState`. */
  state() {
    return {
      counts: this.#rows.row(this.#row),
      protocol: this.protocol,
      localPort: this.localPort,
      remotePort: this.remotePort,
      firstFromRemote: this.firstFromRemote,
      direction: this.direction,
      directionBy: this.directionBy,
      vlan: this.vlan,
      tunnel: this.tunnel,
      sni: this.sni,
      alpn: this.alpn,
      ja4: this.ja4,
      dnsName: this.dnsName,
      peerSessionId: this.peerSessionId,
      captureGap: this.captureGap,
      truncatedStart: this.truncatedStart,
      judgement: this.judgement,
      toldState: this.#toldState,
      toldPackets: this.#toldPackets,
      toldJudgement: this.#toldJudgement,
      revision: this.revision,
      dueStep: this.dueStep,
    }
  }

  /** A session with row `entry` of `rows`. */
  static fromState(state: SessionState, rows: SessionRows, entry: number): Session {
    const { counts, protocol, localPort, remotePort, firstFromRemote, toldState, toldPackets, toldJudgement, ...rest } =
      state
    rows.setRow(entry, counts)
    const session = new Session(rows, entry, protocol, localPort, remotePort, firstFromRemote)
    session.#toldState = toldState
    session.#toldPackets = toldPackets
    session.#toldJudgement = toldJudgement
    return Object.assign(session, rest)
  }

  /** Microseconds since the epoch, capture clock. */
  get firstUs(): number {
    return this.#rows.get(this.#row, word.firstUs)
  }

  get lastUs(): number {
    return this.#rows.get(this.#row, word.lastUs)
  }

  /** The first packet observed; one that came out of order may be earlier. */
  get firstSeenUs(): number {
    return this.#rows.get(this.#row, word.firstSeenUs)
  }

  get synSeen(): boolean {
    return this.#rows.get(this.#row, word.synOut) >= 0 || this.#rows.get(this.#row, word.synIn) >= 0
  }

  get endReason(): EndReason | null {
    return this.#rows.endReason(this.#row)
  }

  /** A SYN or SYN-ACK tells who opened the session, whatever was guessed before. */
  openedBy(local: boolean): void {
    this.direction = local ? 'out' : 'in'
    this.directionBy = 'syn'
  }

  /** The first name counts. */
  nameSeen({ sni, alpn, ja4 }: FlowName): void {
    if (this.sni !== null) return
    this.sni = sni
    this.alpn = alpn.length > 0 ? alpn : null
    this.ja4 = ja4
  }

  /** Takes a judgement over; a socket's direction counts unless a SYN told it. */
  judge(decision: Decision): void {
    this.judgement = judgementOf(decision)
    if (decision.direction === null || this.directionBy === 'syn') return
    this.direction = decision.direction.direction
    this.directionBy = decision.direction.by
  }

  get localIp(): string {
    this.#localIp ??= addressText(this.#rows.addresses(this.#row), 0)
    return this.#localIp
  }

  get remoteIp(): string {
    this.#remoteIp ??= addressText(this.#rows.addresses(this.#row), 16)
    return this.#remoteIp
  }

  /** The session's id on its own host. */
  #ownId(hostId: string): string {
    this.#id ??= this.sessionId(hostId)
    return this.#id
  }

  /** The id that this session has on a host: its own, or the one of the other end. */
  sessionId(hostId: string): string {
    const addresses = this.#rows.addresses(this.#row)
    return sessionId(hostId, this.protocol, this.firstSeenUs, addresses, this.localPort, this.remotePort)
  }

  facts(hostId: string): SessionFacts {
    const rows = this.#rows
    const row = this.#row
    return {
      sessionId: this.#ownId(hostId),
      proto: protocolName(this.protocol),
      localIp: this.localIp,
      localPort: this.localPort,
      remoteIp: this.remoteIp,
      remotePort: this.remotePort,
      firstUs: this.firstUs,
      lastUs: this.lastUs,
      direction: this.direction,
      directionBy: this.directionBy,
      synSeen: this.synSeen,
      packetsOut: rows.get(row, word.packetsOut),
      packetsIn: rows.get(row, word.packetsIn),
      tcpFlags: rows.get(row, word.tcpFlags),
      sni: this.sni,
      ja4: this.ja4,
      captureGap: this.captureGap,
    }
  }

  /** The next revision of this session's record. Throws before it was judged. A bare capture (no host) puts who opened the session at the local end. */
  toRecord(hostId: string, state: RecordState): LabeledSession {
    const bare = hostId === ''
    const swap = bare && this.direction === 'in'
    const { judgement, localIp, remoteIp } = this
    const rows = this.#rows
    const row = this.#row
    const packetsOut = rows.get(row, word.packetsOut)
    const packetsIn = rows.get(row, word.packetsIn)
    const bytesOut = rows.get(row, word.bytesOut)
    const bytesIn = rows.get(row, word.bytesIn)
    if (judgement === null) throw new Error('a session is published only once it has been judged')
    return {
      session_id: this.#ownId(hostId),
      revision: this.revision++,
      state,
      host_id: bare ? null : hostId,
      proto: protocolName(this.protocol),
      local_ip: swap ? remoteIp : localIp,
      local_port: swap ? this.remotePort : this.localPort,
      remote_ip: swap ? localIp : remoteIp,
      remote_port: swap ? this.localPort : this.remotePort,
      direction: bare ? 'out' : this.direction,
      direction_by: this.directionBy,
      first_us: this.firstUs,
      last_us: this.lastUs,
      packets_out: swap ? packetsIn : packetsOut,
      packets_in: swap ? packetsOut : packetsIn,
      bytes_out: swap ? bytesIn : bytesOut,
      bytes_in: swap ? bytesOut : bytesIn,
      tcp_flags: rows.get(row, word.tcpFlags),
      end_reason: state === 'open' ? null : this.endReason,
      community_id: this.#communityId(),
      vlan: this.vlan < 0 ? null : this.vlan,
      tunnel: this.tunnel,
      // One by one, since spreading an object costs more than all else here.
      label: judgement.label,
      stage: judgement.stage,
      confidence: judgement.confidence,
      label_final: judgement.label_final,
      unknown_cause: judgement.unknown_cause,
      evidence: judgement.evidence,
      sni: this.sni,
      alpn: this.alpn,
      ja4: this.ja4,
      dns_name: this.dnsName,
      peer_session_id: this.peerSessionId,
      capture_gap: this.captureGap,
      agent_gap: judgement.agent_gap,
      truncated_start: this.truncatedStart,
      splt: rows.splt(row, swap),
    }
  }

  /** A record of this session is published while it stays in the table. */
  tell(state: RecordState): void {
    this.#toldState = state
    this.#toldPackets = this.#packets()
    this.#toldJudgement = this.judgement
  }

  /** Whether a closed record that was published says all that is known now. */
  get isTold(): boolean {
    if (!this.isToldClosed || this.#toldPackets !== this.#packets()) return false
    const { judgement } = this
    const told = this.#toldJudgement!
    if (judgement === told) return true
    return judgement?.label_final === told.label_final && saysTheSame(told, judgement)
  }

  /** Whether some record has told that it ended, whatever has changed since. */
  get isToldClosed(): boolean {
    return this.#toldState === 'closed'
  }

  #packets(): number {
    return this.#rows.get(this.#row, word.packetsOut) + this.#rows.get(this.#row, word.packetsIn)
  }

  #communityId(): string {
    const { protocol, localPort, remotePort } = this
    const addresses = this.#rows.addresses(this.#row)
    return this.firstFromRemote
      ? communityId(addresses, 16, protocol, remotePort, localPort)
      : communityId(addresses, 0, protocol, localPort, remotePort)
  }
}

/** The end whose port is a server's by number: well known (below 1024, RFC 6335) against not; null where the numbers do not tell. */
function serverByPort(localPort: number, remotePort: number, protocol: number): 'local' | 'remote' | null {
  if (protocol !== 6 && protocol !== 17) return null
  if (localPort < 1024 === remotePort < 1024) return null
  return localPort < 1024 ? 'local' : 'remote'
}
