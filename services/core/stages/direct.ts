import type { Label } from '#schemas'
import type { MatchConstants } from '../constants.ts'
import type { Coverage } from '../coverage.ts'
import type { HostClocks } from '../host-clocks.ts'
import { isV4, isWildcard } from '../ip-text.ts'
import { type Moment, type OwnershipInterval, sameProcess, users } from '../ownership.ts'
import { snapshotClock } from '../poll-reader.ts'
import type { ProcessExits } from '../process-exits.ts'
import { commonLabel, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'
import { type Timeline, untoldPort } from '../timeline.ts'
import { tupleKey } from '../tuple.ts'

/** What stage A looks at. */
export interface DirectView {
  timeline: Timeline
  clocks: HostClocks
  exits: ProcessExits
  coverage: Coverage
  constants: MatchConstants
  pollPeriodUs: number
  /** Addresses that containers of the host have: its own sockets that are bound to no address do not take packets for them. */
  containerAddresses: ReadonlySet<string>
  /** Post-processing: an exact 5-tuple may be as far off as clocks are searched for, while the offset is not known. */
  isLate: boolean
}

export type DirectMatch =
  /** `handedOver`: by its listener, to whom is not known. */
  | { kind: 'owner'; label: Label; best: Candidate; handedOver: boolean }
  | { kind: 'ambiguous'; owners: readonly Label[]; best: Candidate }
  /** `ownerless`: the socket was seen, its owner never. */
  | { kind: 'none'; ownerless: OwnershipInterval | null }

/**
 * How the socket's ends fit; less is better. `remote`: it was seen to send to this remote end, by whichever address of the host.
 * `untoldPort`: so it was, by a port that the log does not tell.
 * A :: socket takes IPv4 only where no IPv4 socket does.
 */
const quality = { exact: 0, remote: 1, bound: 2, wildcard: 3, mappedWildcard: 4, untoldPort: 5 } as const

/**
 * How its time fits; less is better: the session began with the socket; the socket was there; it may have been there, between
 * two polls; it came while the session lasted; it had gone not long before.
 */
const fit = { began: 0, inside: 1, edge: 2, late: 3, gone: 4 } as const

export interface Candidate {
  interval: OwnershipInterval
  quality: number
  fit: number
  /** How far the session's first packet is from the interval, microseconds. */
  distanceUs: number
}

const qualityNames = ['exact', 'remote', 'bound', 'wildcard', 'wildcard', 'remote-end'] as const

export function qualityName(candidate: Candidate): string {
  return qualityNames[candidate.quality]!
}

export function isExact(candidate: Candidate): boolean {
  return candidate.quality === quality.exact
}

/** Its local port is not told: the remote end and the time alone are the session's. */
export function isByRemoteEnd(candidate: Candidate): boolean {
  return candidate.quality === quality.untoldPort
}

/** The socket was there when the session began, not merely near. */
export function isInside(candidate: Candidate): boolean {
  return candidate.fit !== fit.gone
}

/**
 * Stage A: the socket that the session's first packet belongs to. Sockets there at that time come before those that were gone
 * by then; among them an exact 5-tuple before a remote end, a bound local address before a wildcard or listener.
 */
export function matchDirect(facts: SessionFacts, view: DirectView): DirectMatch {
  const candidates: Candidate[] = []
  let ownerless: OwnershipInterval | null = null
  const isContainers = view.containerAddresses.has(facts.localIp)
  const consider = (interval: OwnershipInterval, ends: number) => {
    const time = fitTime(facts, interval, ends === quality.exact, view)
    if (!time) return
    if (users(interval.owners).length === 0) ownerless = interval
    else candidates.push({ interval, quality: ends, ...time })
  }
  for (const interval of view.timeline.exact(facts.proto, facts.localPort, facts.remoteIp, facts.remotePort)) {
    if (interval.localIp === facts.localIp) consider(interval, quality.exact)
    else if (isWildcard(interval.localIp) && !isContainers) consider(interval, quality.remote)
  }
  for (const interval of view.timeline.unconnected(facts.proto, facts.localPort)) {
    const ends = fitLocalEnd(facts, interval, isContainers)
    if (ends !== null) consider(interval, ends)
  }
  for (const interval of view.timeline.exact(facts.proto, untoldPort, facts.remoteIp, facts.remotePort)) {
    const time = fitUntoldPort(facts, interval, view)
    if (time) candidates.push({ interval, quality: quality.untoldPort, ...time })
  }
  if (candidates.length === 0) return { kind: 'none', ownerless }
  candidates.sort(compare)
  const match = decide(candidates, view.constants.toleranceUs)
  const heir = match.kind === 'owner' && match.label.pid !== null ? heirOf(match.best.interval, view) : null
  return heir ? { kind: 'owner', label: heir, best: match.best, handedOver: true } : match
}

/** Connections of a listener's port that are looked at to see who has them. */
const connectionsLookedAt = 64

/**
 * A listener whose connections others were seen to have gives each to a process of its own, as sshd and inetd do. Then who had
 * this one is known by the program alone: theirs. Null for a listener that keeps its connections, and for what is none.
 */
function heirOf({ proto, localPort, remoteIp, owners }: OwnershipInterval, { timeline }: DirectView): Label | null {
  if (proto !== 'tcp' || remoteIp !== null) return null
  const records = timeline.history(proto, localPort)
  let heir: Label | null = null
  for (let i = records.length - 1; i >= Math.max(0, records.length - connectionsLookedAt); i--) {
    const { remoteIp: peer, owners: holders } = records[i]!
    const [first] = users(holders)
    if (peer === null || first === undefined) continue
    if (holders.some(holder => owners.some(owner => sameProcess(owner, holder)))) return null
    heir ??= programOf(first)
  }
  return heir
}

function decide(candidates: readonly Candidate[], toleranceUs: number): Exclude<DirectMatch, { kind: 'none' }> {
  const best = candidates[0]!
  const owners: Label[] = []
  for (const rival of candidates) {
    if (isWorse(rival, best, toleranceUs)) break
    for (const owner of users(rival.interval.owners)) {
      if (!owners.some(known => sameProcess(known, owner))) owners.push(owner)
    }
  }
  if (owners.some(owner => owner.process !== owners[0]!.process)) return { kind: 'ambiguous', owners, best }
  return { kind: 'owner', label: owners.reduce(commonLabel), best, handedOver: false }
}

function isGone(candidate: Candidate): number {
  return candidate.fit === fit.gone ? 1 : 0
}

function compare(a: Candidate, b: Candidate): number {
  return isGone(a) - isGone(b) || a.quality - b.quality || a.fit - b.fit || a.distanceUs - b.distanceUs
}

function isWorse(rival: Candidate, best: Candidate, toleranceUs: number): boolean {
  return rival.quality !== best.quality || rival.fit !== best.fit || rival.distanceUs - best.distanceUs > toleranceUs
}

function fitLocalEnd(facts: SessionFacts, interval: OwnershipInterval, isContainers: boolean): number | null {
  // Who opened the session by a SYN of its own did not do it from a listening socket.
  const opened = facts.directionBy === 'syn' && facts.direction === 'out'
  if (facts.proto === 'tcp' && opened) return null
  if (interval.localIp === facts.localIp) return quality.bound
  if (isContainers) return null
  const v4 = isV4(facts.localIp)
  if (interval.localIp === '0.0.0.0') return v4 ? quality.wildcard : null
  if (interval.localIp !== '::') return null
  if (!v4) return quality.wildcard
  return interval.v6Only ? null : quality.mappedWildcard
}

interface TimeFit {
  fit: number
  distanceUs: number
}

/** How the interval's time fits the session's first packet; null when they are apart. */
function fitTime(facts: SessionFacts, interval: OwnershipInterval, exact: boolean, view: DirectView): TimeFit | null {
  return interval.endTold ? fitInterval(facts, interval, exact, view) : fitSighting(facts, interval, exact, view)
}

function fitInterval(
  facts: SessionFacts,
  interval: OwnershipInterval,
  exact: boolean,
  view: DirectView,
): TimeFit | null {
  const { firstUs, lastUs, synSeen } = facts
  const reachUs = view.constants.snapshotsBack * view.pollPeriodUs
  const { from: birth, until: told } = interval
  // Across a gap of the agent "between polls k-1 and k" can be hours: the socket is not taken to have been there all the time.
  const bornUs = Math.max(birth.lowUs, birth.highUs - reachUs)
  const from = onCapture({ ...birth, lowUs: bornUs }, facts, exact, view)
  // A SYN opens a socket: one that was there long before is of an earlier connection, whose end no poll caught.
  const isOlder = firstUs - from.highUs > view.constants.sightingSynReachUs
  if (exact && synSeen && (isOlder || isOfOther(facts, from, view))) return null
  const end = told
    ? { ...told, highUs: Math.min(told.highUs, told.lowUs + reachUs) }
    : (processEnd(interval, view) ?? lastHeard(interval, view))
  const until = end && onCapture(end, facts, exact, view)
  if (firstUs >= from.lowUs && (!until || firstUs <= until.highUs)) {
    if (exact && synSeen && firstUs <= from.highUs) return { fit: fit.began, distanceUs: 0 }
    const certain = firstUs >= from.highUs && (!until || firstUs <= until.lowUs)
    return { fit: certain ? fit.inside : fit.edge, distanceUs: 0 }
  }
  if (firstUs < from.lowUs) {
    // The socket may show up after the first packet: at the next poll, or when the handshake is done.
    const lateUs = lastUs + 2 * view.pollPeriodUs
    return exact && from.lowUs <= lateUs ? { fit: fit.late, distanceUs: from.lowUs - firstUs } : null
  }
  const goneUs = firstUs - until!.highUs
  return goneUs <= reachUs ? { fit: fit.gone, distanceUs: goneUs } : null
}

function keyOf(facts: SessionFacts): string {
  return tupleKey(facts, facts.remoteIp, facts.remotePort)
}

/** A log that tells connections alone: its event is a point, and how long it speaks for depends on the session. */
function fitSighting(
  facts: SessionFacts,
  interval: OwnershipInterval,
  exact: boolean,
  view: DirectView,
): TimeFit | null {
  const { firstUs, lastUs, synSeen, proto } = facts
  const { constants } = view
  const fromUs = onCapture(interval.from, facts, exact, view).lowUs
  const seenUs = onCapture(interval.seen, facts, exact, view).highUs
  const distanceUs = Math.max(0, fromUs - firstUs, firstUs - seenUs)
  if (proto === 'tcp' && synSeen && exact) {
    if (distanceUs > constants.sightingSynReachUs) return null
    if (isOfOther(facts, { lowUs: fromUs, highUs: seenUs }, view)) return null
    return { fit: distanceUs === 0 ? fit.began : fit.edge, distanceUs }
  }
  if (fromUs <= lastUs && seenUs >= firstUs) return { fit: fit.inside, distanceUs }
  const reachUs = proto === 'tcp' ? constants.sightingTcpReachUs : constants.sightingUdpReachUs
  if (fromUs > lastUs || firstUs - seenUs > reachUs || hasPassedOn(facts, interval, view)) return null
  return { fit: fit.gone, distanceUs }
}

/**
 * An event that leaves the local port open is of a session that began at about that time, in its direction. All that do are as
 * near as any: a packet may wait for its neighbour's address, and whose clock is how far off only events with ports tell.
 */
function fitUntoldPort(facts: SessionFacts, { from, seen, role }: OwnershipInterval, view: DirectView): TimeFit | null {
  const { firstUs, proto, synSeen, direction } = facts
  if (proto === 'tcp' && (!synSeen || (role === 'accept') !== (direction === 'in'))) return null
  const { untoldPortNearUs, untoldPortReachUs } = view.constants
  const reachUs = view.clocks.offsetUs(from.clock, firstUs) === null ? untoldPortReachUs : untoldPortNearUs
  const fromUs = onCapture(from, facts, false, view).lowUs - reachUs
  const untilUs = onCapture(seen, facts, false, view).highUs + reachUs
  return firstUs >= fromUs && firstUs <= untilUs ? { fit: fit.edge, distanceUs: 0 } : null
}

/** Where a port was used again at once, a socket is that of the session which began nearest to its birth. */
function isOfOther(facts: SessionFacts, birth: { lowUs: number; highUs: number }, { clocks }: DirectView): boolean {
  const distanceFrom = (us: number) => Math.max(0, birth.lowUs - us, us - birth.highUs)
  const distanceUs = distanceFrom(facts.firstUs)
  if (distanceUs === 0) return false
  return clocks.sessionsOf(keyOf(facts), facts.firstUs).some(otherUs => distanceFrom(otherUs) < distanceUs)
}

/** Whether the owner of a sighting has ended since, or another has been seen on the port. */
function hasPassedOn(facts: SessionFacts, sighting: OwnershipInterval, view: DirectView): boolean {
  const { clocks } = view
  const sinceUs = clocks.toCapture(sighting.seen.clock, sighting.seen.highUs)
  const end = processEnd(sighting, view)
  if (end && clocks.toCapture(end.clock, end.highUs) < facts.firstUs) return true
  return hasOtherOwner(facts, sighting.owners, sinceUs, view)
}

/** Records of one port that are looked through for another owner; where there are more, there may be one. */
const recordsLookedThrough = 1_000

/** Whether a process other than these was seen on the session's port between a time and the session's first packet. */
export function hasOtherOwner(
  facts: SessionFacts,
  owners: readonly Label[],
  sinceUs: number,
  view: Pick<DirectView, 'timeline' | 'clocks'>,
): boolean {
  const records = view.timeline.history(facts.proto, facts.localPort)
  const oldest = Math.max(0, records.length - recordsLookedThrough)
  for (let i = records.length - 1; i >= oldest; i--) {
    const { from, owners: others } = records[i]!
    const fromUs = view.clocks.toCapture(from.clock, from.highUs)
    // A UDP row without owner may be anybody's, from its earliest moment on; of TCP it is mostly a connection in TIME_WAIT.
    const isAnybodys = others.length === 0 && facts.proto === 'udp'
    const earliestUs = isAnybodys ? view.clocks.toCapture(from.clock, from.lowUs) : fromUs
    if (fromUs <= sinceUs || earliestUs > facts.firstUs) continue
    if (isAnybodys) return true
    if (others.some(other => !owners.some(owner => owner.process === other.process))) return true
  }
  return oldest > 0 && view.clocks.toCapture(records[oldest]!.from.clock, records[oldest]!.from.highUs) > sinceUs
}

/** When the only process that held the socket ended, for a socket whose close nobody told. */
function processEnd(interval: OwnershipInterval, view: DirectView): Moment | null {
  const owner = interval.owners[0]
  return owner && interval.owners.length === 1 && interval.rows === 0 ? view.exits.endOf(owner, interval.from) : null
}

/** Until when those who would have told of the socket's end have spoken: after that it is not known to be there. */
function lastHeard({ from, polled }: OwnershipInterval, { coverage, clocks }: DirectView): Moment | null {
  const told = coverage.lastHeard(from.clock)
  const shown = polled ? coverage.lastHeard(snapshotClock) : null
  if (!told || !shown) return told ?? shown
  return clocks.toCapture(told.clock, told.highUs) > clocks.toCapture(shown.clock, shown.highUs) ? told : shown
}

/** The moment on the capture clock, widened by what clocks may disagree. */
function onCapture(
  moment: Moment,
  facts: SessionFacts,
  exact: boolean,
  view: DirectView,
): { lowUs: number; highUs: number } {
  const offsetUs = view.clocks.offsetUs(moment.clock, facts.firstUs)
  const { toleranceUs, offsetSearchUs } = view.constants
  const isSearched = offsetUs === null && view.isLate && exact && isOnlyUse(facts, view)
  const slackUs = isSearched ? offsetSearchUs : toleranceUs
  return { lowUs: moment.lowUs - (offsetUs ?? 0) - slackUs, highUs: moment.highUs - (offsetUs ?? 0) + slackUs }
}

/** No other session of this 5-tuple is so near that the socket might be the other's. */
function isOnlyUse(facts: SessionFacts, { clocks, constants }: DirectView): boolean {
  const { toleranceUs, offsetSearchUs } = constants
  return !clocks.sessionsOf(keyOf(facts), facts.firstUs).some(otherUs => {
    const apartUs = Math.abs(otherUs - facts.firstUs)
    return apartUs > toleranceUs && apartUs <= 2 * offsetSearchUs
  })
}
