import { addressText } from '#core/address.ts'
import { FrameDecoder } from '#core/decode/frame.ts'
import type { WireName } from '#core/decode/names.ts'
import { WireNames } from '#core/decode/names.ts'
import { Packet } from '#core/decode/packet.ts'
import { EventClock } from '#core/event-clock.ts'
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

/** A flow as seen from one of its ends: whose batch its packets go to, and where in that batch it is. */
interface FlowSide {
  batch: HostBatch | null
  generation: number
  index: number
}

interface FlowState {
  low: FlowSide
  high: FlowSide
  directoryVersion: number
  wantsNames: boolean
}

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
  readonly #flows: FlowState[] = []
  readonly #batches = new Map<string, HostBatch>()
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
    for (let i = 0; i < block.count; i++) {
      packet.timeUs = block.timeUs[i]!
      packet.wireLength = block.wireLength[i]!
      const start = block.offset[i]!
      this.#clock.observe(packet.timeUs)
      const reason = this.#decoder.decode(block.data, start, start + block.captured[i]!, block.linkType[i]!, packet)
      const fate = reason === 'ok' ? this.#add(packet, block.data) : reason
      this.frames[fate] = (this.frames[fate] ?? 0) + 1
    }
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

  #closeAll(): void {
    for (const batch of this.#batches.values()) this.#close(batch)
  }

  /** Counts a decoded packet into the batches of its hosts. `data` is null for a fragment that had to wait: it carries no names. */
  #add(packet: Packet, data: Uint8Array | null): 'ok' | 'not-monitored' {
    const id = this.#table.find(packet)
    const { fromLow } = this.#table
    let flow = this.#flows[id]
    if (this.#table.isNew || flow === undefined) {
      flow = newFlow()
      this.#flows[id] = flow
      if (this.#table.size > this.#expireAtSize) this.#expire()
    }
    if (flow.directoryVersion !== (this.#options.hosts?.version ?? 0)) this.#resolve(flow, id, packet.timeUs)
    const { low, high } = flow
    if (low.batch === null && high.batch === null) return 'not-monitored'
    if (low.batch !== null) this.#append(low.batch, low, id, packet, fromLow, true)
    if (high.batch !== null) this.#append(high.batch, high, id, packet, !fromLow, false)
    if (data !== null && flow.wantsNames && mayCarryName(packet)) {
      const name = this.#names.observe(packet, data, id, fromLow)
      if (name) this.#record(flow, name, fromLow)
      flow.wantsNames = this.#names.wants(id)
    }
    return 'ok'
  }

  #append(batch: HostBatch, side: FlowSide, id: number, packet: Packet, fromLocal: boolean, localIsLow: boolean): void {
    const { builder } = batch
    if (!builder.accepts(packet.timeUs)) this.#close(batch)
    if (side.generation !== batch.generation) {
      side.generation = batch.generation
      const { keys } = this.#table
      const ports = keys[id * 10 + 8]!
      side.index = builder.addFlow(
        keys.subarray(id * 10, id * 10 + 8),
        localIsLow ? 0 : 4,
        localIsLow ? ports >>> 16 : ports & 0xffff,
        localIsLow ? ports & 0xffff : ports >>> 16,
        packet.protocol,
        packet.vlan,
        packet.tunnel,
      )
    }
    builder.addPacket(
      side.index,
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
  #record(flow: FlowState, name: WireName, fromLow: boolean): void {
    if (name.kind === 'dns') {
      const receiver = (fromLow ? flow.high.batch : flow.low.batch) ?? this.#batches.get('')
      if (!receiver || receiver.builder.packets === 0) return
      const packet = receiver.builder.packets - 1
      for (const { name: dnsName, address, ttlSeconds } of name.answers)
        receiver.dns.push({ packet, name: dnsName, ip: address, ttl_s: ttlSeconds })
      return
    }
    for (const { batch } of [flow.low, flow.high])
      batch?.names.push({ packet: batch.builder.packets - 1, sni: name.sni, alpn: name.alpn.toSorted(), ja4: name.ja4 })
  }

  #resolve(flow: FlowState, id: number, timeUs: number): void {
    const { hosts, keepUnmonitored } = this.#options
    flow.directoryVersion = hosts?.version ?? 0
    const hostOf = (side: 0 | 4) => hosts?.hostOf(wordsText(this.#table.keys, id * 10 + side), timeUs) ?? null
    const lowHost = hostOf(0)
    const highHost = hostOf(4)
    flow.low.batch = lowHost === null ? null : this.#batchOf(lowHost)
    flow.high.batch = highHost === null || highHost === lowHost ? null : this.#batchOf(highHost)
    if (lowHost === null && highHost === null && (hosts === null || keepUnmonitored)) flow.low.batch = this.#batchOf('')
    flow.low.generation = -1
    flow.high.generation = -1
  }

  #batchOf(hostId: string): HostBatch {
    let batch = this.#batches.get(hostId)
    if (!batch) {
      batch = { hostId, builder: new PacketBatchBuilder(), generation: 0, seq: 0, names: [], dns: [] }
      this.#batches.set(hostId, batch)
    }
    return batch
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

const newFlow = (): FlowState => ({
  low: { batch: null, generation: -1, index: 0 },
  high: { batch: null, generation: -1, index: 0 },
  directoryVersion: -1,
  wantsNames: true,
})

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
