import { BoundedMap } from './bounded-map.ts'
import { ClockOffset } from './clock-offset.ts'
import type { MatchConstants } from './constants.ts'
import type { Moment } from './ownership.ts'

/** Capture times, both ends included; what was judged in between should be judged again. */
export interface TimeRange {
  fromUs: number
  toUs: number
}

/** The same 5-tuple seldom returns more often than this within the search distance. */
const usesKept = 8

/**
 * The clocks of one host: one for its polls, one for each event source. Pairs sessions with the births of their sockets,
 * in whichever order the two arrive, and keeps the offsets that follow from it.
 */
export class HostClocks {
  readonly #constants: MatchConstants
  readonly #offsets = new Map<string, ClockOffset>()
  readonly #sessions: BoundedMap<string, number[]>
  readonly #births: BoundedMap<string, Moment[]>
  #changed: TimeRange | null = null

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.#sessions = new BoundedMap(constants.offsetWaiting)
    this.#births = new BoundedMap(constants.offsetWaiting)
  }

  /** See Stored. */
  state() {
    return {
      offsets: Array.from(this.#offsets, ([clock, offset]) => [clock, offset.state()] as const),
      sessions: this.#sessions.state(),
      births: this.#births.state(),
      changed: this.#changed,
    }
  }

  restore({ offsets, sessions, births, changed }: ReturnType<HostClocks['state']>): void {
    for (const [clock, state] of offsets) this.#offset(clock).restore(state)
    this.#sessions.restore(sessions)
    this.#births.restore(births)
    this.#changed = changed
  }

  /** A session that began at its first packet. */
  addSession(tuple: string, firstUs: number): void {
    if (!this.#constants.useClockOffset) return
    const known = this.#sessions.get(tuple, firstUs)
    if (known?.includes(firstUs)) return
    this.#sessions.set(tuple, known ? [...known.slice(1 - usesKept), firstUs] : [firstUs], firstUs)
    for (const birth of this.#births.get(tuple, firstUs) ?? []) this.#pair(tuple, firstUs, birth)
  }

  /** A socket whose birth was bracketed. */
  addBirth(tuple: string, birth: Moment): void {
    if (!this.#constants.useClockOffset) return
    const { offsetSearchUs, mergeSlackUs } = this.#constants
    if (birth.lowUs === 0 || birth.highUs - birth.lowUs > offsetSearchUs) return
    const known = this.#births.get(tuple, birth.highUs)
    // Some logs write one connection several times over.
    const repeats = (other: Moment) =>
      other.clock === birth.clock && Math.abs(other.highUs - birth.highUs) < mergeSlackUs
    if (known?.some(repeats)) return
    this.#births.set(tuple, known ? [...known.slice(1 - usesKept), birth] : [birth], birth.highUs)
    for (const firstUs of this.#sessions.get(tuple, birth.highUs) ?? []) this.#pair(tuple, firstUs, birth)
  }

  /** When the last sessions of a 5-tuple began, capture clock. */
  sessionsOf(tuple: string, nowUs: number): readonly number[] {
    return this.#sessions.get(tuple, nowUs) ?? []
  }

  /** Host clock minus capture clock at a capture time; null while not known. */
  offsetUs(clock: string, atUs: number): number | null {
    if (!this.#constants.useClockOffset) return 0
    return this.#offsets.get(clock)?.at(atUs)?.offsetUs ?? null
  }

  /** A host time on the capture clock, as well as is known. */
  toCapture(clock: string, hostUs: number): number {
    // Windows are far longer than offsets: the host time finds the right one, or its neighbour.
    return hostUs - (this.offsetUs(clock, hostUs) ?? 0)
  }

  /** The newest estimate of every clock, for metrics. */
  offsets(): ReadonlyMap<string, number> {
    const known = new Map<string, number>()
    for (const [clock, offset] of this.#offsets) {
      const latest = offset.latest()
      if (latest) known.set(clock, latest.offsetUs)
    }
    return known
  }

  /** Capture times whose offset has changed since the last call. */
  takeChanged(): TimeRange | null {
    const changed = this.#changed
    this.#changed = null
    return changed
  }

  expire(nowUs: number): void {
    for (const offset of this.#offsets.values()) offset.expire(nowUs)
  }

  #offset(clock: string): ClockOffset {
    let offset = this.#offsets.get(clock)
    if (!offset) {
      offset = new ClockOffset(this.#constants)
      this.#offsets.set(clock, offset)
    }
    return offset
  }

  #pair(tuple: string, firstUs: number, birth: Moment): void {
    const { offsetSearchUs, offsetStepUs, offsetWindowUs } = this.#constants
    const lowUs = birth.lowUs - firstUs
    const highUs = birth.highUs - firstUs
    if (lowUs > offsetSearchUs || highUs < -offsetSearchUs) return
    const offset = this.#offset(birth.clock)
    const before = offset.at(firstUs)
    offset.add(tuple, firstUs, lowUs, highUs)
    const after = offset.at(firstUs)
    if (!after || (before && Math.abs(after.offsetUs - before.offsetUs) <= offsetStepUs)) return
    const fromUs = before ? Math.floor(firstUs / offsetWindowUs) * offsetWindowUs : 0
    this.#changed = { fromUs: Math.min(fromUs, this.#changed?.fromUs ?? fromUs), toUs: Number.POSITIVE_INFINITY }
  }
}
