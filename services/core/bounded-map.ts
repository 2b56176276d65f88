/** Entries set again within this stay where they are: the order need not be finer, and moving costs. */
const moveEveryUs = 60_000_000
const initialPlaces = 8

/**
 * A map that holds at most `limit` entries, each for `ttlUs` of event time after it was last set. The one set longest ago
 * leaves first, give or take a minute. Time comes from the caller.
 *
 * An entry has a place in a few arrays instead of an object: a host has a hundred thousand of them.
 */
export class BoundedMap<K, V> {
  readonly #places = new Map<K, number>()
  readonly #values: (V | undefined)[] = []
  #times = timesOf(initialPlaces)
  readonly #free: number[] = []
  readonly #limit: number
  readonly #ttlUs: number

  constructor(limit: number, ttlUs = Number.POSITIVE_INFINITY) {
    this.#limit = limit
    this.#ttlUs = ttlUs
  }

  get size(): number {
    return this.#places.size
  }

  /** The value, unless it was set more than the time to live before `nowUs`. */
  get(key: K, nowUs: number): V | undefined {
    const place = this.#places.get(key)
    return place !== undefined && nowUs - this.#times.setUs[place]! <= this.#ttlUs ? this.#values[place] : undefined
  }

  set(key: K, value: V, nowUs: number): void {
    const known = this.#places.get(key)
    const place = known ?? this.#take()
    this.#values[place] = value
    this.#times.setUs[place] = nowUs
    if (known !== undefined) {
      if (nowUs - this.#times.movedUs[place]! < moveEveryUs) return
      this.#places.delete(key)
    }
    this.#times.movedUs[place] = nowUs
    this.#places.set(key, place)
    if (this.#places.size > this.#limit) {
      const [oldest] = this.#places
      this.#drop(...oldest!)
    }
  }

  /** See Stored: all entries in their order. */
  state() {
    const places = [...this.#places.values()]
    return {
      keys: [...this.#places.keys()],
      values: places.map(place => this.#values[place]!),
      setUs: at(this.#times.setUs, places),
      movedUs: at(this.#times.movedUs, places),
    }
  }

  restore({ keys, values, setUs, movedUs }: ReturnType<BoundedMap<K, V>['state']>): void {
    for (const [i, key] of keys.entries()) {
      const place = this.#take()
      this.#places.set(key, place)
      this.#values[place] = values[i]!
      this.#times.setUs[place] = setUs[i]!
      this.#times.movedUs[place] = movedUs[i]!
    }
  }

  /** Drops what is past its time, oldest first. */
  expire(nowUs: number): void {
    for (const [key, place] of this.#places) {
      if (nowUs - this.#times.setUs[place]! <= this.#ttlUs) break
      this.#drop(key, place)
    }
  }

  #take(): number {
    const place = this.#free.pop() ?? this.#values.length
    if (place === this.#times.setUs.length) {
      const { setUs, movedUs } = this.#times
      this.#times = timesOf(2 * place)
      this.#times.setUs.set(setUs)
      this.#times.movedUs.set(movedUs)
    }
    return place
  }

  #drop(key: K, place: number): void {
    this.#places.delete(key)
    this.#values[place] = undefined
    this.#free.push(place)
  }
}

/** By place: when the entry was last set, and when it was last moved to the end of the map. */
const timesOf = (places: number) => ({ setUs: new Float64Array(places), movedUs: new Float64Array(places) })

/** Several times faster than Float64Array.from. */
function at(times: Float64Array, places: readonly number[]): Float64Array {
  const picked = new Float64Array(places.length)
  for (let i = 0; i < places.length; i++) picked[i] = times[places[i]!]!
  return picked
}
