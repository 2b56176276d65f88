/**
 * Words of an entry, as many as a cache line has: the addresses of the two ends, four words each; both ports in one; the
 * protocol; the rest is for whoever owns the table to use.
 */
export const entryWords = 16
export const ownWords = 10
const initialEntries = 1024
/** Secret, so that nobody can make packets that meet in one slot. Nothing but the speed depends on it. */
const seed = Math.floor(Math.random() * 2 ** 32)

/**
 * Numbers for 5-tuples: each gets a small one when it is added, and keeps it until it is removed. Open addressing with
 * linear probing over typed arrays: looking up allocates nothing. Ends are told apart; the caller puts them in order.
 */
export class FiveTupleTable {
  entries = new Int32Array(initialEntries * entryWords)
  /** Entry in each slot; -1 for none. At most half of the slots are taken. */
  #slots = new Int32Array(initialEntries * 4).fill(-1)
  readonly #free: number[] = []
  #used = 0

  get size(): number {
    return this.#used - this.#free.length
  }

  /** The entry of a 5-tuple whose ends are at `words[first…]` and `words[second…]`; -1 for one that is not there. */
  find(words: Int32Array, first: number, second: number, ports: number, protocol: number): number {
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = hash(words, first, second, ports, protocol) & mask
    for (;;) {
      const entry = slots[slot]!
      if (entry < 0 || this.#equals(entry, words, first, second, ports, protocol)) return entry
      slot = (slot + 1) & mask
    }
  }

  /** Adds a 5-tuple that is not there. */
  add(words: Int32Array, first: number, second: number, ports: number, protocol: number): number {
    const entry = this.#free.pop() ?? this.#used++
    const at = entry * entryWords
    if (at === this.entries.length) this.entries = grown(this.entries)
    const entries = this.entries
    for (let i = 0; i < 4; i++) {
      entries[at + i] = words[first + i]!
      entries[at + 4 + i] = words[second + i]!
    }
    entries[at + 8] = ports
    entries[at + 9] = protocol
    if (this.size * 2 > this.#slots.length) this.#growSlots()
    else this.#place(entry)
    return entry
  }

  remove(entry: number): void {
    const slots = this.#slots
    const mask = slots.length - 1
    let hole = this.#homeOf(entry)
    while (slots[hole] !== entry) hole = (hole + 1) & mask
    // An entry behind the hole moves into it unless its home is behind the hole too: nothing else may come between.
    for (let slot = (hole + 1) & mask; slots[slot]! >= 0; slot = (slot + 1) & mask) {
      const fromHome = (slot - this.#homeOf(slots[slot]!)) & mask
      if (fromHome < ((slot - hole) & mask)) continue
      slots[hole] = slots[slot]!
      hole = slot
    }
    slots[hole] = -1
    this.#free.push(entry)
  }

  #equals(entry: number, words: Int32Array, first: number, second: number, ports: number, protocol: number): boolean {
    const entries = this.entries
    const at = entry * entryWords
    return (
      entries[at + 8] === ports &&
      entries[at + 3] === words[first + 3] &&
      entries[at + 7] === words[second + 3] &&
      entries[at + 9] === protocol &&
      entries[at] === words[first] &&
      entries[at + 1] === words[first + 1] &&
      entries[at + 2] === words[first + 2] &&
      entries[at + 4] === words[second] &&
      entries[at + 5] === words[second + 1] &&
      entries[at + 6] === words[second + 2]
    )
  }

  #homeOf(entry: number): number {
    const at = entry * entryWords
    return hash(this.entries, at, at + 4, this.entries[at + 8]!, this.entries[at + 9]!) & (this.#slots.length - 1)
  }

  #place(entry: number): void {
    const slots = this.#slots
    let slot = this.#homeOf(entry)
    while (slots[slot]! >= 0) slot = (slot + 1) & (slots.length - 1)
    slots[slot] = entry
  }

  #growSlots(): void {
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1)
    const free = new Set(this.#free)
    for (let entry = 0; entry < this.#used; entry++) if (!free.has(entry)) this.#place(entry)
  }
}

/** Mixes the words of a 5-tuple; only the spread matters, so the constants are any odd ones with their bits mixed well. */
function hash(words: Int32Array, first: number, second: number, ports: number, protocol: number): number {
  let mixed = seed ^ Math.imul(ports, 0x9e3779b1) ^ Math.imul(protocol, 0x85ebca6b)
  for (let i = 0; i < 4; i++) {
    mixed = Math.imul(mixed ^ words[first + i]!, 0xcc9e2d51)
    mixed = Math.imul((mixed ^ (mixed >>> 15)) + words[second + i]!, 0x1b873593)
  }
  return mixed ^ (mixed >>> 16)
}

function grown(words: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(words.length * 2)
  larger.set(words)
  return larger
}
