import { addressText } from '#core/address.ts'
import { FrameDecoder } from '#core/decode/frame.ts'
import type { WireName } from '#core/decode/names.ts'
import { WireNames } from '#core/decode/names.ts'
import { Packet } from '#core/decode/packet.ts'
import { EventClock } from '#core/event-clock.ts'
import { entryWords, ownWords } from '#core/five-tuple-table.ts'
import type { HostDirectory } from '#core/host-directory.ts'
import { sessionTimes } from '#core/session-table.ts'
import { type DnsAnswer, directionBits, type FlowName, type PacketBatch, PacketBatchBuilder } from '#schemas'
import { Duplicates } from './duplicates.ts'
import { FlowTable } from './flow-table.ts'
import { type FrameChunk, HostFrames } from './host-frames.ts'
import type { FrameBlock } from './packet-source.ts'

/** Flows without a packet for this time are forgotten: no name is in the making any more, and a flow that goes on is begun again. */
const flowIdleUs = 60_000_000
const minFlowsBeforeExpiry = 65_536
/** More flows than this at once are a flood: all are begun again, which costs names in the making and some bytes of dictionary. */
const maxFlows = 524_288
const tickUs = 1_000_000

const tcp = 6
const udp = 17
const synFlag = 2
const ackFlag = 16

/** One monitored host's batch in the making. The empty host id stands for packets that concern no monitored host. */
interface HostBatch {
  hostId: string
  builder: PacketBatchBuilder
  /** Which build this is: a flow's index is valid only for the build in which it was given. */
  generation: number
  seq: number
  names: FlowName[]
  dns: DnsAnswer[]
}

/**
 * A flow's route, kept in its entry of the flow table: whose batches its packets go to. For each of its two ends: the number
 * of the batch, `nobody` or `withLow`, the build of that batch in which the flow was added last, and its index there.
 */
const route = { low: ownWords, high: ownWords + 3 } as const
const side = { batch: 0, generation: 1, index: 2 } as const
const nobody = -1
/** Of the high end: the low end is the same host's, or neither is a host's, and the packets are in its batch. */
const withLow = -2
const never = -1

export interface CaptureOptions {
  sensorId: string
  runId: string
  /** Null for a bare capture: every session is reported once, from no host's point of view. */
  hosts: HostDirectory | null
  /** Whether packets that concern no monitored host are reported too, with an empty host id. */
  keepUnmonitored: boolean
  /** The monitored hosts' frames are kept, so many bytes of each at most; null keeps none. */
  snapLength?: number | null
  /**
   * How long after a packet the same one is a copy of it, microseconds: a mirror of both directions delivers some twice. Copies
   * are not counted into batches. Null takes every packet for one of its own.
   */
  duplicateWindowUs?: number | null
}

/** Frames in, per-host packet batches out. What comes out does not depend on which implementation it is. */
export interface PacketCapture {
  /** Capture time so far, microseconds since the epoch; null before the first packet. */
  readonly nowUs: number | null
  /** Frames by what became of them: `ok`, `not-monitored`, `duplicate`, or the decoder's reason; each frame is in exactly one. */
  readonly frames: Readonly<Record<string, number>>
  /** LINKTYPE_ values of the frames that were `unsupported-link-type`. */
  readonly unsupportedLinkTypes: ReadonlySet<number>
  /** Takes a block of frames in and answers with the batches that are complete: full ones, and all of them every second of capture time. */
  add(block: FrameBlock): PacketBatch[]
  /** Time goes on without packets: a live capture's clock, microseconds since the epoch. */
  tick(nowUs: number): PacketBatch[]
  /** Closes every batch; one without packets is the host's tick. */
  flush(): PacketBatch[]
  /** The monitored hosts' frames so far, in whatever order their chunks were complete; a tick or flush completes all. */
  takeFrames(): FrameChunk[]
}

/** The portable capture: decodes, finds the flow and its hosts, fills columns, finds names. */
export class Capture implements PacketCapture {
  readonly #options: CaptureOptions
  readonly #packet = new Packet()
  readonly #decoder = new FrameDecoder(packet => this.#add(packet, null))
  readonly #table = new FlowTable()
  readonly #names = new WireNames()
  readonly #clock = new EventClock()
  /** The version of the directory by which the flows were routed. */
  #routedBy = 0
  readonly #batches: HostBatch[] = []
  readonly #batchOfHost = new Map<string, number>()
  readonly #hostFrames: HostFrames | null
  readonly #duplicates: Duplicates | null
  /** By host id: capture time when the directory first told of it; infinitely long ago for those known before the first frame. */
  readonly #knownUs = new Map<string, number>()
  /** Flows whose session may have begun before the hosts at both ends were known: then their sessions do not begin alike. */
  readonly #inMidst = new Set<number>()
  #ready: PacketBatch[] = []
  #ok = 0
  /** Of the packet that was counted last. */
  #flow = 0
  #expireAtSize = minFlowsBeforeExpiry
  #tickedUs = Number.NEGATIVE_INFINITY
  #hasBegun = false
  readonly frames: Record<string, number> = {}
  readonly unsupportedLinkTypes = new Set<number>()

  constructor(options: CaptureOptions) {
    this.#options = options
    const { duplicateWindowUs = null } = options
    this.#duplicates = duplicateWindowUs === null ? null : new Duplicates(duplicateWindowUs)
    this.#hostFrames = options.snapLength ? new HostFrames(options.snapLength) : null
  }

  get nowUs(): number | null {
    return this.#clock.nowUs
  }

  add(block: FrameBlock): PacketBatch[] {
    this.#followDirectory()
    this.#hasBegun = true
    const before = this.#ok
    for (let i = 0; i < block.count; i++) this.#takeFrame(block, i)
    if (this.#ok > before) this.frames.ok = this.#ok
    if (this.#table.size > this.#expireAtSize) this.#expire()
    const nowUs = this.#clock.nowUs
    if (nowUs !== null && Math.abs(nowUs - this.#tickedUs) >= tickUs) {
      this.#tickedUs = nowUs
      this.#names.expire(nowUs)
      this.#closeAll()
    }
    return this.#take()
  }

  tick(nowUs: number): PacketBatch[] {
    this.#clock.observe(nowUs)
    return this.flush()
  }

  flush(): PacketBatch[] {
    this.#closeAll()
    return this.#take()
  }

  takeFrames(): FrameChunk[] {
    return this.#hostFrames?.take() ?? []
  }

  /** A method of its own, since the compiler looks at calls: the loop around it makes few. */
  #takeFrame(block: FrameBlock, i: number): void {
    const packet = this.#packet
    packet.timeUs = block.timeUs[i]!
    packet.wireLength = block.wireLength[i]!
    this.#clock.observe(packet.timeUs)
    const start = block.offset[i]!
    const end = start + block.captured[i]!
    const reason = this.#decoder.decode(block.data, start, end, block.linkType[i]!, packet)
    const isRepeated = (reason === 'ok' || reason === 'fragment-held') && this.#isRepeated(block.data, end)
    if (isRepeated && reason === 'fragment-held') this.#decoder.forgetHeld()
    const fate = isRepeated ? 'duplicate' : reason !== 'ok' ? reason : this.#add(packet, block.data)
    if (this.#hostFrames !== null) this.#keepFrame(this.#hostFrames, fate, block, i)
    if (fate === 'ok') this.#ok++
    else {
      this.frames[fate] = (this.frames[fate] ?? 0) + 1
      if (fate === 'unsupported-link-type') this.unsupportedLinkTypes.add(block.linkType[i]!)
    }
  }

  /** Whether the packet at hand, whose frame ends at `end`, is a copy of one before. */
  #isRepeated(data: Uint8Array, end: number): boolean {
    if (this.#duplicates === null) return false
    const { ipOffset, ipLength, timeUs } = this.#packet
    return this.#duplicates.isRepeated(data, ipOffset, Math.min(end, ipOffset + ipLength), timeUs)
  }

  #closeAll(): void {
    for (const batch of this.#batches) this.#close(batch)
    this.#hostFrames?.flush()
  }

  /** Keeps the frame for the hosts of its flow; for a fragment that waits for its flow, for those at its addresses. */
  #keepFrame(hostFrames: HostFrames, fate: string, block: FrameBlock, i: number): void {
    const hosts: (string | null | undefined)[] = []
    if (fate === 'ok') {
      const { entries } = this.#table
      const at = this.#flow * entryWords
      for (const end of [route.low, route.high]) hosts.push(this.#batches[entries[at + end]!]?.hostId)
    } else if (fate === 'fragment-held') {
      const { addresses, timeUs } = this.#packet
      for (const end of [0, 4]) hosts.push(this.#options.hosts?.hostOf(wordsText(addresses, end), timeUs))
    }
    const frame = block.data.subarray(block.offset[i]!, block.offset[i]! + block.captured[i]!)
    for (const hostId of new Set(hosts))
      if (hostId) hostFrames.add(hostId, block.linkType[i]!, block.timeUs[i]!, frame, block.wireLength[i]!)
  }

  /** Counts a decoded packet into the batches of its hosts. `data` is null for a fragment that had to wait: it carries no names. */
  #add(packet: Packet, data: Uint8Array | null): 'ok' | 'not-monitored' {
    const flow = this.#table.find(packet)
    this.#flow = flow
    const { fromLow } = this.#table
    if (this.#table.isNew) this.#route(flow, packet.timeUs, true)
    const { entries } = this.#table
    const at = flow * entryWords
    const low = entries[at + route.low]!
    const high = entries[at + route.high]!
    if (low < 0 && high < 0) return 'not-monitored'
    const lowBatch = low < 0 ? null : this.#batches[low]!
    const highBatch = high < 0 ? null : this.#batches[high]!
    const arePeers = lowBatch !== null && highBatch !== null && this.#beganTogether(flow, packet, lowBatch, highBatch)
    if (lowBatch) this.#append(lowBatch, at, route.low, packet, fromLow, arePeers ? highBatch.hostId : null)
    if (highBatch) this.#append(highBatch, at, route.high, packet, !fromLow, arePeers ? lowBatch.hostId : null)
    if (data !== null && this.#names.wants(flow) && mayCarryName(packet)) {
      const name = this.#names.observe(packet, data, flow, fromLow)
      if (name) this.#record(low, high, name, fromLow)
    }
    return 'ok'
  }

  /**
   * Whether the sessions that a flow's two hosts have at this packet began with the same packet: each has an id of the
   * other's only then. Where one host was announced later, the next session is the first of which that is so.
   */
  #beganTogether(flow: number, packet: Packet, low: HostBatch, high: HostBatch): boolean {
    const { isNew, beforeUs, entries } = this.#table
    if (!isNew && !this.#inMidst.has(flow)) return true
    // An address of a monitored network was always known.
    const [lowUs, highUs] = [low, high].map(({ hostId }) => this.#knownUs.get(hostId) ?? Number.NEGATIVE_INFINITY)
    const knownUs = Math.max(lowUs!, highUs!)
    const isTcp = packet.protocol === tcp
    const opens = isNew && isTcp && (packet.tcpFlags & (synFlag | ackFlag)) === synFlag
    const idleUs = isTcp ? sessionTimes.tcpIdleUs : sessionTimes.otherIdleUs
    if (!opens && packet.timeUs - (isNew ? knownUs : beforeUs) < idleUs) {
      this.#inMidst.add(flow)
      return false
    }
    if (this.#inMidst.delete(flow)) this.#placeAnew(entries, flow * entryWords)
    return true
  }

  /** Counts a packet into the batch of one of its flow's ends; `at` is the flow's entry. */
  #append(batch: HostBatch, at: number, end: number, packet: Packet, fromLocal: boolean, peer: string | null): void {
    const { builder } = batch
    const { entries } = this.#table
    if (!builder.accepts(packet.timeUs)) this.#close(batch)
    if (entries[at + end + side.generation] !== batch.generation) {
      const ports = entries[at + 8]!
      const isLow = end === route.low
      entries[at + end + side.generation] = batch.generation
      entries[at + end + side.index] = builder.addFlow(
        entries,
        isLow ? at : at + 4,
        isLow ? at + 4 : at,
        isLow ? ports >>> 16 : ports & 0xffff,
        isLow ? ports & 0xffff : ports >>> 16,
        packet.protocol,
        packet.vlan,
        packet.tunnel,
        peer,
      )
    }
    builder.addPacket(
      entries[at + end + side.index]!,
      packet.timeUs,
      packet.wireLength,
      packet.ipLength,
      packet.payloadLength,
      packet.tcpFlags,
      (fromLocal ? 0 : directionBits.fromRemote) | (packet.laterFragment ? directionBits.laterFragment : 0),
      packet.tcpSequence,
    )
  }

  /** A name rides with the packet that completed it; DNS answers go to the host that received them. */
  #record(low: number, high: number, name: WireName, fromLow: boolean): void {
    const ends = [this.#batches[low], this.#batches[high]] as const
    if (name.kind === 'dns') {
      const batch = fromLow && high !== withLow ? ends[1] : ends[0]
      for (const { name: dnsName, address, ttlSeconds } of name.answers)
        batch?.dns.push({ packet: batch.builder.packets - 1, name: dnsName, ip: address, ttl_s: ttlSeconds })
      return
    }
    for (const batch of ends)
      batch?.names.push({ packet: batch.builder.packets - 1, sni: name.sni, alpn: name.alpn.toSorted(), ja4: name.ja4 })
  }

  /** Routes every flow anew when a host's addresses have changed. */
  #followDirectory(): void {
    const { hosts } = this.#options
    if (hosts === null || hosts.version === this.#routedBy) return
    this.#routedBy = hosts.version
    const nowUs = this.#clock.nowUs ?? 0
    const knownUs = this.#hasBegun ? nowUs : Number.NEGATIVE_INFINITY
    for (const { hostId } of hosts.spans()) if (!this.#knownUs.has(hostId)) this.#knownUs.set(hostId, knownUs)
    this.#table.forEach(flow => {
      if (this.#route(flow, nowUs, false)) this.#inMidst.add(flow)
    })
  }

  /** Sets where a flow's packets go, and tells whether that has changed; if not, it keeps its place in the batches. */
  #route(flow: number, timeUs: number, isNew: boolean): boolean {
    const { hosts, keepUnmonitored } = this.#options
    const { entries } = this.#table
    const at = flow * entryWords
    const hostOf = (end: 0 | 4) => hosts?.hostOf(wordsText(entries, at + end), timeUs) ?? null
    const lowHost = hostOf(0)
    const highHost = hostOf(4)
    const isKept = hosts === null || keepUnmonitored
    const unmonitored = lowHost === null && highHost === null && isKept ? this.#batchOf('') : nobody
    const low = lowHost === null ? unmonitored : this.#batchOf(lowHost)
    const high = highHost === lowHost ? withLow : highHost === null ? nobody : this.#batchOf(highHost)
    if (!isNew && entries[at + route.low] === low && entries[at + route.high] === high) return false
    entries[at + route.low + side.batch] = low
    entries[at + route.high + side.batch] = high
    this.#placeAnew(entries, at)
    return true
  }

  /** The flow is to be added again to the batches it goes to. */
  #placeAnew(entries: Int32Array, at: number): void {
    entries[at + route.low + side.generation] = never
    entries[at + route.high + side.generation] = never
  }

  #batchOf(hostId: string): number {
    let number = this.#batchOfHost.get(hostId)
    if (number === undefined) {
      const batch = { hostId, builder: new PacketBatchBuilder(), generation: 0, seq: 0, names: [], dns: [] }
      number = this.#batches.push(batch) - 1
      this.#batchOfHost.set(hostId, number)
    }
    return number
  }

  #close(batch: HostBatch): void {
    const { sensorId, runId } = this.#options
    this.#ready.push(
      batch.builder.build({
        host_id: batch.hostId,
        sensor_id: sensorId,
        run_id: runId,
        seq: batch.seq++,
        until_us: this.#clock.nowUs ?? 0,
        lost: 0,
        names: batch.names,
        dns: batch.dns,
      }),
    )
    batch.names = []
    batch.dns = []
    batch.generation++
  }

  #take(): PacketBatch[] {
    const ready = this.#ready
    this.#ready = []
    return ready
  }

  #expire(): void {
    const nowUs = this.#clock.nowUs
    if (nowUs === null) return
    const forget = (flow: number) => {
      this.#inMidst.delete(flow)
      this.#names.release(flow)
    }
    this.#table.expire(nowUs - flowIdleUs, forget)
    if (this.#table.size > maxFlows) this.#table.expire(Number.MAX_VALUE, forget)
    this.#expireAtSize = Math.min(Math.max(minFlowsBeforeExpiry, this.#table.size * 2), maxFlows)
  }
}

/** TCP with payload or SYN, UDP with payload: what WireNames looks at. */
const mayCarryName = (packet: Packet): boolean =>
  packet.protocol === tcp
    ? packet.payloadCaptured > 0 || (packet.tcpFlags & synFlag) !== 0
    : packet.protocol === udp && packet.payloadCaptured > 0

const wordsText = (words: Int32Array, at: number): string => {
  const bytes = Buffer.alloc(16)
  for (let i = 0; i < 4; i++) bytes.writeInt32BE(words[at + i]!, i * 4)
  return addressText(bytes, 0)
}
