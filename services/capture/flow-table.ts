import type { Packet } from '#core/decode/packet.ts'
import { FiveTupleTable } from '#core/five-tuple-table.ts'

const initialFlows = 1024

/**
 * Bidirectional flows by 5-tuple, each with a small number that is stable while the flow lives; looking a packet up
 * allocates nothing. The end with the lower address (then port) is the flow's low end.
 */
export class FlowTable {
  /** What the last `find` saw: the packet was sent by the low end; the flow is new. */
  fromLow = false
  isNew = false
  /** Time of the flow's packet before, where the flow is not new. */
  beforeUs = Number.NaN
  readonly #tuples = new FiveTupleTable()
  /** Time of each flow's last packet; infinite for a number that is no flow's. */
  #lastUs = new Float64Array(initialFlows).fill(Number.POSITIVE_INFINITY)

  /** Number of flows that live. */
  get size(): number {
    return this.#tuples.size
  }

  /** Entries of FiveTupleTable by flow: addresses low then high, ports (low << 16 | high), protocol, and six words of the caller's. */
  get entries(): Int32Array {
    return this.#tuples.entries
  }

  /** The packet's flow, made when it has none yet. */
  find(packet: Packet): number {
    const { addresses, sourcePort, destinationPort, protocol } = packet
    let order = 0
    for (let i = 0; i < 4 && order === 0; i++) order = addresses[i]! - addresses[4 + i]!
    if (order === 0) order = sourcePort - destinationPort
    const fromLow = order <= 0
    const low = fromLow ? 0 : 4
    const ports = fromLow ? (sourcePort << 16) | destinationPort : (destinationPort << 16) | sourcePort
    let flow = this.#tuples.find(addresses, low, 4 - low, ports, protocol)
    this.fromLow = fromLow
    this.isNew = flow < 0
    if (flow < 0) {
      flow = this.#tuples.add(addresses, low, 4 - low, ports, protocol)
      if (flow >= this.#lastUs.length) this.#grow()
    }
    this.beforeUs = this.#lastUs[flow]!
    this.#lastUs[flow] = packet.timeUs
    return flow
  }

  /** Forgets the flows whose last packet is older than `beforeUs`, telling the number of each. */
  expire(beforeUs: number, release: (flow: number) => void): void {
    for (let flow = 0; flow < this.#lastUs.length; flow++) {
      if (this.#lastUs[flow]! >= beforeUs) continue
      this.#lastUs[flow] = Number.POSITIVE_INFINITY
      this.#tuples.remove(flow)
      release(flow)
    }
  }

  /** Tells the number of every flow. */
  forEach(visit: (flow: number) => void): void {
    for (let flow = 0; flow < this.#lastUs.length; flow++) if (Number.isFinite(this.#lastUs[flow]!)) visit(flow)
  }

  #grow(): void {
    const lastUs = new Float64Array(this.#lastUs.length * 2).fill(Number.POSITIVE_INFINITY)
    lastUs.set(this.#lastUs)
    this.#lastUs = lastUs
  }
}
