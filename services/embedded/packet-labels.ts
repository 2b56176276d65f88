import ipaddr from 'ipaddr.js'
import { FrameDecoder } from '#core/decode/frame.ts'
import { Packet } from '#core/decode/packet.ts'
import type { LabeledSession } from '#schemas'
import { type PacketNote, type PacketProcess, packetNote } from '../capture/files/write-pcapng.ts'

/** A session as far as its packets need it. */
export interface SessionOfPackets {
  sessionId: string
  revision: number
  firstUs: number
  lastUs: number
  /** Null without a label. */
  process: string | null
  note: PacketNote
}

/** The eight words of both addresses, the ports, the protocol. */
const keyWords = 10
const leastSlots = 1024
const v4Mapped = 0xffff
const ethernet = 1
const none: readonly SessionOfPackets[] = []
const protocols: Record<string, number> = { tcp: 6, udp: 17, icmp: 1 }

/** Tells of which sessions a frame is: one, or two where both ends are monitored hosts. */
export class PacketLabels {
  /** Sessions of each flow, and its key. */
  readonly #flows: { key: Int32Array; sessions: SessionOfPackets[] }[] = []
  /** Open addressing, half empty at least: a flow's key, and its place in `#flows` plus one; 0 for none. */
  #keys = new Int32Array(leastSlots * keyWords)
  #places = new Int32Array(leastSlots)
  readonly #processes = new Map<string, PacketProcess>()
  readonly #decoder = new FrameDecoder(() => {})
  readonly #packet = new Packet()
  readonly #key = new Int32Array(keyWords)
  #hasTunnels = false
  #size = 0
  /** Of the frame last asked for, in its buffer: where its TCP or UDP payload begins, and the bytes captured of it. */
  payloadOffset = 0
  payloadCaptured = 0

  get size(): number {
    return this.#size
  }

  /** A later revision takes the place of an earlier one. */
  add(session: LabeledSession): void {
    if (session.tunnel !== null) this.#hasTunnels = true
    const words = this.#packet.addresses
    wordsOf(session.local_ip, words, 0)
    wordsOf(session.remote_ip, words, 4)
    const protocol = protocols[session.proto] ?? Number(session.proto)
    this.#setKey(protocol, session.local_port, session.remote_port)
    const sessions = this.#sessions() ?? this.#addFlow()
    const found = {
      sessionId: session.session_id,
      revision: session.revision,
      firstUs: session.first_us,
      lastUs: session.last_us,
      process: session.label?.process ?? null,
      note: packetNote(commentOf(session), session.label && this.#process(session.label)),
    }
    const known = sessions.findIndex(({ sessionId }) => sessionId === session.session_id)
    if (known < 0) {
      sessions.push(found)
      this.#size++
    } else if (sessions[known]!.revision <= session.revision) sessions[known] = found
  }

  /** The sessions of the frame `data[begin, end)`; empty for none. Frames come in the order of the capture. */
  find(
    data: Uint8Array,
    begin: number,
    end: number,
    wireLength: number,
    timeUs: number,
    linkType: number,
  ): readonly SessionOfPackets[] {
    if (!this.#readPlain(data, begin, end, linkType)) {
      const packet = this.#packet
      packet.timeUs = timeUs
      packet.wireLength = wireLength
      this.payloadOffset = end
      this.payloadCaptured = 0
      if (this.#decoder.decode(data, begin, end, linkType, packet) !== 'ok') return none
      this.#setKey(packet.protocol, packet.sourcePort, packet.destinationPort)
      this.payloadOffset = packet.payloadOffset
      this.payloadCaptured = packet.payloadCaptured
    }
    const sessions = this.#sessions()
    if (sessions === undefined) return none
    if (sessions.length === 1) return covers(sessions[0]!, timeUs) ? sessions : none
    return sessions.filter(session => covers(session, timeUs))
  }

  /**
   * The key of an unfragmented TCP or UDP packet in IPv4 on Ethernet, as nearly all are, without decoding all of it. False for
   * others, and for UDP where tunnels were seen.
   */
  #readPlain(data: Uint8Array, begin: number, end: number, linkType: number): boolean {
    if (linkType !== ethernet || end - begin < 42) return false
    if (data[begin + 12] !== 0x08 || data[begin + 13] !== 0x00 || data[begin + 14] !== 0x45) return false
    if ((data[begin + 20]! & 0x3f) !== 0 || data[begin + 21] !== 0) return false
    const protocol = data[begin + 23]!
    if (protocol !== 6 && (protocol !== 17 || this.#hasTunnels)) return false
    const ipEnd = begin + 14 + ((data[begin + 16]! << 8) | data[begin + 17]!)
    const headerBytes = protocol === 17 ? 8 : (data[begin + 46]! >> 4) * 4
    const payload = begin + 34 + headerBytes
    if (payload > end || payload > ipEnd) return false
    const words = this.#packet.addresses
    words[0] = words[1] = words[4] = words[5] = 0
    words[2] = words[6] = v4Mapped
    words[3] = word(data, begin + 26)
    words[7] = word(data, begin + 30)
    this.#setKey(protocol, (data[begin + 34]! << 8) | data[begin + 35]!, (data[begin + 36]! << 8) | data[begin + 37]!)
    this.payloadOffset = payload
    this.payloadCaptured = Math.min(end, ipEnd) - payload
    return true
  }

  /** The key of the packet's addresses and these ports, the same for both directions. */
  #setKey(protocol: number, sourcePort: number, destinationPort: number): void {
    const words = this.#packet.addresses
    let order = 0
    for (let i = 0; i < 4 && order === 0; i++) order = words[i]! - words[i + 4]!
    const swap = (order || sourcePort - destinationPort) > 0
    const key = this.#key
    for (let i = 0; i < 8; i++) key[i] = words[swap ? i ^ 4 : i]!
    key[8] = swap ? (destinationPort << 16) | sourcePort : (sourcePort << 16) | destinationPort
    key[9] = protocol
  }

  /** Of the flow with the key. */
  #sessions(): SessionOfPackets[] | undefined {
    const place = this.#places[this.#slot()]!
    return place === 0 ? undefined : this.#flows[place - 1]!.sessions
  }

  /** Where the key is, or would be. */
  #slot(): number {
    const key = this.#key
    const [keys, places] = [this.#keys, this.#places]
    for (let slot = hashOf(key) & (places.length - 1); ; slot = (slot + 1) & (places.length - 1)) {
      if (places[slot] === 0) return slot
      const at = slot * keyWords
      // The addresses' low words, ports and protocol differ most.
      if (keys[at + 3] !== key[3] || keys[at + 7] !== key[7] || keys[at + 8] !== key[8]) continue
      let i = 0
      while (i < keyWords && keys[at + i] === key[i]) i++
      if (i === keyWords) return slot
    }
  }

  #addFlow(): SessionOfPackets[] {
    if (2 * (this.#flows.length + 1) > this.#places.length) this.#grow()
    const flow = { key: this.#key.slice(), sessions: [] }
    this.#flows.push(flow)
    this.#put(this.#flows.length)
    return flow.sessions
  }

  #put(place: number): void {
    const slot = this.#slot()
    this.#keys.set(this.#key, slot * keyWords)
    this.#places[slot] = place
  }

  #grow(): void {
    const added = this.#key.slice()
    const slots = 2 * this.#places.length
    this.#keys = new Int32Array(slots * keyWords)
    this.#places = new Int32Array(slots)
    this.#flows.forEach(({ key }, i) => {
      this.#key.set(key)
      this.#put(i + 1)
    })
    this.#key.set(added)
  }

  #process({ process: name, pid }: { process: string; pid: number | null }): PacketProcess {
    const key = `${pid} ${name}`
    const process = this.#processes.get(key) ?? { name, pid: pid ?? 0 }
    this.#processes.set(key, process)
    return process
  }
}

const covers = ({ firstUs, lastUs }: SessionOfPackets, timeUs: number): boolean => firstUs <= timeUs && timeUs <= lastUs

/** `process=curl pid=4711 stage=A host=desk`; `unknown=too-short` in place of process, pid and stage. */
function commentOf({ label, stage, confidence, unknown_cause, host_id }: LabeledSession): string {
  const parts =
    label === null
      ? { unknown: unknown_cause ?? 'not-monitored' }
      : { process: label.process, pid: label.pid, stage, confidence: confidence?.toFixed(4) ?? null }
  return Object.entries({ ...parts, host: host_id })
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${/[\s"]/.test(String(value)) ? JSON.stringify(value) : value}`)
    .join(' ')
}

const word = (data: Uint8Array, at: number): number =>
  (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!

/** The four words of an address, IPv4 as v4-mapped. */
function wordsOf(ip: string, words: Int32Array, at: number): void {
  const address = ipaddr.parse(ip)
  const v6 = address.kind() === 'ipv4' ? (address as ipaddr.IPv4).toIPv4MappedAddress() : address
  const bytes = Uint8Array.from(v6.toByteArray())
  for (let i = 0; i < 4; i++) words[at + i] = word(bytes, i * 4)
}

/** MurmurHash3's mixing steps. */
function hashOf(key: Int32Array): number {
  let hash = 0
  for (let i = 0; i < keyWords; i++) {
    hash ^= Math.imul(key[i]!, 0xcc9e2d51)
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0x1b873593
  }
  return hash ^ (hash >>> 15)
}
