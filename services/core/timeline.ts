import type { Label, SocketProtocol } from '#schemas'
import type { MatchConstants } from './constants.ts'
import type { HostClocks } from './host-clocks.ts'
import { includesAll, type Moment, type OwnershipInterval } from './ownership.ts'
import { PortTimeline } from './port-timeline.ts'

/** Stands for the local port of a connection whose log does not tell it; no socket has this port. */
export const untoldPort = 0

/** What one poll row or one event says about a socket. */
export interface Observation extends Pick<OwnershipInterval, 'proto' | 'localIp' | 'localPort' | 'remoteIp'> {
  remotePort: number | null
  v6Only: boolean
  owners: readonly Label[]
  moment: Moment
  /** The moment is that of the socket's birth, not merely one at which it was there. */
  birth: boolean
  /**
   * Which known sockets it may be a record of: any; one that no poll has shown, for a row that is new in a poll; or also one
   * that ended just then, for a TIME_WAIT row.
   */
  mayBe: 'any' | 'unshown' | 'ended'
  endTold: boolean
  role: OwnershipInterval['role']
}

/** A sweep that was forced by the limit frees this share, so that the next one is far. */
const sweepShare = 0.1

/**
 * Who owned which socket of a host, and when. Polls and events feed it; records of one socket become one interval, whatever
 * order they arrive in.
 */
export class Timeline {
  readonly #constants: MatchConstants
  readonly #clocks: HostClocks
  readonly #ports = new Map<number, PortTimeline>()
  #size = 0

  constructor(constants: MatchConstants, clocks: HostClocks) {
    this.#constants = constants
    this.#clocks = clocks
  }

  /** See Stored. */
  state(): ReadonlyMap<number, readonly OwnershipInterval[]> {
    return new Map(Array.from(this.#ports, ([key, { all }]) => [key, all]))
  }

  restore(ports: ReadonlyMap<number, readonly OwnershipInterval[]>): void {
    for (const [key, intervals] of ports) {
      this.#ports.set(key, new PortTimeline(intervals))
      this.#size += intervals.length
    }
  }

  get size(): number {
    return this.#size
  }

  /** Takes up an observation: into the interval of the same socket, else a new one. `born` says which. */
  observe(seen: Observation): { interval: OwnershipInterval; born: boolean } {
    const port = this.#port(seen.proto, seen.localPort)
    const list = port.of(seen.remoteIp, seen.remotePort)
    for (let i = list.length - 1; i >= 0; i--) {
      const interval = list[i]!
      if (this.#isSameSocket(interval, seen)) {
        this.#merge(interval, seen)
        return { interval, born: false }
      }
    }
    const interval = newInterval(seen)
    port.add(interval)
    if (++this.#size > this.#constants.maxIntervals) this.#dropOldest()
    return { interval, born: true }
  }

  /** Intervals whose remote end is exactly this. */
  exact(proto: string, localPort: number, remoteIp: string, remotePort: number): readonly OwnershipInterval[] {
    return this.#ports.get(portKey(proto, localPort))?.of(remoteIp, remotePort) ?? []
  }

  /** Listening and unconnected sockets of a port. */
  unconnected(proto: string, localPort: number): readonly OwnershipInterval[] {
    return this.#ports.get(portKey(proto, localPort))?.of(null, null) ?? []
  }

  /** Everything known of a port, in the order it came. */
  history(proto: string, localPort: number): readonly OwnershipInterval[] {
    return this.#ports.get(portKey(proto, localPort))?.all ?? []
  }

  *intervals(): Iterable<OwnershipInterval> {
    for (const port of this.#ports.values()) yield* port.all
  }

  /** Forgets what ended, or was last seen, before `nowUs` less the time to keep. */
  expire(nowUs: number): void {
    this.#dropBefore(nowUs - this.#constants.keepUs)
  }

  #isSameSocket(interval: OwnershipInterval, seen: Observation): boolean {
    if (interval.localIp !== seen.localIp || interval.v6Only !== seen.v6Only) return false
    if (seen.mayBe === 'unshown' && interval.polled) return false
    const { owners } = seen
    if (owners.length > 0 && interval.owners.length > 0) {
      if (!includesAll(interval.owners, owners) && !includesAll(owners, interval.owners)) return false
    } else if (
      owners.length + interval.owners.length > 0 &&
      seen.proto === 'udp' &&
      interval.endTold !== seen.endTold
    ) {
      // Which of the senders on a port a row without owner belongs to is not known: the port may have been used again at once.
      return false
    }
    const atLowUs = this.#clocks.toCapture(seen.moment.clock, seen.moment.lowUs)
    const { mergeSlackUs } = this.#constants
    const fromUs = this.#clocks.toCapture(interval.from.clock, interval.from.lowUs)
    if (this.#atUs(seen.moment) < fromUs - mergeSlackUs) return false
    const slackUs = seen.mayBe === 'ended' && interval.polled ? 0 : mergeSlackUs
    return atLowUs <= this.#reachesUs(interval, seen) + slackUs
  }

  /** Until when a further record still belongs to this interval, capture clock. */
  #reachesUs(interval: OwnershipInterval, seen: Observation): number {
    if (interval.until) return this.#atUs(interval.until)
    if (interval.endTold) return Number.POSITIVE_INFINITY
    const seenUs = this.#atUs(interval.seen)
    // A sighting repeated within the idle timeout is the same UDP conversation; of TCP it is another connection.
    return seen.proto === 'udp' ? seenUs + this.#constants.sightingUdpReachUs : seenUs
  }

  #merge(interval: OwnershipInterval, seen: Observation): void {
    const { moment } = seen
    if (isFirstRow(interval, seen) || this.#isBetterBirth(interval.from, seen)) interval.from = moment
    if (this.#atUs(moment) > this.#atUs(interval.seen)) interval.seen = moment
    if (interval.until && this.#atUs(moment) >= this.#atUs(interval.until)) interval.until = null
    // Fewer holders: those who keep it use it. More: they inherited it, and the first ones stay its owners.
    if (seen.owners.length > 0 && (interval.owners.length === 0 || seen.owners.length < interval.owners.length)) {
      interval.owners = seen.owners
    }
    interval.endTold ||= seen.endTold
    interval.role ??= seen.role
  }

  /** The finer record of a birth wins; of two equally fine ones, and of mere sightings, the earlier. */
  #isBetterBirth(known: Moment, seen: Observation): boolean {
    const { moment } = seen
    if (!seen.birth) return this.#atUs(moment) < this.#clocks.toCapture(known.clock, known.lowUs)
    const finerUs = known.highUs - known.lowUs - (moment.highUs - moment.lowUs)
    if (finerUs === 0) return this.#atUs(moment) < this.#atUs(known)
    return finerUs > 0 && this.#atUs(moment) <= this.#atUs(known) + this.#constants.mergeSlackUs
  }

  #atUs(moment: Moment): number {
    return this.#clocks.toCapture(moment.clock, moment.highUs)
  }

  #port(proto: SocketProtocol, localPort: number): PortTimeline {
    const key = portKey(proto, localPort)
    let port = this.#ports.get(key)
    if (!port) {
      port = new PortTimeline()
      this.#ports.set(key, port)
    }
    return port
  }

  #lastUs(interval: OwnershipInterval): number {
    if (interval.until) return interval.until.highUs
    return interval.endTold ? Number.POSITIVE_INFINITY : interval.seen.highUs
  }

  #dropOldest(): void {
    const ages = [...this.intervals()].map(interval => interval.until?.highUs ?? interval.seen.highUs)
    ages.sort((a, b) => a - b)
    const cutUs = ages[Math.ceil(ages.length * sweepShare)]!
    this.#drop(interval => (interval.until?.highUs ?? interval.seen.highUs) <= cutUs)
  }

  #dropBefore(cutUs: number): void {
    this.#drop(interval => this.#lastUs(interval) < cutUs)
  }

  #drop(isOld: (interval: OwnershipInterval) => boolean): void {
    for (const [key, port] of this.#ports) {
      const kept = port.all.filter(interval => !isOld(interval))
      if (kept.length === port.all.length) continue
      this.#size -= port.all.length - kept.length
      if (kept.length === 0) {
        this.#ports.delete(key)
        continue
      }
      this.#ports.set(key, new PortTimeline(kept))
    }
  }
}

/** Sightings of a UDP socket tell when it was there; the first row of it brackets its birth. */
function isFirstRow(interval: OwnershipInterval, seen: Observation): boolean {
  return seen.proto === 'udp' && seen.birth && seen.endTold && !interval.endTold
}

function newInterval(seen: Observation): OwnershipInterval {
  return {
    proto: seen.proto,
    localIp: seen.localIp,
    localPort: seen.localPort,
    remoteIp: seen.remoteIp,
    remotePort: seen.remotePort,
    v6Only: seen.v6Only,
    owners: seen.owners,
    from: seen.moment,
    until: null,
    seen: seen.moment,
    endTold: seen.endTold,
    source: seen.moment.clock,
    role: seen.role,
    polled: false,
    rows: 0,
  }
}

/** One number for protocol and port: TCP below 65536, UDP above. */
function portKey(proto: string, localPort: number): number {
  return proto === 'udp' ? localPort + 65_536 : localPort
}
