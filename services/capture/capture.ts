import { addressText } from '#core/address.ts'
import { FrameDecoder } from '#core/decode/frame.ts'
import type { WireName } from '#core/decode/names.ts'
import { WireNames } from '#core/decode/names.ts'
import { Packet } from '#core/decode/packet.ts'
import { EventClock } from '#core/event-clock.ts'
import { keyWords } from '#core/five-tuple-table.ts'
import type { HostDirectory } from '#core/host-directory.ts'
import { type DnsAnswer, directionBits, type FlowName, type PacketBatch, PacketBatchBuilder } from '#schemas'
import { FlowTable } from './flow-table.ts'
import type { FrameBlock } from './packet-source.ts'

/** Flows without a packet for this time are forgotten; longer than any session's idle time. */
const flowIdleUs = 330_000_000
const minFlowsBeforeExpiry = 65_536
const tickUs = 1_000_000

const tcp = 6
const udp = 17
const synFlag = 2

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
 * Words of a flow's route: whose batches its packets go to. For each of its two ends: the number of the batch or `nobody`,
 * the build of that batch in which the flow was added last, and its index there.
 */
const route = { low: 0, high: 3, directoryVersion: 6, wantsNames: 7, words: 8 } as const
const side = { batch: 0, generation: 1, index: 2 } as const
const nobody = -1

export interface CaptureOptions {
  sensorId: string
  runId: string
  /** Null for a bare capture: every session is reported once, from no host's point of view. */
  hosts: HostDirectory | null
  /** Whether packets that concern no monitored host are reported too, with an empty host id. */
  keepUnmonitored: boolean
}

/** Frames in, per-host packet batches out: decodes, finds the flow and its hosts, fills columns, finds names. */
export class Capture {
  readonly #options: CaptureOptions
  readonly #packet = new Packet()
  readonly #decoder = new FrameDecoder(packet => this.#add(packet, null))
  readonly #table = new FlowTable()
  readonly #names = new WireNames()
  readonly #clock = new EventClock()
  /** By flow. */
  #routes = new Int32Array(1024 * route.words)
  readonly #batches: HostBatch[] = []
  readonly #batchOfHost = new Map<string, number>()
  #ready: PacketBatch[] = []
  #expireAtSize = minFlowsBeforeExpiry
  #tickedUs = Number.NEGATIVE_INFINITY
  /** Frames by what became of them: `ok`, `not-monitored`, or the decoder's reason; each frame is in exactly one. */
  readonly frames: Record<string, number> = {}

  constructor(options: CaptureOptions) {
    this.#options = options
  }

  /** Capture time so far, microseconds since the epoch; null before the first packet. */
  get nowUs(): number | null {
    return this.#clock.nowUs
  }

  /** Takes a block of frames in and answers with the batches that are complete: full ones, and all of them every second of capture time. */
  add(block: FrameBlock): PacketBatch[] {
    const packet = this.#packet
    let ok = 0
    for (let i = 0; i < block.count; i++) {
      packet.timeUs = block.timeUs[i]!
      packet.wireLength = block.wireLength[i]!
      const start = block.offset[i]!
      this.#clock.observe(packet.timeUs)
      const reason = this.#decoder.decode(block.data, start, start + block.captured[i]!, block.linkType[i]!, packet)
      const fate = reason === 'ok' ? this.#add(packet, block.data) : reason
      if (fate === 'ok') ok++
      else this.#count(fate, 1)
    }
    if (ok > 0) this.#count('ok', ok)
    if (this.#table.size > this.#expireAtSize) this.#expire()
    const nowUs = this.#clock.nowUs
    if (nowUs !== null && Math.abs(nowUs - this.#tickedUs) >= tickUs) {
      this.#tickedUs = nowUs
      this.#names.expire(nowUs)
      this.#closeAll()
    }
    return this.#take()
  }

  /** Time goes on without packets: a live capture's clock, microseconds since the epoch. */
  tick(nowUs: number): PacketBatch[] {
    this.#clock.observe(nowUs)
    return this.flush()
  }

  /** Closes every batch; one without packets is the host's tick. */
  flush(): PacketBatch[] {
    this.#closeAll()
    return this.#take()
  }

  #count(fate: string, frames: number): void {
    this.frames[fate] = (this.frames[fate] ?? 0) + frames
  }

  #closeAll(): void {
    for (const batch of this.#batches) this.#close(batch)
  }

  /** Counts a decoded packet into the batches of its hosts. `data` is null for a fragment that had to wait: it carries no names. */
  #add(packet: Packet, data: Uint8Array | null): 'ok' | 'not-monitored' {
    const flow = this.#table.find(packet)
    const { fromLow } = this.#table
    const at = flow * route.words
    if (this.#table.isNew) this.#begin(at)
    const routes = this.#routes
    if (routes[at + route.directoryVersion] !== (this.#options.hosts?.version ?? 0))
      this.#resolve(flow, at, packet.timeUs)
    const low = routes[at + route.low]!
    const high = routes[at + route.high]!
    if (low === nobody && high === nobody) return 'not-monitored'
    if (low !== nobody) this.#append(this.#batches[low]!, at + route.low, flow, packet, fromLow, true)
    if (high !== nobody) this.#append(this.#batches[high]!, at + route.high, flow, packet, !fromLow, false)
    if (data !== null && routes[at + route.wantsNames] === 1 && mayCarryName(packet)) {
      const name = this.#names.observe(packet, data, flow, fromLow)
      if (name) this.#record(low, high, name, fromLow)
      if (!this.#names.wants(flow)) routes[at + route.wantsNames] = 0
    }
    return 'ok'
  }

  /** A flow begins: its route is not known yet. */
  #begin(at: number): void {
    if (at >= this.#routes.length) {
      const routes = new Int32Array(this.#routes.length * 2)
      routes.set(this.#routes)
      this.#routes = routes
    }
    this.#routes[at + route.directoryVersion] = -1
    this.#routes[at + route.wantsNames] = 1
  }

  /** Counts a packet into a batch; `at` is where the flow's route tells of that batch. */
  #append(batch: HostBatch, at: number, flow: number, packet: Packet, fromLocal: boolean, localIsLow: boolean): void {
    const { builder } = batch
    const routes = this.#routes
    if (!builder.accepts(packet.timeUs)) this.#close(batch)
    if (routes[at + side.generation] !== batch.generation) {
      routes[at + side.generation] = batch.generation
      const { keys } = this.#table
      const key = flow * keyWords
      const ports = keys[key + 8]!
      routes[at + side.index] = builder.addFlow(
        keys,
        localIsLow ? key : key + 4,
        localIsLow ? key + 4 : key,
        localIsLow ? ports >>> 16 : ports & 0xffff,
        localIsLow ? ports & 0xffff : ports >>> 16,
        packet.protocol,
        packet.vlan,
        packet.tunnel,
      )
    }
    builder.addPacket(
      routes[at + side.index]!,
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
      const receiver = fromLow ? ends[1] : ends[0]
      const unmonitored = ends[0]?.hostId === '' ? ends[0] : undefined
      const batch = receiver ?? unmonitored
      for (const { name: dnsName, address, ttlSeconds } of name.answers)
        batch?.dns.push({ packet: batch.builder.packets - 1, name: dnsName, ip: address, ttl_s: ttlSeconds })
      return
    }
    for (const batch of ends)
      batch?.names.push({ packet: batch.builder.packets - 1, sni: name.sni, alpn: name.alpn.toSorted(), ja4: name.ja4 })
  }

  #resolve(flow: number, at: number, timeUs: number): void {
    const { hosts, keepUnmonitored } = this.#options
    const hostOf = (end: 0 | 4) => hosts?.hostOf(wordsText(this.#table.keys, flow * keyWords + end), timeUs) ?? null
    const lowHost = hostOf(0)
    const highHost = hostOf(4)
    const isKept = hosts === null || keepUnmonitored
    const unmonitored = lowHost === null && highHost === null && isKept ? this.#batchOf('') : nobody
    const routes = this.#routes
    routes[at + route.low + side.batch] = lowHost === null ? unmonitored : this.#batchOf(lowHost)
    routes[at + route.high + side.batch] = highHost === null || highHost === lowHost ? nobody : this.#batchOf(highHost)
    routes[at + route.low + side.generation] = -1
    routes[at + route.high + side.generation] = -1
    routes[at + route.directoryVersion] = hosts?.version ?? 0
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
    this.#table.expire(nowUs - flowIdleUs, flow => this.#names.release(flow))
    this.#expireAtSize = Math.max(minFlowsBeforeExpiry, this.#table.size * 2)
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
