import { addressText } from '#core/address.ts'
import { BoundedMap } from '#core/bounded-map.ts'
import type { MatchConstants } from '#core/constants.ts'
import { DnsNames } from '#core/decode/dns-names.ts'
import { HostMatcher, type SharedNames } from '#core/host-matcher.ts'
import { decideInferred, noAgentDecision } from '#core/match.ts'
import type { OwnershipInterval } from '#core/ownership.ts'
import { programNamed } from '#core/program.ts'
import { judgementOf, protocolName, Session, saysTheSame } from '#core/session.ts'
import { fromSessionColumns, toSessionColumns } from '#core/session-columns.ts'
import { factsOf, type SessionFacts } from '#core/session-facts.ts'
import { SessionRows } from '#core/session-rows.ts'
import { SessionTable, sessionTimes } from '#core/session-table.ts'
import { isInferable } from '#core/unknown-cause.ts'
import {
  codecs,
  directionBits,
  type Host,
  type LabeledSession,
  type PacketBatch,
  type PacketColumns,
  type Resolution,
  readPacketColumns,
  type SocketEvents,
  type SocketSnapshot,
} from '#schemas'
import { inferredPart, knewBetter } from './later-judgement.ts'

/** Published sessions whose label may still change, kept at most; the oldest are left as they are. */
const maxUndecided = 200_000
const codec = codecs['labeled-sessions']
/** Resolutions that came before their session left the table, kept at most and so long: longer than an ended session lingers. */
const maxEarly = 1_000
const earlyUs = 300_000_000
/** How often they are looked at again, capture time. */
const reconsiderEveryUs = 30_000_000
/** A session without a label is looked at once more when it began so long ago: its host has learned meanwhile. */
const againAfterUs = 3_600_000_000

export interface PipelineOptions {
  constants: MatchConstants
  /** Labels learned on all hosts by server name; null where the resolver learns them. */
  sharedNames: SharedNames | null
  /** Publish sessions that go on, and ended ones whose label may still change; else each once, when nothing changes it any more. */
  provisional: boolean
}

/** All ownership intervals that are known of a session's local port on a host. */
export type SocketHistory = (facts: SessionFacts, hostId: string) => readonly OwnershipInterval[]

/** A session that has left the table and whose label is not final; packed, since there may be many. */
interface Undecided {
  firstUs: number
  /** Its last record, encoded. */
  value: Buffer
  published: boolean
  /** Post-processing has looked at it. */
  resolved: boolean
  /** Its label is the resolver's. */
  byResolver: boolean
}

export type PipelineState = ReturnType<HostPipeline['state']>

/**
 * All that the matcher does for one host, in the order of its input: sessions, judgements, records to publish.
 * No I/O and no clock; the empty host id stands for a capture without monitored hosts.
 */
export class HostPipeline {
  readonly hostId: string
  readonly #options: PipelineOptions
  /** Null until the host's agent said anything: then every session is unknown for want of an agent. */
  #matcher: HostMatcher | null = null
  readonly #table: SessionTable
  readonly #dnsNames = new DnsNames()
  /** Sessions in order of their start that have not been judged: their socket data may still be on the way. */
  #unjudged: Session[] = []
  /** Ended sessions that wait for their judgement. */
  readonly #waiting = new Set<Session>()
  #fresh: Session[] = []
  readonly #undecided = new Map<string, Undecided>()
  readonly #early = new BoundedMap<string, Resolution>(maxEarly, earlyUs)
  #records: LabeledSession[] = []
  #ends: LabeledSession[] = []
  /** Of the records that were taken last those that are the first to tell their session closed. */
  ends: readonly LabeledSession[] = []
  #nowUs = Number.NEGATIVE_INFINITY
  #reconsideredUs = Number.NEGATIVE_INFINITY
  /** The input began in the midst, and sessions that were open then may still show up. */
  #isMidst = false
  #firstUs = Number.NaN

  constructor(hostId: string, options: PipelineOptions) {
    this.hostId = hostId
    this.#options = options
    this.#table = new SessionTable({
      started: session => this.#fresh.push(session),
      due: session => this.#due(session),
      ended: session => this.#ended(session),
    })
  }

  /** Sessions that are open or whose label is not final. */
  get size(): number {
    return this.#table.size + this.#waiting.size + this.#undecided.size
  }

  /** All that the pipeline knows, as plain data, to be serialized or handed to `restore` of a new pipeline. Call `take` before. */
  state() {
    const waiting = [...this.#waiting]
    const places = new Map([...this.#table.open(), ...waiting].map((session, i) => [session, i]))
    return {
      table: this.#table.state(),
      waiting: toSessionColumns(waiting.map(session => session.state())),
      unjudged: this.#unjudged.map(session => places.get(session)!),
      matcher: this.#matcher?.state() ?? null,
      dnsNames: this.#dnsNames.state(),
      undecided: this.#undecided,
      early: this.#early.state(),
      nowUs: this.#nowUs,
      firstUs: this.#firstUs,
      isMidst: this.#isMidst,
      reconsideredUs: this.#reconsideredUs,
    }
  }

  restore(state: PipelineState): void {
    const open = this.#table.restore(state.table)
    const waiting = fromSessionColumns(state.waiting).map(one => Session.fromState(one, new SessionRows(1), 0))
    const sessions = [...open, ...waiting]
    for (const session of waiting) this.#waiting.add(session)
    this.#unjudged = state.unjudged.map(place => sessions[place]!)
    if (state.matcher) this.#agent().restore(state.matcher)
    this.#dnsNames.restore(state.dnsNames)
    for (const [id, undecided] of state.undecided) this.#undecided.set(id, undecided)
    this.#early.restore(state.early)
    this.#nowUs = state.nowUs
    this.#firstUs = state.firstUs
    this.#isMidst = state.isMidst
    this.#reconsideredUs = state.reconsideredUs
  }

  /** What came before is lost: sessions that show no beginning, and may have been open then, are marked. */
  beginInMidst(): void {
    this.#isMidst = true
  }

  applyHost(host: Host): void {
    this.#agent().applyHost(host)
  }

  applySnapshot(message: SocketSnapshot): void {
    this.#agent().applySnapshot(message)
    this.#settle()
  }

  applyEvents(message: SocketEvents): void {
    this.#agent().applyEvents(message)
    this.#settle()
  }

  /**
   * Takes over what the resolver decided on a session that has no label in that revision, now or when the session leaves the
   * table. Tells whether there may be such a session.
   */
  applyResolution(resolution: Resolution): boolean {
    const undecided = this.#undecided.get(resolution.session_id)
    if (undecided) return this.#takeOver(resolution, undecided)
    this.#early.set(resolution.session_id, resolution, this.#nowUs)
    return true
  }

  /** `lost`: packets that the sensor lost before this batch. Throws a RangeError for columns that do not fit each other. */
  applyPackets(batch: PacketBatch, lost: number, columns: PacketColumns = readPacketColumns(batch)): void {
    if (columns.dns.length > 0) this.#learnNames(columns)
    this.#table.apply(columns, lost)
    if (this.#fresh.length > 0) this.#begin()
    this.#nowUs = batch.until_us
    this.#table.advance(this.#nowUs)
    this.#settle()
    if (this.#matcher && this.#nowUs - this.#reconsideredUs >= reconsiderEveryUs)
      this.#reconsider(this.#timeline, false)
  }

  /**
   * The input is over: ends the `most` sessions that began first. Tells whether there are more; when there are none, all
   * that wait for socket data have been judged with what is known by now.
   */
  end(most: number): boolean {
    if (this.#table.finish(most)) return true
    for (const session of this.#unjudged) this.#judge(session)
    this.#unjudged = []
    for (const session of this.#waiting) this.#close(session)
    this.#waiting.clear()
    return false
  }

  /** Facts of the sessions whose label is not final. */
  *undecided(): Iterable<SessionFacts> {
    for (const { value } of this.#undecided.values()) yield factsOf(codec.decodeOwn(value))
  }

  /** After `end`: judges for the last time. `history` replaces the timeline where a socket log reaches further. */
  finish(history: SocketHistory | null): void {
    this.#reconsider(history ?? this.#timeline, true)
  }

  /** The records that became ready since the last call. */
  take(): LabeledSession[] {
    const records = this.#records
    this.#records = []
    this.ends = this.#ends
    this.#ends = []
    return records
  }

  #agent(): HostMatcher {
    this.#matcher ??= new HostMatcher(this.hostId, this.#options.constants, this.#options.sharedNames)
    return this.#matcher
  }

  #begin(): void {
    this.#fresh.sort((a, b) => a.firstSeenUs - b.firstSeenUs)
    if (this.#isMidst) this.#markTruncated()
    for (const session of this.#fresh) {
      if (this.hostId !== '') {
        this.#matcher?.observeSession(session.facts(this.hostId))
        this.#unjudged.push(session)
      }
    }
    this.#fresh = []
  }

  #markTruncated(): void {
    if (Number.isNaN(this.#firstUs)) this.#firstUs = this.#fresh[0]!.firstSeenUs
    for (const session of this.#fresh) {
      const sinceUs = session.firstSeenUs - this.#firstUs
      const { tcpIdleUs, otherIdleUs } = sessionTimes
      const mayGoOn = sinceUs < (session.protocol === 6 ? tcpIdleUs : otherIdleUs)
      session.truncatedStart = mayGoOn && !session.synSeen
      if (sinceUs >= tcpIdleUs) this.#isMidst = false
    }
  }

  /** Judges, in order of their start, the sessions whose socket data is in, or has been waited for long enough. */
  #settle(): void {
    const watermarkUs = this.#matcher?.watermarkUs() ?? null
    const settledUs = watermarkUs === null ? Number.NEGATIVE_INFINITY : watermarkUs - this.#matcher!.settleUs
    const readyUs = Math.max(settledUs, this.#nowUs - this.#options.constants.holdUs)
    let judged = 0
    for (const session of this.#unjudged) {
      if (session.firstUs > readyUs) break
      judged++
      this.#judge(session)
      if (this.#waiting.delete(session)) this.#close(session)
    }
    if (judged > 0) this.#unjudged = this.#unjudged.slice(judged)
  }

  #judge(session: Session): void {
    const matcher = this.#matcher
    session.judge(
      matcher ? matcher.judge(session.facts(this.hostId)) : noAgentDecision({ proto: protocolName(session.protocol) }),
    )
  }

  /** A record while the session stays in the table; only where such records are wanted. */
  #due(session: Session): void {
    if (!this.#options.provisional) return
    const state = session.endReason === null ? 'open' : 'closed'
    // Socket data that came later than the hold limit may be here by now.
    const isLate = state === 'closed' && session.judgement?.stage !== 'A'
    if (this.hostId === '' || session.judgement === null || isLate) this.#judge(session)
    const record = this.#record(session, state)
    if (state === 'closed' && !session.isToldClosed) this.#ends.push(record)
    this.#records.push(record)
    session.tell(state)
  }

  #ended(session: Session): void {
    if (this.hostId === '') this.#judge(session)
    if (session.judgement === null) {
      session.leaveRows()
      this.#waiting.add(session)
    } else this.#close(session)
  }

  #close(session: Session): void {
    if (session.judgement!.stage !== 'A' && this.#matcher) this.#judge(session)
    if (this.#matcher === null) session.judgement!.label_final = true
    const isOut = session.isTold
    if (isOut && session.judgement!.label_final) return
    // What is out already is only kept, in the revision that it was published in.
    if (isOut) session.revision--
    const record = this.#record(session, 'closed')
    const published = record.label_final || this.#options.provisional
    if (published && !isOut) {
      if (!session.isToldClosed) this.#ends.push(record)
      this.#records.push(record)
    }
    if (!record.label_final) this.#keep(record, published)
  }

  #keep(record: LabeledSession, published: boolean): void {
    const value = codec.encode(record)
    this.#undecided.set(record.session_id, {
      firstUs: record.first_us,
      value,
      published,
      resolved: false,
      byResolver: false,
    })
    const early = this.#early.get(record.session_id, this.#nowUs)
    if (early) this.#takeOver(early, this.#undecided.get(record.session_id)!)
    if (this.#undecided.size <= maxUndecided) return
    const [id, oldest] = this.#undecided.entries().next().value!
    this.#undecided.delete(id)
    if (!oldest.published) this.#tellEnd(codec.decodeOwn(oldest.value))
  }

  /**
   * Post-processing: judges again, with all that is known by now, the sessions whose label is not final: each once, those
   * without a label once more after an hour, and those for whose time evidence came late; at the end all, and then they are final.
   */
  #reconsider(history: SocketHistory, last: boolean): void {
    const matcher = this.#matcher
    if (matcher === null) return
    const againFromUs = this.#reconsideredUs - againAfterUs
    const againToUs = this.#nowUs - againAfterUs
    this.#reconsideredUs = this.#nowUs
    matcher.expire(this.#nowUs)
    this.#early.expire(this.#nowUs)
    const late = matcher.takeRejudge()
    for (const [id, undecided] of this.#undecided) {
      const { firstUs, resolved } = undecided
      const isPast = firstUs < this.#nowUs - this.#options.constants.keepUs
      const isDueAgain = firstUs >= againFromUs && firstUs < againToUs
      const isLate = late !== null && firstUs >= late.fromUs && firstUs <= late.toUs
      if (isPast && (this.#options.provisional || (last && history === this.#timeline))) this.#leave(id, undecided)
      else if (last || isLate || !resolved || (isDueAgain && codec.decodeOwn(undecided.value).label === null))
        this.#resolve(matcher, id, undecided, history, last)
    }
  }

  /** What was known of its time is forgotten by now: what it was told as stays. */
  #leave(id: string, undecided: Undecided): void {
    const record = codec.decodeOwn(undecided.value)
    this.#undecided.delete(id)
    record.label_final = true
    if (undecided.published) {
      record.revision++
      this.#records.push(record)
    } else this.#tellEnd(record)
  }

  #tellEnd(record: LabeledSession): void {
    this.#ends.push(record)
    this.#records.push(record)
  }

  readonly #timeline: SocketHistory = ({ proto, localPort }) => this.#matcher?.intervalsOf(proto, localPort) ?? []

  #resolve(matcher: HostMatcher, id: string, undecided: Undecided, history: SocketHistory, last: boolean): void {
    const record = codec.decodeOwn(undecided.value)
    const facts = factsOf(record)
    const judgement = judgementOf(matcher.resolve(facts, history(facts, this.hostId)))
    judgement.label_final ||= last
    undecided.resolved = true
    undecided.byResolver &&= judgement.label === null && isInferable(facts, judgement.unknown_cause)
    if (undecided.byResolver || knewBetter(record, judgement, facts)) Object.assign(judgement, inferredPart(record))
    if (judgement.label_final) this.#undecided.delete(id)
    else if (saysTheSame(judgement, record)) return
    Object.assign(record, judgement)
    if (undecided.published) record.revision++
    undecided.value = codec.encode(record)
    if (undecided.published) this.#records.push(record)
    else if (judgement.label_final) this.#tellEnd(record)
  }

  #takeOver({ session_id, revision, process, confidence, ...rest }: Resolution, undecided: Undecided): boolean {
    const record = codec.decodeOwn(undecided.value)
    if (!undecided.published || record.revision !== revision || record.label !== null) return false
    const label = programNamed(process)
    const { stage, reason, support, share } = rest
    Object.assign(
      record,
      inferredPart(
        judgementOf(decideInferred(stage, { label, reason, support, share }, record.agent_gap ? null : confidence)),
      ),
    )
    record.revision++
    undecided.byResolver = true
    undecided.value = codec.encode(record)
    this.#records.push(record)
    return true
  }

  #record(session: Session, state: 'open' | 'closed'): LabeledSession {
    const client = this.hostId === '' ? (session.direction === 'out' ? session.localIp : session.remoteIp) : this.hostId
    const server = this.hostId === '' && session.direction === 'in' ? session.localIp : session.remoteIp
    session.dnsName ??= this.#dnsNames.lookup(client, server, session.firstUs)
    return session.toRecord(this.hostId, state)
  }

  /** Answers are remembered for the host; on a bare capture for the address that received them. */
  #learnNames(columns: PacketColumns): void {
    for (const { packet, name, ip, ttl_s } of columns.dns) {
      const toRemote = (columns.direction[packet]! & directionBits.fromRemote) === 0
      const receiver = addressText(columns.flowAddress, columns.packetFlow[packet]! * 32 + (toRemote ? 16 : 0))
      const client = this.hostId === '' ? receiver : this.hostId
      const answers = [{ name, address: ip, ttlSeconds: ttl_s }]
      this.#dnsNames.learn(client, answers, columns.baseUs + columns.packetTime[packet]!)
    }
  }
}
