import { endianness } from 'node:os'
import type { BatchTunnel, DnsAnswer, FlowName, PacketBatch } from './types.ts'

/** Packets and flows a batch holds at most: 700 KB, below the megabyte that a broker takes by default. */
export const maxBatchPackets = 16_384
const maxBatchFlows = 8192

/** Value of flow_vlan, flow_tunnel and flow_peer that stands for none. */
export const none = 0xffff

/** Bits of packet_direction. */
export const directionBits = { fromRemote: 1, laterFragment: 2 } as const

/** Bytes of a flow and of a packet in all columns, but for the SYN's sequence number. */
const flowBytes = 32 + 4 + 1 + 2 + 2
const packetBytes = 2 + 4 + 4 + 4 + 4 + 1 + 1

const synFlag = 2
const maxInt32 = 2 ** 31 - 1

// Columns cross as the memory they are, so the machine has to be little-endian, as x86-64 and arm64 are.
if (endianness() !== 'LE') throw new Error('proclabel needs a little-endian machine')

/** What of a batch is not in columns. */
export type BatchHeader = Pick<
  PacketBatch,
  'host_id' | 'sensor_id' | 'run_id' | 'seq' | 'until_us' | 'lost' | 'names' | 'dns'
>

/** Fills the columns of one batch after another; the buffers are reused, `build` copies out of them. */
export class PacketBatchBuilder {
  packets = 0
  flows = 0
  baseUs = 0
  readonly #flowAddress = new Int32Array(maxBatchFlows * 8)
  readonly #flowPort = new Uint16Array(maxBatchFlows * 2)
  readonly #flowProtocol = new Uint8Array(maxBatchFlows)
  readonly #flowVlan = new Uint16Array(maxBatchFlows)
  readonly #flowTunnel = new Uint16Array(maxBatchFlows)
  readonly #packetFlow = new Uint16Array(maxBatchPackets)
  readonly #packetTime = new Int32Array(maxBatchPackets)
  readonly #wireLength = new Uint32Array(maxBatchPackets)
  readonly #ipLength = new Uint32Array(maxBatchPackets)
  readonly #payloadLength = new Uint32Array(maxBatchPackets)
  readonly #tcpFlags = new Uint8Array(maxBatchPackets)
  readonly #direction = new Uint8Array(maxBatchPackets)
  readonly #synSequence = new Uint32Array(maxBatchPackets)
  #syns = 0
  #tunnels: BatchTunnel[] = []
  readonly #flowPeer = new Uint16Array(maxBatchFlows)
  /** The places in `peers` by host id. */
  #peers = new Map<string, number>()

  /** Whether a packet of this time can be added: there is room, and the time fits an int32 of microseconds from the base. */
  accepts(timeUs: number): boolean {
    if (this.packets === 0) return true
    const hasRoom = this.packets < maxBatchPackets && this.flows < maxBatchFlows
    return hasRoom && Math.abs(timeUs - this.baseUs) <= maxInt32
  }

  /**
   * Adds a flow and returns its index. The local and the remote address are four words each, from `local` and `remote`
   * on in `words`, in network order as numbers. `peer`: the monitored host at the remote end.
   */
  addFlow(
    words: Int32Array,
    local: number,
    remote: number,
    localPort: number,
    remotePort: number,
    protocol: number,
    vlan: number,
    tunnel: BatchTunnel | null,
    peer: string | null = null,
  ): number {
    const flow = this.flows++
    for (let i = 0; i < 4; i++) {
      this.#flowAddress[flow * 8 + i] = swap32(words[local + i]!)
      this.#flowAddress[flow * 8 + 4 + i] = swap32(words[remote + i]!)
    }
    this.#flowPort[flow * 2] = localPort
    this.#flowPort[flow * 2 + 1] = remotePort
    this.#flowProtocol[flow] = protocol
    this.#flowVlan[flow] = vlan < 0 ? none : vlan
    this.#flowTunnel[flow] = tunnel ? this.#tunnels.push(tunnel) - 1 : none
    if (peer !== null && !this.#peers.has(peer)) this.#peers.set(peer, this.#peers.size)
    this.#flowPeer[flow] = peer === null ? none : this.#peers.get(peer)!
    return flow
  }

  /** Adds a packet of a flow of this batch; the caller has asked `accepts`. Lengths in bytes, `direction` of directionBits. */
  addPacket(
    flow: number,
    timeUs: number,
    wireLength: number,
    ipLength: number,
    payloadLength: number,
    tcpFlags: number,
    direction: number,
    tcpSequence: number,
  ): void {
    const row = this.packets++
    if (row === 0) this.baseUs = timeUs
    this.#packetFlow[row] = flow
    this.#packetTime[row] = timeUs - this.baseUs
    this.#wireLength[row] = wireLength
    this.#ipLength[row] = ipLength
    this.#payloadLength[row] = payloadLength
    this.#tcpFlags[row] = tcpFlags
    this.#direction[row] = direction
    if (tcpFlags & synFlag) this.#synSequence[this.#syns++] = tcpSequence
  }

  /** The batch so far, copied out; the builder is empty afterwards. */
  build(header: BatchHeader): PacketBatch {
    const { packets, flows } = this
    const peerBytes = this.#peers.size === 0 ? 0 : flows * 2
    const memory = Buffer.allocUnsafeSlow(flows * flowBytes + peerBytes + packets * packetBytes + this.#syns * 4)
    let at = 0
    const copy = (column: Int32Array | Uint32Array | Uint16Array | Uint8Array, length: number) => {
      const bytes = new Uint8Array(column.buffer, 0, length * column.BYTES_PER_ELEMENT)
      memory.set(bytes, at)
      at += bytes.length
      return memory.subarray(at - bytes.length, at)
    }
    const batch: PacketBatch = {
      ...header,
      base_us: packets === 0 ? header.until_us : this.baseUs,
      flow_address: copy(this.#flowAddress, flows * 8),
      flow_port: copy(this.#flowPort, flows * 2),
      flow_protocol: copy(this.#flowProtocol, flows),
      flow_vlan: copy(this.#flowVlan, flows),
      flow_tunnel: copy(this.#flowTunnel, flows),
      tunnels: this.#tunnels,
      flow_peer: copy(this.#flowPeer, peerBytes / 2),
      peers: [...this.#peers.keys()],
      packet_flow: copy(this.#packetFlow, packets),
      packet_time: copy(this.#packetTime, packets),
      packet_wire_length: copy(this.#wireLength, packets),
      packet_ip_length: copy(this.#ipLength, packets),
      packet_payload_length: copy(this.#payloadLength, packets),
      packet_tcp_flags: copy(this.#tcpFlags, packets),
      packet_direction: copy(this.#direction, packets),
      syn_sequence: copy(this.#synSequence, this.#syns),
    }
    this.packets = 0
    this.flows = 0
    this.#syns = 0
    this.#tunnels = []
    this.#peers = new Map()
    return batch
  }
}

/** A batch's columns as typed arrays, one entry a flow or a packet (units as in packet-batch.avsc). */
export interface PacketColumns {
  flows: number
  packets: number
  baseUs: number
  /** 32 bytes a flow: local then remote address, network byte order; begins at a multiple of four bytes. */
  flowAddress: Uint8Array
  /** Local then remote port. */
  flowPort: Uint16Array
  flowProtocol: Uint8Array
  flowVlan: Uint16Array
  flowTunnel: Uint16Array
  /** Empty where no flow has a peer. */
  flowPeer: Uint16Array
  packetFlow: Uint16Array
  packetTime: Int32Array
  wireLength: Uint32Array
  ipLength: Uint32Array
  payloadLength: Uint32Array
  tcpFlags: Uint8Array
  direction: Uint8Array
  synSequence: Uint32Array
  tunnels: readonly BatchTunnel[]
  peers: readonly string[]
  names: readonly FlowName[]
  dns: readonly DnsAnswer[]
}

/**
 * Reads a batch's columns. Throws a RangeError that names the column whose length or content does not fit the others,
 * so that what reads them later needs no checks.
 */
export function readPacketColumns(batch: PacketBatch): PacketColumns {
  const flows = batch.flow_protocol.length
  const packets = batch.packet_tcp_flags.length
  const bytes = (name: keyof PacketBatch, length: number) => {
    const column = batch[name] as Uint8Array
    if (column.length !== length)
      throw new RangeError(`packet-batch.avsc: ${name} expected ${length} bytes, got ${column.length}`)
    const isAligned = column.byteOffset % 4 === 0
    return isAligned ? new Uint8Array(column.buffer, column.byteOffset, length) : new Uint8Array(column)
  }
  const uint16 = (name: keyof PacketBatch, length: number) => {
    const { buffer, byteOffset } = bytes(name, length * 2)
    return new Uint16Array(buffer, byteOffset, length)
  }
  const uint32 = (name: keyof PacketBatch, length: number) => {
    const { buffer, byteOffset } = bytes(name, length * 4)
    return new Uint32Array(buffer, byteOffset, length)
  }
  const times = uint32('packet_time', packets)
  const columns: PacketColumns = {
    flows,
    packets,
    baseUs: batch.base_us,
    flowAddress: bytes('flow_address', flows * 32),
    flowPort: uint16('flow_port', flows * 2),
    flowProtocol: batch.flow_protocol,
    flowVlan: uint16('flow_vlan', flows),
    flowTunnel: uint16('flow_tunnel', flows),
    flowPeer: uint16('flow_peer', batch.peers.length === 0 ? 0 : flows),
    packetFlow: uint16('packet_flow', packets),
    packetTime: new Int32Array(times.buffer, times.byteOffset, packets),
    wireLength: uint32('packet_wire_length', packets),
    ipLength: uint32('packet_ip_length', packets),
    payloadLength: uint32('packet_payload_length', packets),
    tcpFlags: batch.packet_tcp_flags,
    direction: bytes('packet_direction', packets),
    synSequence: uint32('syn_sequence', countSyns(batch.packet_tcp_flags)),
    tunnels: batch.tunnels,
    peers: batch.peers,
    names: batch.names,
    dns: batch.dns,
  }
  for (let row = 0; row < packets; row++)
    if (columns.packetFlow[row]! >= flows)
      throw new RangeError(`packet-batch.avsc: packet_flow names flow ${columns.packetFlow[row]} of ${flows}`)
  for (const tunnel of columns.flowTunnel)
    if (tunnel !== none && tunnel >= batch.tunnels.length)
      throw new RangeError(`packet-batch.avsc: flow_tunnel names tunnel ${tunnel} of ${batch.tunnels.length}`)
  for (const peer of columns.flowPeer)
    if (peer !== none && peer >= batch.peers.length)
      throw new RangeError(`packet-batch.avsc: flow_peer names peer ${peer} of ${batch.peers.length}`)
  for (const { packet } of [...batch.names, ...batch.dns])
    if (packet < 0 || packet >= packets) throw new RangeError(`packet-batch.avsc: names row ${packet} of ${packets}`)
  return columns
}

function countSyns(flags: Uint8Array): number {
  let syns = 0
  for (let i = 0; i < flags.length; i++) if (flags[i]! & synFlag) syns++
  return syns
}

const swap32 = (word: number) => (word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)
