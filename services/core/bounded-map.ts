interface Entry<V> {
  value: V
  setUs: number
  /** When the entry was last moved to the end of the map. */
  movedUs: number
}

/** Entries set again within this stay where they are: the order need not be finer, and moving costs. */
const moveEveryUs = 60_000_000

/**
 * A map that holds at most `limit` entries, each for `ttlUs` of event time after it was last set. The one set longest ago
 * leaves first, give or take a minute. Time comes from the caller.
 */
export class BoundedMap<K, V> {
  readonly #entries = new Map<K, Entry<V>>()
  readonly #limit: number
  readonly #ttlUs: number

  constructor(limit: number, ttlUs = Number.POSITIVE_INFINITY) {
    this.#limit = limit
    this.#ttlUs = ttlUs
  }

  get size(): number {
    return this.#entries.size
  }

  /** The value, unless it was set more than the time to live before `nowUs`. */
  get(key: K, nowUs: number): V | undefined {
    const entry = this.#entries.get(key)
    return entry && nowUs - entry.setUs <= this.#ttlUs ? entry.value : undefined
  }

  set(key: K, value: V, nowUs: number): void {
    const entry = this.#entries.get(key)
    if (entry && nowUs - entry.movedUs < moveEveryUs) {
      entry.value = value
      entry.setUs = nowUs
      return
    }
    if (entry) this.#entries.delete(key)
    this.#entries.set(key, { value, setUs: nowUs, movedUs: nowUs })
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value!)
  }

  /** See Stored. */
  state(): ReadonlyMap<K, Entry<V>> {
    return this.#entries
  }

  restore(entries: ReadonlyMap<K, Entry<V>>): void {
    for (const [key, entry] of entries) this.#entries.set(key, entry)
  }

  /** Drops what is past its time, oldest first. */
  expire(nowUs: number): void {
    for (const [key, entry] of this.#entries) {
      if (nowUs - entry.setUs <= this.#ttlUs) break
      this.#entries.delete(key)
    }
  }
}
