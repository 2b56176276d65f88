import type { Packet } from '#core/decode/packet.ts'

const keyWords = 10
const initialFlows = 1024

/**
 * Bidirectional flows by 5-tuple, each with a small number that is stable while the flow lives. Open addressing over
 * typed arrays: looking a packet up allocates nothing. The end with the lower address (then port) is the flow's low end.
 */
export class FlowTable {
  /** What the last `find` saw: the packet was sent by the low end; the flow is new. */
  fromLow = false
  isNew = false
  /** Addresses (4 words low, 4 words high), ports (low << 16 | high) and protocol of each flow. */
  keys = new Int32Array(initialFlows * keyWords)
  #lastUs = new Float64Array(initialFlows)
  #slots = new Int32Array(initialFlows * 4).fill(-1)
  #free: number[] = []
  #used = 0

  /** Number of flows that live. */
  get size(): number {
    return this.#used - this.#free.length
  }

  /** One more than the highest flow number so far: what arrays indexed by flow have to hold. */
  get capacity(): number {
    return this.#lastUs.length
  }

  /** The packet's flow, made when it has none yet. */
  find(packet: Packet): number {
    const words = packet.addresses
    let order = 0
    for (let i = 0; i < 4 && order === 0; i++) order = words[i]! - words[4 + i]!
    if (order === 0) order = packet.sourcePort - packet.destinationPort
    const fromLow = order <= 0
    const [low, high] = fromLow ? [0, 4] : [4, 0]
    const ports = fromLow
      ? (packet.sourcePort << 16) | packet.destinationPort
      : (packet.destinationPort << 16) | packet.sourcePort
    const protocol = packet.protocol
    const hash = hashKey(words, low, high, ports, protocol)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    this.fromLow = fromLow
    for (;;) {
      const flow = this.#slots[slot]!
      if (flow < 0) break
      if (this.#equals(flow, words, low, high, ports, protocol)) {
        this.#lastUs[flow] = packet.timeUs
        this.isNew = false
        return flow
      }
      slot = (slot + 1) & mask
    }
    this.isNew = true
    const flow = this.#free.pop() ?? this.#used++
    if (flow >= this.capacity) this.#growFlows()
    const at = flow * keyWords
    for (let i = 0; i < 4; i++) {
      this.keys[at + i] = words[low + i]!
      this.keys[at + 4 + i] = words[high + i]!
    }
    this.keys[at + 8] = ports
    this.keys[at + 9] = protocol
    this.#lastUs[flow] = packet.timeUs
    this.#slots[slot] = flow
    if (this.size * 2 > this.#slots.length) this.#rehash(this.#slots.length * 2)
    return flow
  }

  /** Forgets the flows whose last packet is older than `beforeUs`, telling the number of each. */
  expire(beforeUs: number, release: (flow: number) => void): void {
    const freed = new Set(this.#free)
    for (let flow = 0; flow < this.#used; flow++)
      if (this.#lastUs[flow]! < beforeUs && !freed.has(flow)) {
        this.#free.push(flow)
        release(flow)
      }
    this.#rehash(this.#slots.length)
  }

  #equals(flow: number, words: Int32Array, low: number, high: number, ports: number, protocol: number): boolean {
    const keys = this.keys
    const at = flow * keyWords
    return (
      keys[at + 8] === ports &&
      keys[at + 3] === words[low + 3] &&
      keys[at + 7] === words[high + 3] &&
      keys[at + 9] === protocol &&
      keys[at] === words[low] &&
      keys[at + 1] === words[low + 1] &&
      keys[at + 2] === words[low + 2] &&
      keys[at + 4] === words[high] &&
      keys[at + 5] === words[high + 1] &&
      keys[at + 6] === words[high + 2]
    )
  }

  #growFlows(): void {
    const keys = new Int32Array(this.keys.length * 2)
    keys.set(this.keys)
    this.keys = keys
    const lastUs = new Float64Array(this.#lastUs.length * 2)
    lastUs.set(this.#lastUs)
    this.#lastUs = lastUs
  }

  #rehash(size: number): void {
    const slots = new Int32Array(size).fill(-1)
    const freed = new Set(this.#free)
    for (let flow = 0; flow < this.#used; flow++) {
      if (freed.has(flow)) continue
      let slot = this.#hashOf(flow) & (size - 1)
      while (slots[slot]! >= 0) slot = (slot + 1) & (size - 1)
      slots[slot] = flow
    }
    this.#slots = slots
  }

  #hashOf(flow: number): number {
    const at = flow * keyWords
    return hashKey(this.keys, at, at + 4, this.keys[at + 8]!, this.keys[at + 9]!)
  }
}

/** Mixes the words of a 5-tuple; only the spread matters, so the constants are any odd ones with their bits mixed well. */
function hashKey(words: Int32Array, low: number, high: number, ports: number, protocol: number): number {
  let hash = Math.imul(ports, 0x9e3779b1) ^ Math.imul(protocol, 0x85ebca6b)
  for (let i = 0; i < 4; i++) {
    hash = Math.imul(hash ^ words[low + i]!, 0xcc9e2d51)
    hash = Math.imul((hash ^ (hash >>> 15)) + words[high + i]!, 0x1b873593)
  }
  return hash ^ (hash >>> 16)
}
