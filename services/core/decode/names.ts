import { type DnsAnswer, dnsAnswers, parseDns } from './dns.ts'
import { DnsStream } from './dns-stream.ts'
import { ja4 } from './ja4.ts'
import type { Packet } from './packet.ts'
import { mayBeQuic } from './quic.ts'
import { QuicFlow } from './quic-flow.ts'
import { type ClientHello, findClientHello } from './tls.ts'
import { TlsSearch } from './tls-search.ts'

/** What a packet told about the name behind its flow. */
export type WireName =
  | {
      kind: 'tls' | 'quic'
      sni: string | null
      /** Protocols offered, in the client's order; empty where it offered none. */
      alpn: readonly string[]
      /** Null where the capture cut the ClientHello short. */
      ja4: string | null
      ech: boolean
    }
  /** Answers to the receiver of the packet; to everybody where that is a multicast address (mDNS). */
  | { kind: 'dns'; answers: readonly DnsAnswer[] }

/** Bounds of all reassembly. Time is event time. */
export interface NameLimits {
  /** Buffer for one direction of a flow. */
  bytesPerFlow: number
  /** Buffers of all flows together; the oldest ones go first. */
  totalBytes: number
  /** Flow directions with a buffer at the same time; the oldest ones go first. */
  flows: number
  /** A name that has not come together after this time is given up. */
  maxAgeUs: number
  /** A TCP flow that has shown no ClientHello is left alone after so many payload bytes; a segment counts 16 more. */
  tcpBytesLooked: number
  /** A UDP flow that has shown no QUIC is left alone after so many datagrams. */
  udpDatagramsLooked: number
}

export const defaultNameLimits: Readonly<NameLimits> = Object.freeze({
  bytesPerFlow: 128 * 1024,
  totalBytes: 64 * 1024 * 1024,
  flows: 8192,
  maxAgeUs: 30_000_000,
  tcpBytesLooked: 64 * 1024,
  udpDatagramsLooked: 32,
})

export interface NameStatistics {
  /** Flow directions with a buffer now, and the bytes of these buffers. */
  flows: number
  bytes: number
  /** Buffers dropped before a name was whole, by the bound that was reached. */
  dropped: { flowBytes: number; totalBytes: number; flows: number; age: number; failedPackets: number }
}

/** How far the search in a flow has come that holds no bytes of it. */
export interface NameProgress {
  /** It needs no more looking. */
  decided: boolean
  /** TCP bytes or UDP datagrams looked at. */
  looked: number
  /** TCP: the sequence number expected next from the low and from the high end; null where it is not known. */
  nextLow: number | null
  nextHigh: number | null
}

const TCP = 6
const UDP = 17
const SYN = 2
/** What a segment adds to the bytes looked at, besides its payload. */
const SEGMENT_COST = 16
/** Of a flow whose SYN was not seen, so many bytes are kept in case the beginning of a ClientHello comes after them. */
const KEPT_WITHOUT_SYN = 4 * 1024

/** State of a flow direction: `next` holds the sequence number expected; a buffer is in `held`. */
const POSITION_KNOWN = 1
const HELD = 2

type Held = TlsSearch | QuicFlow | DnsStream

/**
 * Finds the names in the packets of many flows: TLS ClientHello, QUIC Initial, DNS answers. A flow is a small integer of
 * the caller's choice; what is kept of an ordinary flow is a few bytes in tables, and buffers exist only for the few
 * flows whose ClientHello is in pieces at the moment.
 *
 * A ClientHello is looked for at the beginning of each TCP segment, not only of the stream, so that the protocols that
 * turn to TLS later (STARTTLS, CONNECT, SOCKS, SSLRequest) need no parser of their own.
 */
export class WireNames {
  private readonly limits: NameLimits
  /** By flow: 1 once it needs no more looking; TCP bytes or UDP datagrams looked at. */
  private decided = new Uint8Array(1024)
  private looked = new Uint32Array(1024)
  /** By flow direction, 2 * flow + (from the low end ? 0 : 1). */
  private sides = new Uint8Array(2048)
  private next = new Uint32Array(2048)
  private readonly held = new Map<number, Held>()
  private heldBytes = 0
  private readonly dropped = { flowBytes: 0, totalBytes: 0, flows: 0, age: 0, failedPackets: 0 }

  constructor(limits: Partial<NameLimits> = {}) {
    this.limits = { ...defaultNameLimits, ...limits }
  }

  /** False once observing this flow cannot bring anything new. */
  wants(flow: number): boolean {
    return flow >= this.decided.length || this.decided[flow] === 0
  }

  /**
   * Looks at a packet of a flow that is still wanted: TCP with payload or SYN flag, UDP with payload. `data` holds the
   * frame, `fromLow` says which end sent it. Answers with what this packet completed, mostly null.
   */
  observe(packet: Packet, data: Uint8Array, flow: number, fromLow: boolean): WireName | null {
    if (packet.laterFragment) return null
    if (flow >= this.decided.length) this.grow(flow)
    if (packet.protocol === TCP) return this.observeTcp(packet, data, flow, 2 * flow + (fromLow ? 0 : 1))
    if (packet.protocol === UDP && packet.payloadCaptured > 0) return this.observeUdp(packet, data, flow)
    return null
  }

  /** Null while bytes of the flow are held: then only this object can go on with it. */
  progress(flow: number): NameProgress | null {
    if (flow >= this.decided.length) return { decided: false, looked: 0, nextLow: null, nextHigh: null }
    const next = (side: number) => ((this.sides[side]! & POSITION_KNOWN) === 0 ? null : this.next[side]!)
    const isHeld = ((this.sides[2 * flow]! | this.sides[2 * flow + 1]!) & HELD) !== 0
    if (isHeld) return null
    const decided = this.decided[flow] === 1
    return { decided, looked: this.looked[flow]!, nextLow: next(2 * flow), nextHigh: next(2 * flow + 1) }
  }

  /** Goes on with a flow where somebody else, who kept the same account, left off. */
  resume(flow: number, { decided, looked, nextLow, nextHigh }: NameProgress): void {
    if (flow >= this.decided.length) this.grow(flow)
    this.release(flow)
    this.decided[flow] = decided ? 1 : 0
    this.looked[flow] = looked
    for (const [side, next] of [
      [2 * flow, nextLow],
      [2 * flow + 1, nextHigh],
    ] as const) {
      this.next[side] = next ?? 0
      this.sides[side] = next === null ? 0 : POSITION_KNOWN
    }
  }

  /** Forgets a flow; its number may be used for another one. */
  release(flow: number): void {
    if (flow >= this.decided.length) return
    this.letGo(2 * flow)
    this.letGo(2 * flow + 1)
    this.decided[flow] = 0
    this.looked[flow] = 0
    this.sides[2 * flow] = 0
    this.sides[2 * flow + 1] = 0
  }

  /** Gives up what has been in pieces for too long; to be called now and then with the event time. */
  expire(nowUs: number): void {
    for (const [side, held] of this.held) {
      // The map is in order of insertion, and event time rarely runs backwards.
      if (nowUs - held.sinceUs <= this.limits.maxAgeUs) return
      this.letGo(side)
      this.dropped.age++
    }
  }

  statistics(): NameStatistics {
    return { flows: this.held.size, bytes: this.heldBytes, dropped: { ...this.dropped } }
  }

  private observeTcp(packet: Packet, data: Uint8Array, flow: number, side: number): WireName | null {
    let sequence = packet.tcpSequence
    if ((packet.tcpFlags & SYN) !== 0) {
      sequence = (sequence + 1) >>> 0
      this.letGo(side)
      this.next[side] = sequence
      this.sides[side]! |= POSITION_KNOWN
    }
    const from = packet.payloadOffset
    const to = from + packet.payloadCaptured
    if (from === to) return null
    if (isDnsPort(packet.sourcePort)) return this.observeDnsStream(sequence, data, from, to, side, packet.timeUs)
    if (isDnsPort(packet.destinationPort)) return null
    return this.findHello(packet, sequence, data, flow, side)
  }

  private findHello(packet: Packet, sequence: number, data: Uint8Array, flow: number, side: number): WireName | null {
    const from = packet.payloadOffset
    const to = from + packet.payloadCaptured
    const cut = packet.payloadCaptured < packet.payloadLength
    let search = (this.sides[side]! & HELD) === 0 ? undefined : (this.held.get(side) as TlsSearch)
    const looked = this.looked[flow]! + to - from + SEGMENT_COST
    this.looked[flow] = looked
    if (looked > this.limits.tcpBytesLooked && !(search?.promising && looked <= 2 * this.limits.bytesPerFlow)) {
      this.decide(flow)
      return null
    }
    if (search === undefined) {
      const known = (this.sides[side]! & POSITION_KNOWN) !== 0
      // Bytes missing before this segment; negative: bytes of it that have been seen before.
      const missing = known ? (sequence - this.next[side]!) | 0 : 0
      if (missing > 0) {
        search = this.hold(side, new TlsSearch(this.next[side]!, this.limits.bytesPerFlow, packet.timeUs))
        search.expectAt(this.next[side]!)
      } else {
        let found = findClientHello(data, from, to, cut)
        let start = sequence
        if (found === -1 && missing < 0 && from - missing < to) {
          found = findClientHello(data, from - missing, to, cut)
          start = this.next[side]!
        }
        if (typeof found === 'object') return this.decideHello(flow, found, 'tls')
        // Not at the expense of flows that are known to need their buffers.
        const keeps = !known && looked <= KEPT_WITHOUT_SYN && this.held.size < this.limits.flows / 2
        if (found > 0 || keeps) {
          search = this.hold(side, new TlsSearch(sequence, this.limits.bytesPerFlow, packet.timeUs))
          if (found > 0) search.expectAt(start)
        } else {
          if (missing + to - from > 0) this.next[side] = sequence + packet.payloadLength
          this.sides[side]! |= POSITION_KNOWN
          return null
        }
      }
    }
    const before = search.bytes
    const found = search.add(sequence, data, from, to, cut)
    this.account(search.bytes - before)
    if (found === 'full') {
      this.dropped.flowBytes++
      this.letGo(side)
      this.next[side] = sequence + packet.payloadLength
      this.sides[side]! |= POSITION_KNOWN
    } else if (found !== null) return this.decideHello(flow, found, 'tls')
    else if (search.done && ((this.sides[side]! & POSITION_KNOWN) !== 0 || looked > KEPT_WITHOUT_SYN)) {
      this.next[side] = search.next
      this.sides[side]! |= POSITION_KNOWN
      this.letGo(side)
    }
    return null
  }

  private observeUdp(packet: Packet, data: Uint8Array, flow: number): WireName | null {
    const from = packet.payloadOffset
    const to = from + packet.payloadCaptured
    if (isDnsPort(packet.sourcePort)) {
      const isResponse = to - from > 2 && data[from + 2]! >= 0x80
      return isResponse ? dnsName([data.subarray(from, to)]) : null
    }
    if (isDnsPort(packet.destinationPort)) return null
    const looked = this.looked[flow]! + 1
    this.looked[flow] = looked
    const key = 2 * flow
    if (!mayBeQuic(data, from, to)) {
      if (looked > this.limits.udpDatagramsLooked) this.decide(flow)
      return null
    }
    const quic =
      (this.sides[key]! & HELD) === 0
        ? this.hold(key, new QuicFlow(this.limits.bytesPerFlow, packet.timeUs))
        : (this.held.get(key) as QuicFlow)
    const before = quic.bytes
    const hello = quic.add(data, from, to)
    this.account(quic.bytes - before)
    if (hello !== null) return this.decideHello(flow, hello, 'quic')
    if (quic.givenUp) {
      this.dropped.failedPackets++
      this.decide(flow)
    }
    return null
  }

  private observeDnsStream(
    sequence: number,
    data: Uint8Array,
    from: number,
    to: number,
    side: number,
    timeUs: number,
  ): WireName | null {
    if ((this.sides[side]! & POSITION_KNOWN) === 0) {
      this.next[side] = sequence
      this.sides[side]! |= POSITION_KNOWN
    }
    const stream =
      (this.sides[side]! & HELD) === 0
        ? this.hold(side, new DnsStream(this.next[side]!, this.limits.bytesPerFlow, timeUs))
        : (this.held.get(side) as DnsStream)
    const before = stream.bytes
    const messages: Uint8Array[] = []
    const sound = stream.add(sequence, data, from, to, bytes => messages.push(bytes))
    this.account(stream.bytes - before)
    if (!sound) {
      this.dropped.flowBytes++
      this.sides[side]! &= ~POSITION_KNOWN
      this.letGo(side)
    } else if (stream.drained) {
      this.next[side] = stream.next
      this.letGo(side)
    }
    return dnsName(messages)
  }

  private decideHello(flow: number, hello: ClientHello, kind: 'tls' | 'quic'): WireName {
    this.decide(flow)
    return {
      kind,
      sni: hello.sni,
      alpn: hello.alpn.map(printable),
      ja4: hello.complete ? ja4(hello, kind === 'quic' ? 'q' : 't') : null,
      ech: hello.ech,
    }
  }

  private decide(flow: number): void {
    this.decided[flow] = 1
    this.letGo(2 * flow)
    this.letGo(2 * flow + 1)
  }

  private hold<T extends Held>(side: number, held: T): T {
    if (this.held.size >= this.limits.flows) {
      this.dropped.flows++
      this.dropOldest()
    }
    this.held.set(side, held)
    this.sides[side]! |= HELD
    return held
  }

  private account(added: number): void {
    this.heldBytes += added
    while (this.heldBytes > this.limits.totalBytes && this.held.size > 1) {
      this.dropped.totalBytes++
      this.dropOldest()
    }
  }

  private dropOldest(): void {
    for (const side of this.held.keys()) {
      this.letGo(side)
      return
    }
  }

  private letGo(side: number): void {
    if ((this.sides[side]! & HELD) === 0) return
    this.heldBytes -= this.held.get(side)!.bytes
    this.held.delete(side)
    this.sides[side]! &= ~HELD
  }

  private grow(flow: number): void {
    const flows = Math.max(flow + 1, 2 * this.decided.length)
    this.decided = extended(this.decided, new Uint8Array(flows))
    this.looked = extended(this.looked, new Uint32Array(flows))
    this.sides = extended(this.sides, new Uint8Array(2 * flows))
    this.next = extended(this.next, new Uint32Array(2 * flows))
  }
}

/** DNS, mDNS (RFC 6762) and LLMNR (RFC 4795). */
function isDnsPort(port: number): boolean {
  return port === 53 || port === 5353 || port === 5355
}

function dnsName(messages: readonly Uint8Array[]): WireName | null {
  const answers: DnsAnswer[] = []
  for (const bytes of messages) {
    const message = parseDns(bytes)
    if (message !== null) answers.push(...dnsAnswers(message))
  }
  return answers.length === 0 ? null : { kind: 'dns', answers }
}

/** Bytes that are not printable ASCII are written \xNN. */
function printable(text: string): string {
  return text.replace(/[^\x21-\x7e]/g, byte => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function extended<T extends Uint8Array | Uint32Array>(from: T, to: T): T {
  to.set(from)
  return to
}
