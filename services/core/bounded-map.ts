/**
 * A map that holds at most `limit` entries, each for `ttlUs` of event time after it was last set. The one set longest ago
 * leaves first. Time comes from the caller.
 */
export class BoundedMap<V> {
  readonly #entries = new Map<string, { value: V; setUs: number }>()
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
  get(key: string, nowUs: number): V | undefined {
    const entry = this.#entries.get(key)
    return entry && nowUs - entry.setUs <= this.#ttlUs ? entry.value : undefined
  }

  set(key: string, value: V, nowUs: number): void {
    this.#entries.delete(key)
    this.#entries.set(key, { value, setUs: nowUs })
    if (this.#entries.size > this.#limit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest)
        break
      }
    }
  }

  /** Drops what is past its time. Entries are in the order they were set, nearly that of time. */
  expire(nowUs: number): void {
    for (const [key, entry] of this.#entries) {
      if (nowUs - entry.setUs <= this.#ttlUs) break
      this.#entries.delete(key)
    }
  }
}
