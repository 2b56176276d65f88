import { directionBits, none, type PacketColumns } from '#schemas'
import { Session } from './session.ts'

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

/** What the table tells while packets and time go by; called in order of the packets. */
export interface SessionListener {
  started: (session: Session) => void
  /** The session is due for a record and stays: it goes on, or it has ended and lingers (then `endReason` is set). */
  due: (session: Session) => void
  /** The session has ended and left the table; `endReason` says how. */
  ended: (session: Session) => void
}

const tcp = 6
const flag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const

/** The open sessions of one host. Time comes from the packets; memory grows with what is open. */
export class SessionTable {
  readonly #times: SessionTimes
  readonly #listener: SessionListener
  readonly #open = new Map<string, Session>()
  /** Sessions by the second in which they are looked at again; an entry whose session has another second by now is stale. */
  readonly #due = new Map<number, Session[]>()
  #sweptSecond = Number.NEGATIVE_INFINITY

  constructor(listener: SessionListener, times: SessionTimes = sessionTimes) {
    this.#listener = listener
    this.#times = times
  }

  get size(): number {
    return this.#open.size
  }

  open(): IterableIterator<Session> {
    return this.#open.values()
  }

  /** Gathers a batch's packets into sessions; `lost` packets of the sensor mark every session that is open. */
  apply(columns: PacketColumns, lost: number): void {
    if (lost > 0) for (const session of this.#open.values()) session.captureGap = true
    const { packetFlow, packetTime, ipLength, tcpFlags, direction, baseUs } = columns
    const keys = new Array<string | undefined>(columns.flows)
    const sessions = new Array<Session | undefined>(columns.flows)
    const named = namesByRow(columns)
    let syn = 0
    for (let row = 0; row < columns.packets; row++) {
      const flow = packetFlow[row]!
      const timeUs = baseUs + packetTime[row]!
      const flags = tcpFlags[row]!
      const fromRemote = (direction[row]! & directionBits.fromRemote) !== 0
      const sequence = flags & flag.syn ? columns.synSequence[syn++]! : -1
      let session = sessions[flow]
      if (session === undefined) {
        keys[flow] = flowKeyOf(columns, flow)
        session = this.#open.get(keys[flow]!)
      }
      if (session !== undefined && this.#isOver(session, timeUs, flags, sequence, fromRemote)) {
        this.#end(session, session.endReason ?? (timeUs - session.lastUs >= this.#idleUs(session) ? 'idle' : 'reuse'))
        session = undefined
      }
      session ??= this.#start(columns, flow, keys[flow]!, timeUs, fromRemote)
      sessions[flow] = session
      session.addPacket(timeUs, ipLength[row]!, flags, fromRemote)
      if (session.protocol === tcp && flags & (flag.syn | flag.fin | flag.rst))
        this.#follow(session, flags, sequence, fromRemote)
      const name = named?.get(row)
      if (name && session.sni === null) {
        session.sni = name.sni
        session.alpn = name.alpn.length > 0 ? name.alpn : null
        session.ja4 = name.ja4
      }
    }
  }

  /** Lets time go on to `nowUs`: ends what was silent too long, tells what is due for an early record. */
  advance(nowUs: number): void {
    const second = Math.floor(nowUs / 1e6)
    if (second === this.#sweptSecond) return
    this.#sweptSecond = second
    for (const [bucket, sessions] of [...this.#due]) {
      if (bucket >= second) continue
      this.#due.delete(bucket)
      for (const session of sessions)
        if (session.dueSecond === bucket && this.#open.get(session.key) === session) this.#look(session, nowUs)
    }
  }

  /** The input is over: ends every session, as far as it had not ended by itself. */
  finish(): void {
    for (const session of [...this.#open.values()]) this.#end(session, session.endReason ?? 'shutdown')
    this.#due.clear()
  }

  #look(session: Session, nowUs: number): void {
    if (nowUs >= this.#silentUs(session)) {
      this.#end(session, session.endReason ?? 'idle')
      return
    }
    if (nowUs >= this.#recordUs(session)) {
      session.publishedUs = nowUs
      this.#listener.due(session)
    }
    this.#schedule(session)
  }

  /** When the session will have been silent for too long. */
  #silentUs(session: Session): number {
    return session.lastUs + (session.endReason === null ? this.#idleUs(session) : this.#times.lingerUs)
  }

  /** When the next record is due: early ones while the session goes on, one when it has ended and no packet came since. */
  #recordUs(session: Session): number {
    const { closeUs, earlyUs, earlyIntervalUs } = this.#times
    if (session.endReason !== null)
      return session.publishedUs > session.lastUs ? Number.POSITIVE_INFINITY : session.lastUs + closeUs
    return session.publishedUs === 0 ? session.firstUs + earlyUs : session.publishedUs + earlyIntervalUs
  }

  #schedule(session: Session): void {
    const second = Math.floor(Math.min(this.#silentUs(session), this.#recordUs(session)) / 1e6)
    session.dueSecond = second
    const bucket = this.#due.get(second)
    if (bucket) bucket.push(session)
    else this.#due.set(second, [session])
  }

  #start(columns: PacketColumns, flow: number, key: string, timeUs: number, fromRemote: boolean): Session {
    const session = new Session(
      key,
      columns.flowAddress.slice(flow * 32, flow * 32 + 32),
      columns.flowProtocol[flow]!,
      columns.flowPort[flow * 2]!,
      columns.flowPort[flow * 2 + 1]!,
      timeUs,
      fromRemote,
    )
    if (columns.flowVlan[flow] !== none) session.vlan = columns.flowVlan[flow]!
    session.tunnel = columns.tunnels[columns.flowTunnel[flow]!] ?? null
    this.#open.set(key, session)
    this.#schedule(session)
    this.#listener.started(session)
    return session
  }

  #end(session: Session, reason: NonNullable<Session['endReason']>): void {
    session.endReason = reason
    this.#open.delete(session.key)
    this.#listener.ended(session)
  }

  /** Whether this packet no longer belongs to the session: silence, or a connection opened anew on the same 5-tuple. */
  #isOver(session: Session, timeUs: number, flags: number, sequence: number, fromRemote: boolean): boolean {
    if (timeUs >= this.#silentUs(session)) return true
    if ((flags & (flag.syn | flag.ack)) !== flag.syn || session.protocol !== tcp) return false
    const earlier = fromRemote ? session.synIn : session.synOut
    return earlier === sequence ? false : earlier >= 0 || session.endReason !== null
  }

  #follow(session: Session, flags: number, sequence: number, fromRemote: boolean): void {
    if (flags & flag.syn) {
      if (fromRemote) session.synIn = sequence
      else session.synOut = sequence
      session.openedBy(fromRemote === ((flags & flag.ack) !== 0))
    }
    if (flags & flag.fin) session.finished |= fromRemote ? 2 : 1
    if (session.endReason !== null) return
    if (flags & flag.rst) session.endReason = 'rst'
    else if (session.finished === 3) session.endReason = 'fin'
    else return
    this.#schedule(session)
  }

  #idleUs(session: Session): number {
    return session.protocol === tcp ? this.#times.tcpIdleUs : this.#times.otherIdleUs
  }
}

function namesByRow(columns: PacketColumns): Map<number, PacketColumns['names'][number]> | null {
  return columns.names.length === 0 ? null : new Map(columns.names.map(name => [name.packet, name]))
}

/** Key of a flow within one host: protocol, addresses and ports as they lie in the columns. */
function flowKeyOf(columns: PacketColumns, flow: number): string {
  const address = Buffer.from(columns.flowAddress.buffer, columns.flowAddress.byteOffset + flow * 32, 32)
  const ports = columns.flowPort[flow * 2]! * 65536 + columns.flowPort[flow * 2 + 1]!
  return `${address.toString('latin1')}${columns.flowProtocol[flow]}:${ports}`
}
