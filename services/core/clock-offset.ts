import type { MatchConstants } from './constants.ts'

/** Host clock minus capture clock: the region that most pairs agree on. */
export interface OffsetEstimate {
  /** Middle of the region, microseconds. */
  offsetUs: number
  lowUs: number
  highUs: number
  /** Weight of the pairs that hold this region. */
  weight: number
}

interface Pair {
  tuple: string
  lowUs: number
  highUs: number
}

interface Window {
  pairs: Pair[]
  best: OffsetEstimate | null
}

/** A 5-tuple that was used more than once in the window may be paired wrongly: it counts half. */
const uniqueWeight = 2
const repeatedWeight = 1

/** Disjoint regions of equal weight closer than this differ by round trips, not by a wrong pair. */
const sameClusterUs = 1_000_000

/**
 * The offset of one clock, from pairs of a socket's birth (host clock) and its session's first packet (capture clock). A
 * pair says that the offset lies in an interval: a point for an exact event, a poll period for a poll, a second for a log
 * in whole seconds. The estimate is the region that most intervals share: K. Marzullo and S. Owicki, "Maintaining the time in
 * a distributed system", 1983, as NTP's selection uses it (RFC 5905 section 11.2.1). Wrong pairs share no region.
 *
 * Pairs are gathered in windows of capture time, so that a stepped clock is followed within one window.
 */
export class ClockOffset {
  readonly #constants: MatchConstants
  readonly #windows = new Map<number, Window>()
  /** The last answer: questions come in order of time. */
  #asked: { index: number; answer: OffsetEstimate | null } | null = null
  #newest = 0

  constructor(constants: MatchConstants) {
    this.#constants = constants
  }

  /** See Stored. */
  state() {
    return { windows: this.#windows, newest: this.#newest }
  }

  restore({ windows, newest }: ReturnType<ClockOffset['state']>): void {
    for (const [index, window] of windows) this.#windows.set(index, window)
    this.#newest = newest
  }

  /** `lowUs` to `highUs`: where this pair says the offset is. `atUs`: capture time. */
  add(tuple: string, atUs: number, lowUs: number, highUs: number): void {
    const index = this.#index(atUs)
    let window = this.#windows.get(index)
    if (!window) {
      window = { pairs: [], best: null }
      this.#windows.set(index, window)
    }
    const { toleranceUs, offsetPairs } = this.#constants
    const pair = { tuple, lowUs: lowUs - toleranceUs, highUs: highUs + toleranceUs }
    const isRepeated = window.pairs.some(other => other.tuple === tuple)
    if (window.pairs.length >= offsetPairs) window.pairs.shift()
    window.pairs.push(pair)
    window.best =
      window.best && !isRepeated && meets(window.best, pair)
        ? narrow(window.best, pair)
        : findRegion(window.pairs, this.#neighbour(index))
    this.#newest = Math.max(this.#newest, index)
    this.#asked = null
  }

  /** The estimate for a capture time: its window's, else the nearest window's before it, else after it. */
  at(atUs: number): OffsetEstimate | null {
    const index = this.#index(atUs)
    if (this.#asked?.index !== index) this.#asked = { index, answer: this.#choose(index) }
    return this.#asked.answer
  }

  latest(): OffsetEstimate | null {
    return this.#windows.size === 0 ? null : this.at(this.#newest * this.#constants.offsetWindowUs)
  }

  expire(nowUs: number): void {
    const oldest = this.#index(nowUs - this.#constants.keepUs)
    for (const index of this.#windows.keys()) {
      // The newest window stays: an estimate of yesterday is better than none.
      if (index < oldest && index !== this.#newest) this.#windows.delete(index)
    }
    this.#asked = null
  }

  #index(atUs: number): number {
    return Math.floor(atUs / this.#constants.offsetWindowUs)
  }

  #choose(index: number): OffsetEstimate | null {
    const own = this.#windows.get(index)?.best ?? null
    const near = this.#neighbour(index)
    if (!own || !near) return own ?? near
    // One pair against a neighbour of many is more likely a wrong pair than a stepped clock.
    return meets(own, near) || own.weight > uniqueWeight || own.weight >= near.weight ? own : near
  }

  #neighbour(index: number): OffsetEstimate | null {
    let before: number | null = null
    let after: number | null = null
    for (const [other, window] of this.#windows) {
      if (!window.best) continue
      if (other < index && (before === null || other > before)) before = other
      if (other > index && (after === null || other < after)) after = other
    }
    const nearest = before ?? after
    return nearest === null ? null : this.#windows.get(nearest)!.best
  }
}

function meets(a: Pick<Pair, 'lowUs' | 'highUs'>, b: Pick<Pair, 'lowUs' | 'highUs'>): boolean {
  return a.lowUs <= b.highUs && b.lowUs <= a.highUs
}

/** The best region with one more unique pair that meets it: no other region can have become heavier. */
function narrow(best: OffsetEstimate, pair: Pair): OffsetEstimate {
  const lowUs = Math.max(best.lowUs, pair.lowUs)
  const highUs = Math.min(best.highUs, pair.highUs)
  return { lowUs, highUs, offsetUs: Math.round((lowUs + highUs) / 2), weight: best.weight + uniqueWeight }
}

/** What most clocks do. */
const agreement = { lowUs: 0, highUs: 0 }

/** The region of greatest weight. Equal ones far apart: the one that `prior` touches (0 without), else none can be believed. */
function findRegion(pairs: readonly Pair[], prior: OffsetEstimate | null): OffsetEstimate | null {
  const uses = new Map<string, number>()
  for (const { tuple } of pairs) uses.set(tuple, (uses.get(tuple) ?? 0) + 1)

  const edges: { atUs: number; weight: number }[] = []
  for (const pair of pairs) {
    const weight = uses.get(pair.tuple) === 1 ? uniqueWeight : repeatedWeight
    edges.push({ atUs: pair.lowUs, weight }, { atUs: pair.highUs, weight: -weight })
  }
  edges.sort((a, b) => a.atUs - b.atUs || b.weight - a.weight)

  let weight = 0
  let regions: OffsetEstimate[] = []
  for (const [i, edge] of edges.entries()) {
    weight += edge.weight
    const best = regions[0]?.weight ?? 0
    if (edge.weight < 0 || weight < best) continue
    if (weight > best) regions = []
    const highUs = edges[i + 1]!.atUs
    regions.push({ offsetUs: (edge.atUs + highUs) / 2, lowUs: edge.atUs, highUs, weight })
  }
  const first = regions[0]!
  if (regions.at(-1)!.highUs - first.lowUs <= sameClusterUs || regions.length === 1) return rounded(first)
  const touched = regions.find(region => meets(region, prior ?? agreement))
  return touched ? rounded(touched) : null
}

function rounded(estimate: OffsetEstimate): OffsetEstimate {
  return { ...estimate, offsetUs: Math.round(estimate.offsetUs) }
}
