import { addressText } from '#core/address.ts'
import { DnsNames } from '#core/decode/dns-names.ts'
import { noAgentDecision } from '#core/match.ts'
import { judgementOf, protocolName } from '#core/session.ts'
import type { NativeAddon, NativeEndedSessions, NativeSessions } from '#native'
import type { PacketBatch } from '#schemas'

/** Takes records as JSON lines; the bytes are valid until it is done. */
export type LineSink = (lines: Uint8Array) => Promise<void>

const roomBytes = 1 << 20

/**
 * The sessions of a capture without monitored hosts, in C++ from packet to JSON line: what HostPipeline of the empty host id
 * publishes, byte for byte. Names come from TypeScript.
 */
export class BareSessions {
  readonly #native: NativeSessions
  readonly #dnsNames = new DnsNames()
  readonly #room = Buffer.allocUnsafeSlow(roomBytes)
  readonly #sink: LineSink
  /** Sessions by IANA protocol number. */
  readonly #counts = new Float64Array(256)

  constructor(addon: NativeAddon, sink: LineSink) {
    this.#native = addon.openSessions(judged('tcp'), judged('icmp'))
    this.#sink = sink
  }

  /** Sessions by protocol, under its name in records. */
  get counts(): ReadonlyMap<string, number> {
    const counted = [...this.#counts.entries()].filter(([, count]) => count > 0)
    return new Map(counted.map(([protocol, count]) => [protocolName(protocol), count]))
  }

  async apply(batch: PacketBatch): Promise<void> {
    if (batch.dns.length > 0) await this.#learnNames(batch)
    const { names, tunnels } = batch
    this.#native.apply(
      batch,
      tunnels.map(tunnel => JSON.stringify(tunnel)),
      Uint32Array.from(names, ({ packet }) => packet),
      Uint8Array.from(names, ({ sni }) => (sni === null ? 0 : 1)),
      names.map(({ sni, alpn, ja4 }) => fields({ sni, alpn: alpn.length > 0 ? alpn : null, ja4 })),
    )
    await this.#write()
  }

  /** The input is over. */
  async finish(): Promise<void> {
    this.#native.finish()
    await this.#write()
  }

  async #write(): Promise<void> {
    const ended = this.#native.ended()
    if (ended.count === 0) return
    for (const protocol of ended.protocol) this.#counts[protocol]!++
    if (this.#dnsNames.size > 0) this.#native.name(this.#namesOf(ended))
    for (let bytes = this.#native.write(this.#room); bytes > 0; bytes = this.#native.write(this.#room))
      await this.#sink(this.#room.subarray(0, bytes))
  }

  #namesOf({ count, ends, firstUs }: NativeEndedSessions): string[] {
    return Array.from({ length: count }, (_, i) => {
      const client = addressText(ends, i * 32)
      const server = addressText(ends, i * 32 + 16)
      return JSON.stringify(this.#dnsNames.lookup(client, server, firstUs[i]!))
    })
  }

  /** Answers are remembered for the address that received them. */
  async #learnNames(batch: PacketBatch): Promise<void> {
    // Not loaded where nothing is asked: it compiles all schemas.
    const { directionBits, readPacketColumns } = await import('#schemas')
    const { flowAddress, packetFlow, packetTime, direction, baseUs } = readPacketColumns(batch)
    for (const { packet, name, ip, ttl_s } of batch.dns) {
      const toRemote = (direction[packet]! & directionBits.fromRemote) === 0
      const receiver = addressText(flowAddress, packetFlow[packet]! * 32 + (toRemote ? 16 : 0))
      this.#dnsNames.learn(receiver, [{ name, address: ip, ttlSeconds: ttl_s }], baseUs + packetTime[packet]!)
    }
  }
}

/** What is said of every session of a protocol that no agent knows. */
function judged(proto: string): string {
  const { label, stage, confidence, unknown_cause, evidence } = judgementOf(noAgentDecision({ proto }))
  return fields({ label, stage, confidence, label_final: true, unknown_cause, evidence })
}

/** The fields of an object as JSON, without the braces. */
const fields = (object: object): string => JSON.stringify(object).slice(1, -1)
