import { Packet, type Tunnel } from './packet.ts'

/** Longer than any sender's reassembly timer (RFC 8200 section 4.5 says 60 s). */
const LIFETIME_US = 60_000_000
const MAX_KNOWN = 8192
const MAX_HELD = 4096

/** What a first fragment tells about the later ones: their session, or that they are part of a tunnelled packet. */
interface First {
  timeUs: number
  insideTunnel: boolean
  protocol: number
  sourcePort: number
  destinationPort: number
  tunnel: Tunnel | null
}

interface Held {
  timeUs: number
  packets: Packet[]
}

/**
 * Joins later IP fragments, which have no ports, to the session of their first one. Later fragments that come before
 * their first are held, as summaries without their bytes. Both tables are bounded in number and in event time; a Map
 * keeps its order of insertion, so the oldest is at its front.
 */
export class Fragments {
  private readonly firsts = new Map<string, First>()
  private readonly held = new Map<string, Held>()
  private heldCount = 0
  private lastHeldKey = ''
  private lostCount = 0
  private readonly onReleased: (packet: Packet) => void

  constructor(onReleased: (packet: Packet) => void) {
    this.onReleased = onReleased
  }

  /** Later fragments whose first never came, or came too late; those still held count too. */
  get withoutFirst(): number {
    return this.lostCount + this.heldCount
  }

  /** Learns from a first fragment, and hands out those that waited for it. */
  learn(key: string, insideTunnel: boolean, packet: Packet): void {
    this.expire(packet.timeUs)
    const first: First = {
      timeUs: packet.timeUs,
      insideTunnel,
      protocol: packet.protocol,
      sourcePort: packet.sourcePort,
      destinationPort: packet.destinationPort,
      tunnel: packet.tunnel,
    }
    this.firsts.delete(key)
    this.firsts.set(key, first)
    if (this.firsts.size > MAX_KNOWN) this.firsts.delete(this.firsts.keys().next().value!)

    const waiting = this.held.get(key)
    if (waiting === undefined) return
    this.held.delete(key)
    this.heldCount -= waiting.packets.length
    if (insideTunnel) return
    for (const later of waiting.packets) {
      fillPorts(later, first)
      this.onReleased(later)
    }
  }

  knowsSession(key: string): boolean {
    return this.firsts.get(key)?.insideTunnel === false
  }

  /** Fills in the ports of a later fragment; else says what became of it. */
  join(key: string, packet: Packet): 'ok' | 'tunnel-fragment' | 'fragment-held' {
    this.expire(packet.timeUs)
    const first = this.firsts.get(key)
    if (first === undefined) {
      this.hold(key, packet)
      return 'fragment-held'
    }
    if (first.insideTunnel) return 'tunnel-fragment'
    fillPorts(packet, first)
    return 'ok'
  }

  private hold(key: string, packet: Packet): void {
    if (this.heldCount >= MAX_HELD) this.dropOldestHeld()
    let waiting = this.held.get(key)
    if (waiting === undefined) {
      waiting = { timeUs: packet.timeUs, packets: [] }
      this.held.set(key, waiting)
    }
    waiting.packets.push(copyOf(packet))
    this.heldCount++
    this.lastHeldKey = key
  }

  /** The fragment that `join` has just held is a copy of one before, and not to be counted. */
  forgetLastHeld(): void {
    const waiting = this.held.get(this.lastHeldKey)!
    waiting.packets.pop()
    this.heldCount--
    if (waiting.packets.length === 0) this.held.delete(this.lastHeldKey)
  }

  private expire(nowUs: number): void {
    for (const [key, first] of this.firsts) {
      if (Math.abs(nowUs - first.timeUs) <= LIFETIME_US) break
      this.firsts.delete(key)
    }
    for (const waiting of this.held.values()) {
      if (Math.abs(nowUs - waiting.timeUs) <= LIFETIME_US) break
      this.dropOldestHeld()
    }
  }

  private dropOldestHeld(): void {
    const [key, waiting] = this.held.entries().next().value!
    this.held.delete(key)
    this.heldCount -= waiting.packets.length
    this.lostCount += waiting.packets.length
  }
}

function fillPorts(later: Packet, first: First): void {
  later.protocol = first.protocol
  later.sourcePort = first.sourcePort
  later.destinationPort = first.destinationPort
  later.tunnel = first.tunnel
}

/** Without the payload's place: the frame's buffer is gone when the copy is used. */
function copyOf(packet: Packet): Packet {
  const copy = new Packet()
  Object.assign(copy, packet, { addresses: packet.addresses.slice(), payloadOffset: 0, payloadCaptured: 0 })
  return copy
}
