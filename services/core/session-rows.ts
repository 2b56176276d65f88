import type { EndReason, LabeledSession } from '#schemas'

/** Packets of a session whose length, direction and gap are kept. */
export const spltPackets = 32

/**
 * A row's eight-byte words: these numbers, those of every packet first; then two 32-bit integers for each of the first packets;
 * then the addresses of the two ends, 16 bytes each, the local one first.
 */
export const word = Object.freeze({
  lastUs: 0,
  endReason: 1,
  packetsOut: 2,
  packetsIn: 3,
  bytesOut: 4,
  bytesIn: 5,
  tcpFlags: 6,
  spltCount: 7,
  spltUs: 8,
  firstUs: 9,
  firstSeenUs: 10,
  publishedUs: 11,
  synOut: 12,
  synIn: 13,
  finished: 14,
})
export type Word = (typeof word)[keyof typeof word]
const spltWord = 16
const addressWord = spltWord + spltPackets
const addressBytes = 32
const rowWords = addressWord + addressBytes / 8
/** A chunk has 2 to the power of this many rows. */
const chunkBits = 10

/** By their number in a row; 0 is a session that goes on. */
const endReasons: readonly (EndReason | null)[] = [null, 'fin', 'rst', 'idle', 'reuse', 'shutdown']
const farthestGapUs = 2 ** 31 - 1

interface Chunk {
  words: Float64Array
  /** The same memory. */
  integers: Int32Array
  bytes: Uint8Array
}

/**
 * What is counted of sessions packet by packet, a row each, in a few large arrays: what a packet changes lies together, and
 * the garbage collector has nothing to look at. Times are microseconds since the epoch, capture clock.
 */
export class SessionRows {
  readonly #chunks: Chunk[] = []
  readonly #rowsAChunk: number

  /** `rowsAChunk` is less for one that has no more rows than that. */
  constructor(rowsAChunk = 1 << chunkBits) {
    this.#rowsAChunk = rowsAChunk
  }

  /** `addresses` holds those of the two ends from `from` on. */
  begin(row: number, firstUs: number, addresses: Uint8Array, from: number): void {
    const { words, bytes } = this.#chunk(row)
    const at = this.#at(row)
    const addressesAt = (at + addressWord) * 8
    for (let i = 0; i < addressBytes; i++) bytes[addressesAt + i] = addresses[from + i]!
    words.fill(0, at, at + spltWord)
    words[at + word.firstSeenUs] = firstUs
    words[at + word.firstUs] = firstUs
    words[at + word.lastUs] = firstUs
    words[at + word.synOut] = -1
    words[at + word.synIn] = -1
  }

  /** A copy of a row, as `set` takes it. */
  row(row: number): Float64Array {
    const at = this.#at(row)
    return this.#chunk(row).words.slice(at, at + rowWords)
  }

  /** Of the two ends, in the memory of the row. */
  addresses(row: number): Uint8Array {
    const at = (this.#at(row) + addressWord) * 8
    return this.#chunk(row).bytes.subarray(at, at + addressBytes)
  }

  setRow(row: number, words: Float64Array): void {
    this.#chunk(row).words.set(words, this.#at(row))
  }

  /** One row alone, apart from the others. */
  static of(words: Float64Array): SessionRows {
    const rows = new SessionRows(1)
    rows.setRow(0, words)
    return rows
  }

  addPacket(row: number, timeUs: number, ipLength: number, tcpFlags: number, fromRemote: boolean): void {
    const { words, integers } = this.#chunk(row)
    const at = this.#at(row)
    const n = words[at + word.spltCount]!
    if (n < spltPackets) {
      const gapUs = n === 0 ? 0 : timeUs - words[at + word.spltUs]!
      const entry = (at + spltWord + n) * 2
      integers[entry] = fromRemote ? -ipLength : ipLength
      integers[entry + 1] = Math.max(-farthestGapUs, Math.min(gapUs, farthestGapUs))
      words[at + word.spltUs] = timeUs
      words[at + word.spltCount] = n + 1
    }
    if (timeUs > words[at + word.lastUs]!) words[at + word.lastUs] = timeUs
    else if (timeUs < words[at + word.firstUs]!) words[at + word.firstUs] = timeUs
    const side = fromRemote ? 1 : 0
    words[at + word.packetsOut + side]! += 1
    words[at + word.bytesOut + side]! += ipLength
    words[at + word.tcpFlags]! |= tcpFlags
  }

  get(row: number, index: Word): number {
    return this.#chunk(row).words[this.#at(row) + index]!
  }

  set(row: number, index: Word, value: number): void {
    this.#chunk(row).words[this.#at(row) + index] = value
  }

  /** The last packet's time, plus what applies of two waits: for a session that goes on, or for one that has ended. */
  silentUs(row: number, idleUs: number, lingerUs: number): number {
    const { words } = this.#chunk(row)
    const at = this.#at(row)
    return words[at + word.lastUs]! + (words[at + word.endReason] === 0 ? idleUs : lingerUs)
  }

  endReason(row: number): EndReason | null {
    return endReasons[this.get(row, word.endReason)]!
  }

  end(row: number, reason: EndReason): void {
    this.set(row, word.endReason, endReasons.indexOf(reason))
  }

  /** The first packets; `swap` looks at them from the remote end. */
  splt(row: number, swap: boolean): LabeledSession['splt'] {
    const { words, integers } = this.#chunk(row)
    const at = this.#at(row)
    const entries: LabeledSession['splt'] = []
    const first = (at + spltWord) * 2
    const end = first + 2 * words[at + word.spltCount]!
    for (let i = first; i < end; i += 2) {
      const length = integers[i]!
      entries.push({ len: swap ? -length : length, gap_us: integers[i + 1]! })
    }
    return entries
  }

  #chunk(row: number): Chunk {
    return this.#chunks[row >>> chunkBits] ?? this.#addChunk(row >>> chunkBits)
  }

  #addChunk(number: number): Chunk {
    const words = new Float64Array(this.#rowsAChunk * rowWords)
    const chunk = { words, integers: new Int32Array(words.buffer), bytes: new Uint8Array(words.buffer) }
    this.#chunks[number] = chunk
    return chunk
  }

  /** First word of a row in its chunk. */
  #at(row: number): number {
    return (row & ((1 << chunkBits) - 1)) * rowWords
  }
}

/** Copies of rows one behind the other, each without the words that no packet has filled. */
export function joinRows(rows: readonly Float64Array[]): Float64Array {
  const lengths = rows.map(row => rowWords - spltPackets + row[word.spltCount]!)
  const joined = new Float64Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const [i, row] of rows.entries()) {
    const end = at + lengths[i]!
    joined.set(row.subarray(0, end - at - addressBytes / 8), at)
    joined.set(row.subarray(addressWord), end - addressBytes / 8)
    at = end
  }
  return joined
}

export function splitRows(joined: Float64Array): Float64Array[] {
  const rows: Float64Array[] = []
  for (let at = 0; at < joined.length; ) {
    const addressesAt = at + spltWord + joined[at + word.spltCount]!
    const row = new Float64Array(rowWords)
    row.set(joined.subarray(at, addressesAt))
    row.set(joined.subarray(addressesAt, addressesAt + addressBytes / 8), addressWord)
    rows.push(row)
    at = addressesAt + addressBytes / 8
  }
  return rows
}

/** The addresses in a copy of a row, as words. */
export const addressesOf = (row: Float64Array): Int32Array =>
  new Int32Array(row.buffer, row.byteOffset + addressWord * 8, addressBytes / 4)
