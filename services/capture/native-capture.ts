import ipaddr from 'ipaddr.js'
import { addressText } from '#core/address.ts'
import type { HostDirectory } from '#core/host-directory.ts'
import type { NativeAddon, NativeBatch, NativeCaptured, NativeTunnel, NativeCapture as Port } from '#native'
import type { BatchTunnel, DnsAnswer, FlowName, PacketBatch } from '#schemas'
import type { CaptureOptions, PacketCapture } from './capture.ts'
import type { FrameChunk } from './host-frames.ts'
import { type BatchRow, type FoundName, NativeNames, withLow } from './native-names.ts'
import type { FrameBlock } from './packet-source.ts'

/** In the order of Reason in native/src/packet/cursor.hh, and what Capture of capture.hh adds. */
const frameFates = [
  'ok',
  'not-ip',
  'unsupported-link-type',
  'truncated-header',
  'bad-version',
  'bad-header-length',
  'too-many-layers',
  'fragment-held',
  'tunnel-fragment',
  'not-monitored',
  'duplicate',
] as const

/** In the order of TunnelKind in native/src/packet/packet.hh, whose first is none. */
const tunnelKinds = [
  '',
  'gre',
  'erspan',
  'vxlan',
  'geneve',
  'gtp-u',
  'ip-in-ip',
  '6in4',
  'teredo',
  'l2tp',
  'mpls-in-udp',
  'tzsp',
  'ayiya',
  'lisp',
  'etherip',
  'mpls-in-ip',
  'pim-register',
] as const

/** What of a batch in the making is not in C++. */
interface BatchNames {
  names: FlowName[]
  dns: DnsAnswer[]
}

/** A capture whose packets stay in C++ (native/src/packet/): one call a block, and only packets that may tell a name are looked at here. */
export class NativeCapture implements PacketCapture {
  readonly #options: CaptureOptions
  readonly #native: Port
  readonly #names = new NativeNames()
  #routedBy = -1
  /** By host number; 0 stands for packets that concern no monitored host. Odd ones are addresses of monitored networks. */
  readonly #hostIds: string[] = ['']
  readonly #hostNumbers = new Map([['', 0]])
  #networkHosts = 0
  /** Names in batches that are not complete yet, by `batchKey`. */
  readonly #batchNames = new Map<string, BatchNames>()
  #nowUs: number | null = null
  #frames: FrameChunk[] = []

  constructor(addon: NativeAddon, options: CaptureOptions) {
    this.#options = options
    this.#native = addon.openCapture(
      options.hosts === null || options.keepUnmonitored,
      options.snapLength ?? 0,
      options.duplicateWindowUs ?? -1,
    )
  }

  get nowUs(): number | null {
    return this.#nowUs
  }

  get frames(): Record<string, number> {
    const { fates } = this.#native.frames()
    return Object.fromEntries(frameFates.map((fate, i) => [fate, fates[i]!]).filter(([, count]) => count !== 0))
  }

  get unsupportedLinkTypes(): Set<number> {
    return new Set(this.#native.frames().unsupportedLinkTypes)
  }

  add(block: FrameBlock): PacketBatch[] {
    this.#followDirectory()
    const { data, offset, captured, wireLength, timeUs, linkType, count } = block
    const settled = this.#names.settle()
    const answer = this.#native.add(data, offset, captured, wireLength, timeUs, linkType, count, settled)
    if (answer.candidates) for (const found of this.#names.find(answer.candidates, block)) this.#record(found)
    if (answer.forgotten) this.#names.forget(answer.forgotten)
    if (answer.ticked) this.#names.expire(answer.nowUs!)
    return this.#take(answer)
  }

  tick(nowUs: number): PacketBatch[] {
    return this.#take(this.#native.tick(nowUs))
  }

  flush(): PacketBatch[] {
    return this.#take(this.#native.flush())
  }

  takeFrames(): FrameChunk[] {
    const frames = this.#frames
    this.#frames = []
    return frames
  }

  /** Tells the addresses of the hosts anew when they have changed. */
  #followDirectory(): void {
    const { hosts } = this.#options
    if (hosts === null || hosts.version === this.#routedBy) return
    this.#routedBy = hosts.version
    const spans = [...spansByBytes(hosts)]
    const prefixes = hosts.networks?.prefixes ?? []
    this.#native.setHosts(
      Uint8Array.from(spans.flatMap(({ address }) => address)),
      Float64Array.from(spans, ({ sinceUs }) => sinceUs),
      Float64Array.from(spans, ({ untilUs }) => untilUs),
      Int32Array.from(spans, ({ hostId }) => this.#numberOf(hostId)),
      Uint8Array.from(prefixes.flatMap(({ address }) => [...address])),
      Uint8Array.from(prefixes, ({ bits }) => bits),
    )
  }

  #numberOf(hostId: string): number {
    let number = this.#hostNumbers.get(hostId)
    if (number === undefined) {
      number = this.#hostNumbers.size * 2
      this.#hostNumbers.set(hostId, number)
      this.#hostIds[number] = hostId
    }
    return number
  }

  /** A name rides with the packet that completed it; DNS answers go to the host that received them. */
  #record({ name, fromLow, low, high }: FoundName): void {
    if (name.kind === 'dns') {
      const { row, batch } = this.#namesAt(fromLow && high.host !== withLow ? high : low)
      for (const { name: dnsName, address, ttlSeconds } of name.answers)
        batch?.dns.push({ packet: row, name: dnsName, ip: address, ttl_s: ttlSeconds })
      return
    }
    const { sni, ja4 } = name
    for (const { row, batch } of [this.#namesAt(low), this.#namesAt(high)])
      batch?.names.push({ packet: row, sni, alpn: name.alpn.toSorted(), ja4 })
  }

  #namesAt({ host, seq, row }: BatchRow): { row: number; batch: BatchNames | null } {
    if (host < 0) return { row, batch: null }
    const key = batchKey(host, seq)
    let batch = this.#batchNames.get(key)
    if (!batch) {
      batch = { names: [], dns: [] }
      this.#batchNames.set(key, batch)
    }
    return { row, batch }
  }

  #take({ nowUs, batches, frames, networkHosts }: NativeCaptured): PacketBatch[] {
    for (let at = 0; networkHosts && at < networkHosts.length; at += 16)
      this.#hostIds[this.#networkHosts++ * 2 + 1] = addressText(networkHosts, at)
    this.#nowUs = nowUs
    for (const { host, ...chunk } of frames) this.#frames.push({ hostId: this.#hostIds[host]!, ...chunk })
    return batches.map(batch => this.#toBatch(batch))
  }

  #toBatch({ host, seq, baseUs, untilUs, flows, packets, syns, columns, tunnels, peers }: NativeBatch): PacketBatch {
    const { sensorId, runId } = this.#options
    const key = batchKey(host, seq)
    const { names, dns } = this.#batchNames.get(key) ?? { names: [], dns: [] }
    this.#batchNames.delete(key)
    let at = 0
    const column = (bytes: number) => {
      at += bytes
      return columns.subarray(at - bytes, at)
    }
    return {
      host_id: this.#hostIds[host]!,
      sensor_id: sensorId,
      run_id: runId,
      seq,
      base_us: packets === 0 ? untilUs : baseUs,
      until_us: untilUs,
      lost: 0,
      flow_address: column(flows * 32),
      flow_port: column(flows * 4),
      flow_protocol: column(flows),
      flow_vlan: column(flows * 2),
      flow_tunnel: column(flows * 2),
      tunnels: tunnels.map(toTunnel),
      flow_peer: column(peers.length === 0 ? 0 : flows * 2),
      peers: peers.map(host => this.#hostIds[host]!),
      packet_flow: column(packets * 2),
      packet_time: column(packets * 4),
      packet_wire_length: column(packets * 4),
      packet_ip_length: column(packets * 4),
      packet_payload_length: column(packets * 4),
      packet_tcp_flags: column(packets),
      packet_direction: column(packets),
      syn_sequence: column(syns * 4),
      names,
      dns,
    }
  }
}

const batchKey = (host: number, seq: number) => `${host}/${seq}`

const toTunnel = ({ kind, addresses, id }: NativeTunnel): BatchTunnel => ({
  kind: tunnelKinds[kind]!,
  source: addressText(addresses, 0),
  destination: addressText(addresses, 16),
  id,
})

/** The directory's spans by the bytes of their address; one that is not in canonical text is no packet's. */
function* spansByBytes(hosts: HostDirectory) {
  for (const { ip, ...span } of hosts.spans()) {
    if (!ipaddr.isValid(ip)) continue
    const parsed = ipaddr.parse(ip)
    const address = (parsed instanceof ipaddr.IPv4 ? parsed.toIPv4MappedAddress() : parsed).toByteArray()
    if (addressText(Uint8Array.from(address), 0) === ip) yield { address, ...span }
  }
}
