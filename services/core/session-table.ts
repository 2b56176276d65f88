import { directionBits, type EndReason, type FlowName, none, type PacketColumns } from '#schemas'
import { FiveTupleTable } from './five-tuple-table.ts'
import { Session } from './session.ts'
import { fromSessionColumns, toSessionColumns } from './session-columns.ts'
import { addressesOf, SessionRows, word } from './session-rows.ts'

/** Times of design section 3, microseconds. */
export const sessionTimes = Object.freeze({
  tcpIdleUs: 300_000_000,
  otherIdleUs: 60_000_000,
  /** A session that has ended is published as closed after so much silence. */
  closeUs: 5_000_000,
  /** A packet without SYN belongs to the ended session this long: FINs are sent again with doubling gaps; Linux's TIME_WAIT. */
  lingerUs: 60_000_000,
  /** A long session is published early: first after this time, then at every interval. */
  earlyUs: 10_000_000,
  earlyIntervalUs: 300_000_000,
})
export type SessionTimes = typeof sessionTimes

/** Sessions are looked at again in steps of this: no record is later than that for it. */
const stepUs = 250_000

/** What the table tells while packets and time go by; called in order of the packets. */
export interface SessionListener {
  started: (session: Session) => void
  /** The session is due for a record and stays: it goes on, or it has ended and lingers (then `endReason` is set). */
  due: (session: Session) => void
  /** The session has ended and left the table; `endReason` says how. Whoever keeps it must call its `leaveRows` now. */
  ended: (session: Session) => void
}

const tcp = 6
const flag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const

/** A batch's columns, and what is derived from them. */
interface Batch extends PacketColumns {
  /** Eight words a flow: `flowAddress` as numbers. */
  addresses: Int32Array
  /** By row: the sequence number of a packet with SYN. */
  sequences: Uint32Array
  named: Map<number, FlowName> | null
}

export type SessionTableState = ReturnType<SessionTable['state']>

/** The open sessions of one host. Time comes from the packets; memory grows with what is open. */
export class SessionTable {
  readonly #times: SessionTimes
  readonly #listener: SessionListener
  /** In order of their start. */
  readonly #open = new Set<Session>()
  readonly #tuples = new FiveTupleTable()
  readonly #rows = new SessionRows()
  /** By their number among the 5-tuples. */
  readonly #sessions: (Session | undefined)[] = []
  /** Sessions by the step in which they are looked at again, their `dueStep`. */
  readonly #due = new Map<number, Set<Session>>()
  #sweptStep = Number.NEGATIVE_INFINITY

  constructor(listener: SessionListener, times: SessionTimes = sessionTimes) {
    this.#listener = listener
    this.#times = times
  }

  get size(): number {
    return this.#open.size
  }

  open(): Iterable<Session> {
    return this.#open
  }

  /** Plain data, to be serialized or handed to `restore` of a new table: the open sessions, and when each is due. */
  state() {
    const places = new Map<Session, number>()
    for (const session of this.#open) places.set(session, places.size)
    const due = Array.from(this.#due, ([step, sessions]) => {
      return [step, Array.from(sessions, session => places.get(session)!)] as const
    })
    const open = toSessionColumns(Array.from(this.#open, session => session.state()))
    return { open, due, sweptStep: this.#sweptStep }
  }

  /** Answers with the sessions in the order of `open`. */
  restore({ open, due, sweptStep }: SessionTableState): Session[] {
    const sessions = fromSessionColumns(open).map(state => {
      const words = addressesOf(state.counts)
      const ports = (state.localPort << 16) | state.remotePort
      const entry = this.#tuples.add(words, 0, 4, ports, state.protocol)
      const session = Session.fromState(state, this.#rows, entry)
      this.#open.add(session)
      this.#sessions[entry] = session
      return session
    })
    for (const [step, places] of due) this.#due.set(step, new Set(places.map(place => sessions[place]!)))
    this.#sweptStep = sweptStep
    return sessions
  }

  /** Gathers a batch's packets into sessions; `lost` packets of the sensor mark every session that is open. */
  apply(columns: PacketColumns, lost: number): void {
    if (lost > 0) for (const session of this.#open) session.captureGap = true
    const { rows, ends } = rowsByFlow(columns)
    const batch: Batch = {
      ...columns,
      addresses: new Int32Array(columns.flowAddress.buffer, columns.flowAddress.byteOffset, columns.flows * 8),
      sequences: synSequences(columns),
      named: namesByRow(columns),
    }
    for (let flow = 0, i = 0; flow < columns.flows; flow++) {
      let entry = this.#find(batch, flow)
      for (; i < ends[flow]!; i++) entry = this.#addPacket(batch, flow, rows[i]!, entry)
    }
  }

  /** Counts a packet into the session that its flow has so far (-1 for none), or into a new one; answers with the session's entry. */
  #addPacket(batch: Batch, flow: number, row: number, before: number): number {
    const timeUs = batch.baseUs + batch.packetTime[row]!
    const flags = batch.tcpFlags[row]!
    const isTcp = batch.flowProtocol[flow] === tcp
    const fromRemote = (batch.direction[row]! & directionBits.fromRemote) !== 0
    const sequence = batch.sequences[row]!
    let entry = before
    if (entry >= 0 && this.#isOver(entry, isTcp, timeUs, flags, sequence, fromRemote)) {
      const silentUs = timeUs - this.#rows.get(entry, word.lastUs)
      this.#end(entry, this.#rows.endReason(entry) ?? (silentUs >= this.#idleUs(isTcp) ? 'idle' : 'reuse'))
      entry = -1
    }
    if (entry < 0) entry = this.#start(batch, flow, timeUs, fromRemote)
    this.#rows.addPacket(entry, timeUs, batch.ipLength[row]!, flags, fromRemote)
    if (isTcp && flags & (flag.syn | flag.fin | flag.rst)) this.#follow(entry, flags, sequence, fromRemote)
    if (this.#rows.get(entry, word.endReason) !== 0) this.#schedule(this.#sessions[entry]!)
    const name = batch.named?.get(row)
    if (name) this.#sessions[entry]!.nameSeen(name)
    return entry
  }

  /** Lets time go on to `nowUs`: ends what was silent too long, tells what is due for an early record. */
  advance(nowUs: number): void {
    const step = Math.floor(nowUs / stepUs)
    if (step === this.#sweptStep) return
    this.#sweptStep = step
    for (const [bucket, sessions] of this.#due) {
      if (bucket >= step) continue
      this.#due.delete(bucket)
      for (const session of sessions) this.#look(session, nowUs)
    }
  }

  /**
   * The input is over: ends the `most` sessions that began first, as far as they had not ended by themselves. Tells whether
   * there are more.
   */
  finish(most: number): boolean {
    for (const session of this.#open) {
      if (most-- === 0) return true
      this.#end(session.entry, session.endReason ?? 'shutdown')
    }
    this.#due.clear()
    return false
  }

  #look(session: Session, nowUs: number): void {
    const { entry } = session
    if (nowUs >= this.#silentUs(entry, session.protocol === tcp)) {
      this.#end(entry, session.endReason ?? 'idle')
      return
    }
    if (nowUs >= this.#recordUs(entry)) {
      this.#rows.set(entry, word.publishedUs, nowUs)
      this.#listener.due(session)
    }
    this.#schedule(session)
  }

  /** When the session will have been silent for too long. */
  #silentUs(entry: number, isTcp: boolean): number {
    return this.#rows.silentUs(entry, this.#idleUs(isTcp), this.#times.lingerUs)
  }

  /** When the next record is due: early ones while the session goes on, one when it has ended and no packet came since. */
  #recordUs(entry: number): number {
    const { closeUs, earlyUs, earlyIntervalUs } = this.#times
    const publishedUs = this.#rows.get(entry, word.publishedUs)
    if (this.#rows.get(entry, word.endReason) !== 0) {
      const lastUs = this.#rows.get(entry, word.lastUs)
      return publishedUs > lastUs ? Number.POSITIVE_INFINITY : lastUs + closeUs
    }
    return publishedUs === 0 ? this.#rows.get(entry, word.firstUs) + earlyUs : publishedUs + earlyIntervalUs
  }

  #schedule(session: Session): void {
    const { entry } = session
    const nextUs = Math.min(this.#silentUs(entry, session.protocol === tcp), this.#recordUs(entry))
    const step = Math.floor(nextUs / stepUs)
    if (step === session.dueStep) return
    this.#due.get(session.dueStep)?.delete(session)
    session.dueStep = step
    const bucket = this.#due.get(step)
    if (bucket) bucket.add(session)
    else this.#due.set(step, new Set([session]))
  }

  /** The entry of a flow's session; -1 for none. */
  #find({ flowProtocol, flowPort, addresses }: Batch, flow: number): number {
    return this.#tuples.find(addresses, flow * 8, flow * 8 + 4, portsOf(flowPort, flow), flowProtocol[flow]!)
  }

  #start(columns: Batch, flow: number, timeUs: number, fromRemote: boolean): number {
    const { flowProtocol, flowPort, addresses } = columns
    const entry = this.#tuples.add(addresses, flow * 8, flow * 8 + 4, portsOf(flowPort, flow), flowProtocol[flow]!)
    this.#rows.begin(entry, timeUs, columns.flowAddress, flow * 32)
    const session = new Session(
      this.#rows,
      entry,
      columns.flowProtocol[flow]!,
      columns.flowPort[flow * 2]!,
      columns.flowPort[flow * 2 + 1]!,
      fromRemote,
    )
    if (columns.flowVlan[flow] !== none) session.vlan = columns.flowVlan[flow]!
    session.tunnel = columns.tunnels[columns.flowTunnel[flow]!] ?? null
    const peer = columns.peers[columns.flowPeer[flow]!]
    if (peer !== undefined) session.peerSessionId = session.sessionId(peer)
    this.#open.add(session)
    this.#sessions[entry] = session
    this.#schedule(session)
    this.#listener.started(session)
    return entry
  }

  #end(entry: number, reason: EndReason): void {
    const session = this.#sessions[entry]!
    this.#rows.end(entry, reason)
    this.#open.delete(session)
    this.#due.get(session.dueStep)?.delete(session)
    this.#tuples.remove(entry)
    this.#sessions[entry] = undefined
    this.#listener.ended(session)
  }

  /** Whether this packet no longer belongs to the session: silence, or a connection opened anew on the same 5-tuple. */
  #isOver(
    entry: number,
    isTcp: boolean,
    timeUs: number,
    flags: number,
    sequence: number,
    fromRemote: boolean,
  ): boolean {
    if (timeUs >= this.#silentUs(entry, isTcp)) return true
    if ((flags & (flag.syn | flag.ack)) !== flag.syn || !isTcp) return false
    const earlier = this.#rows.get(entry, fromRemote ? word.synIn : word.synOut)
    if (earlier >= 0) return earlier !== sequence
    // A SYN that is older than what was seen after it came late: it opened this session.
    return this.#rows.get(entry, word.endReason) !== 0 && timeUs > this.#rows.get(entry, word.lastUs)
  }

  #follow(entry: number, flags: number, sequence: number, fromRemote: boolean): void {
    const rows = this.#rows
    if (flags & flag.syn) {
      rows.set(entry, fromRemote ? word.synIn : word.synOut, sequence)
      this.#sessions[entry]!.openedBy(fromRemote === ((flags & flag.ack) !== 0))
    }
    if (flags & flag.fin) rows.set(entry, word.finished, rows.get(entry, word.finished) | (fromRemote ? 2 : 1))
    if (rows.get(entry, word.endReason) !== 0) return
    if (flags & flag.rst) rows.end(entry, 'rst')
    else if (rows.get(entry, word.finished) === 3) rows.end(entry, 'fin')
  }

  #idleUs(isTcp: boolean): number {
    return isTcp ? this.#times.tcpIdleUs : this.#times.otherIdleUs
  }
}

/**
 * The rows of a batch flow by flow, in their order within each; `ends` says where each flow's rows end. What is done for
 * one session comes together that way, while the processor's caches still hold the session.
 */
function rowsByFlow({ flows, packets, packetFlow }: PacketColumns): { rows: Uint16Array; ends: Uint16Array } {
  const rows = new Uint16Array(packets)
  const ends = new Uint16Array(flows)
  for (let row = 0; row < packets; row++) ends[packetFlow[row]!]!++
  for (let flow = 0, start = 0; flow < flows; flow++) {
    start += ends[flow]!
    ends[flow] = start - ends[flow]!
  }
  for (let row = 0; row < packets; row++) rows[ends[packetFlow[row]!]!++] = row
  return { rows, ends }
}

/** By row: the sequence number of a packet with SYN. */
function synSequences({ packets, tcpFlags, synSequence }: PacketColumns): Uint32Array {
  const sequences = new Uint32Array(packets)
  for (let row = 0, syn = 0; row < packets; row++) if (tcpFlags[row]! & flag.syn) sequences[row] = synSequence[syn++]!
  return sequences
}

function namesByRow(columns: PacketColumns): Map<number, FlowName> | null {
  return columns.names.length === 0 ? null : new Map(columns.names.map(name => [name.packet, name]))
}

/** Both ports of a flow in one word, the local one first. */
const portsOf = (flowPort: Uint16Array, flow: number): number => (flowPort[flow * 2]! << 16) | flowPort[flow * 2 + 1]!
