/** Numbers that are the same for the same seed: xorshift32 (G. Marsaglia, "Xorshift RNGs", 2003). */
export class Random {
  #state: number

  constructor(seed: number) {
    // Small seeds differ in few bits: let them spread (the finalizer of MurmurHash3).
    let x = seed + 0x9e3779b9
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b)
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35)
    this.#state = (x ^ (x >>> 16)) | 1
  }

  /** From 0 up to, not including, 1. */
  uniform(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return (x >>> 0) / 0x1_0000_0000
  }

  between(low: number, high: number): number {
    return low + this.uniform() * (high - low)
  }

  below(limit: number): number {
    return Math.floor(this.uniform() * limit)
  }

  chance(share: number): boolean {
    return this.uniform() < share
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.uniform())
  }

  /** Log-normal by its median and the spread of its logarithm (Box-Muller). */
  logNormal(median: number, sigma: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()))
    return median * Math.exp(sigma * radius * Math.cos(2 * Math.PI * this.uniform()))
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  /** One of the pairs' values, as likely as its weight says. */
  weighted<T>(pairs: readonly (readonly [T, number])[]): T {
    let left = this.uniform() * pairs.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [value, weight] of pairs) {
      left -= weight
      if (left < 0) return value
    }
    return pairs.at(-1)![0]
  }

  /** A place in a list of `size`, the first ones far more likely: density 1 / x. */
  ranked(size: number): number {
    return Math.min(size - 1, Math.floor(size ** this.uniform()) - 1 + (size === 1 ? 0 : this.below(2)))
  }
}
