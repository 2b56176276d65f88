import type { Label } from '#schemas'
import type { MatchConstants } from '../constants.ts'
import type { HostClocks } from '../host-clocks.ts'
import { type OwnershipInterval, users } from '../ownership.ts'
import { commonLabel, type Inference, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'

interface Sighting {
  label: Label
  interval: OwnershipInterval
  /** How far the session is from the interval in time, microseconds; 0 inside. */
  distanceUs: number
}

/**
 * Stage F, in post-processing: everything the socket log ever said of the session's local port. A port is used again about
 * once a day, by anyone. So near the session a socket counts when it was bound, or when it talked to the same address;
 * farther away only a service counts that owned its port alone, before the session and after it.
 */
export function searchPortHistory(
  facts: SessionFacts,
  history: readonly OwnershipInterval[],
  clocks: HostClocks,
  constants: MatchConstants,
): Inference | null {
  const sightings: Sighting[] = []
  for (const interval of history) {
    const owners = users(interval.owners)
    if (owners.length === 0 || owners.some(owner => owner.process !== owners[0]!.process)) continue
    sightings.push({ label: owners.reduce(commonLabel), interval, distanceUs: distanceOf(facts, interval, clocks) })
  }
  sightings.sort((a, b) => a.distanceUs - b.distanceUs)
  const near = sightings.filter(sighting => sighting.distanceUs <= constants.portHistoryReachUs)
  const anywhere = constants.portHistoryReachUs === Number.POSITIVE_INFINITY
  return (
    dominant(anywhere ? near : near.filter(one => isRelated(facts, one.interval)), constants) ??
    service(facts, sightings, clocks, constants)
  )
}

function distanceOf(facts: SessionFacts, interval: OwnershipInterval, clocks: HostClocks): number {
  const fromUs = clocks.toCapture(interval.from.clock, interval.from.highUs)
  const last = interval.until ?? (interval.endTold ? null : interval.seen)
  const lastUs = last ? clocks.toCapture(last.clock, last.highUs) : Number.POSITIVE_INFINITY
  return Math.max(0, fromUs - facts.lastUs, facts.firstUs - lastUs)
}

function isRelated(facts: SessionFacts, interval: OwnershipInterval): boolean {
  if (interval.remoteIp !== null) return interval.remoteIp === facts.remoteIp
  return !(facts.proto === 'tcp' && facts.directionBy === 'syn' && facts.direction === 'out')
}

/** The nearest socket's program, if it has its share of all that are near. */
function dominant(near: readonly Sighting[], constants: MatchConstants): Inference | null {
  const nearest = near[0]
  if (!nearest) return null
  const same = near.filter(sighting => sighting.label.process === nearest.label.process)
  const share = same.length / near.length
  if (share < constants.portHistoryShare) return null
  const label = programOf(same.map(sighting => sighting.label).reduce(commonLabel))
  return { label, reason: 'port had this owner near in time', support: near.length, share }
}

/** The one program that had the port bound before the session and after it. A log of connections alone cannot tell. */
function service(
  facts: SessionFacts,
  sightings: readonly Sighting[],
  clocks: HostClocks,
  constants: MatchConstants,
): Inference | null {
  const bound = sightings.filter(({ interval }) => interval.endTold && isService(interval, constants))
  const first = bound[0]
  if (!first || bound.some(sighting => sighting.label.process !== first.label.process)) return null
  if (!bound.every(sighting => isRelated(facts, sighting.interval))) return null
  const fromUs = (one: Sighting) => clocks.toCapture(one.interval.from.clock, one.interval.from.highUs)
  const before = bound.some(sighting => fromUs(sighting) <= facts.firstUs)
  const after = bound.some(sighting => fromUs(sighting) > facts.firstUs || sighting.distanceUs === 0)
  if (!before || !after) return null
  const label = programOf(bound.map(sighting => sighting.label).reduce(commonLabel))
  return { label, reason: 'service owned the port before and after', support: bound.length, share: 1 }
}

function isService(interval: OwnershipInterval, constants: MatchConstants): boolean {
  if (interval.remoteIp !== null) return false
  return interval.role === 'listen' || interval.localPort < constants.ephemeralPortFrom
}
