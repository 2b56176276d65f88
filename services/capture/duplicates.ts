const ways = 4
const setCount = 16_384
const payloadWords = 10
const ipv6Header = 40

/** Knows packets that come again soon; the twin of native/src/packet/duplicates.cc, which says what makes two packets one. */
export class Duplicates {
  readonly #windowUs: number
  readonly #first = new Int32Array(setCount * ways)
  readonly #second = new Int32Array(setCount * ways)
  readonly #timeUs = new Float64Array(setCount * ways).fill(Number.NEGATIVE_INFINITY)
  /** The fingerprint in the making. */
  #a = 0
  #b = 0

  /** `windowUs`: how long after a packet the same one is a copy of it. */
  constructor(windowUs: number) {
    this.#windowUs = windowUs
  }

  /** Whether the packet whose IP header begins `data[at, end)` came before, no longer ago than the window; remembers it otherwise. */
  isRepeated(data: Uint8Array, at: number, end: number, timeUs: number): boolean {
    this.#fingerprint(data, at, end)
    const set = ((this.#a >>> 0) % setCount) * ways
    let oldest = set
    for (let way = set; way < set + ways; way++) {
      const isSame = this.#first[way] === this.#a && this.#second[way] === this.#b
      if (isSame && Math.abs(timeUs - this.#timeUs[way]!) <= this.#windowUs) return true
      if (this.#timeUs[way]! < this.#timeUs[oldest]!) oldest = way
    }
    this.#first[oldest] = this.#a
    this.#second[oldest] = this.#b
    this.#timeUs[oldest] = timeUs
    return false
  }

  #fingerprint(data: Uint8Array, begin: number, end: number): void {
    this.#a = 0x9747b28c | 0
    this.#b = 0x3c6ef372 | 0
    const byte = (at: number) => (begin + at < end ? data[begin + at]! : 0)
    const word = (at: number) => byte(at) | (byte(at + 1) << 8) | (byte(at + 2) << 16) | (byte(at + 3) << 24)
    let at: number
    if (byte(0) >>> 4 === 4) {
      this.#mix(word(2) & 0xffff)
      this.#mix(word(4))
      this.#mix(byte(9))
      for (at = 12; at < 20; at += 4) this.#mix(word(at))
      at = (byte(0) & 15) * 4
    } else {
      this.#mix(word(4) & 0x00ffffff)
      for (at = 8; at < ipv6Header; at += 4) this.#mix(word(at))
    }
    for (let i = 0; i < payloadWords; i++) this.#mix(word(at + i * 4))
    this.#a ^= this.#a >>> 15
    this.#b ^= this.#b >>> 13
  }

  #mix(word: number): void {
    this.#a = rotate(Math.imul(this.#a ^ word, 0x85ebca6b), 13)
    this.#b = rotate(Math.imul(this.#b ^ rotate(word, 16), 0xc2b2ae35), 17)
  }
}

const rotate = (word: number, bits: number) => (word << bits) | (word >>> (32 - bits))
