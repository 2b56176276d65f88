import type { MatchConstants } from './constants.ts'
import type { HostClocks } from './host-clocks.ts'
import type { Moment } from './ownership.ts'

interface Span {
  fromUs: number
  untilUs: number
}

interface Source {
  complete: boolean
  /** The last moment the source spoke of. */
  heardUs: number
  /** Spans of the source's clock without a gap, oldest first. */
  spans: Span[]
}

/** Spans kept of one source; a source that breaks off more often than that is not worth remembering. */
const spansKept = 1_000

/** Which times of a host its socket data speaks for, by source. */
export class Coverage {
  readonly #constants: MatchConstants
  readonly #clocks: HostClocks
  readonly #sources = new Map<string, Source>()

  constructor(constants: MatchConstants, clocks: HostClocks) {
    this.#constants = constants
    this.#clocks = clocks
  }

  /** See Stored. */
  state(): ReadonlyMap<string, Source> {
    return this.#sources
  }

  restore(sources: ReadonlyMap<string, Source>): void {
    for (const [clock, source] of sources) this.#sources.set(clock, source)
  }

  get isEmpty(): boolean {
    return this.#sources.size === 0
  }

  /** The source speaks for this time of its clock. `contiguous`: nothing is missing since it last spoke. */
  extend(clock: string, complete: boolean, fromUs: number, untilUs: number, contiguous: boolean): void {
    const source = this.hear(clock, untilUs)
    source.complete = complete
    const last = source.spans.at(-1)
    if (last && contiguous) last.untilUs = Math.max(last.untilUs, untilUs)
    else if (source.spans.push({ fromUs, untilUs }) > spansKept) source.spans.shift()
  }

  /** The source has got to this time of its clock, with or without a gap. */
  hear(clock: string, heardUs: number): Source {
    let source = this.#sources.get(clock)
    if (!source) {
      source = { complete: false, heardUs, spans: [] }
      this.#sources.set(clock, source)
    }
    source.heardUs = Math.max(source.heardUs, heardUs)
    return source
  }

  /** Whether this source speaks for all of the time between two capture times. */
  covers(clock: string, fromUs: number, toUs: number): boolean {
    const offsetUs = this.#clocks.offsetUs(clock, fromUs) ?? 0
    const spans = this.#sources.get(clock)?.spans ?? []
    return spans.some(span => span.fromUs <= fromUs + offsetUs && toUs + offsetUs <= span.untilUs)
  }

  coversByAny(fromUs: number, toUs: number): boolean {
    for (const clock of this.#sources.keys()) if (this.covers(clock, fromUs, toUs)) return true
    return false
  }

  /** Whether a source that tells every event speaks for this time. */
  isComplete(fromUs: number, toUs: number): boolean {
    for (const [clock, { complete }] of this.#sources) if (complete && this.covers(clock, fromUs, toUs)) return true
    return false
  }

  /** The last moment the source spoke of; null for one that never did. */
  lastHeard(clock: string): Moment | null {
    const source = this.#sources.get(clock)
    return source ? { lowUs: source.heardUs, highUs: source.heardUs, clock } : null
  }

  /** Capture time up to which every source has spoken; one that has fallen silent is not waited for. */
  watermarkUs(): number | null {
    let newest: number | null = null
    for (const [clock, source] of this.#sources) newest = Math.max(newest ?? 0, this.#markUs(clock, source))
    if (newest === null) return null
    let oldest = newest
    for (const [clock, source] of this.#sources) {
      const markUs = this.#markUs(clock, source)
      if (markUs >= newest - this.#constants.holdUs) oldest = Math.min(oldest, markUs)
    }
    return oldest
  }

  #markUs(clock: string, { heardUs }: Source): number {
    return this.#clocks.toCapture(clock, heardUs)
  }

  expire(nowUs: number): void {
    for (const source of this.#sources.values()) {
      const firstKept = source.spans.findIndex(span => span.untilUs >= nowUs - this.#constants.keepUs)
      source.spans = firstKept < 0 ? source.spans.slice(-1) : source.spans.slice(firstKept)
    }
  }
}
