import type { Label } from '#schemas'
import type { MatchConstants } from '../constants.ts'
import type { HostClocks } from '../host-clocks.ts'
import { type OwnershipInterval, users } from '../ownership.ts'
import { commonLabel, type Inference, programOf } from '../program.ts'
import type { SessionFacts } from '../session-facts.ts'

interface Found {
  program: Label
  count: number
  nearestUs: number
}

/**
 * Stage F, in post-processing: everything the socket log ever said of the session's local port. A port is used again about
 * once a day, by anyone. So near the session a socket counts when it was bound, or when it talked to the same address;
 * farther away only a service counts that owned its port alone, before the session and after it. `except`: not to be found.
 */
export function searchPortHistory(
  facts: SessionFacts,
  history: readonly OwnershipInterval[],
  except: OwnershipInterval | null,
  clocks: HostClocks,
  constants: MatchConstants,
): Inference | null {
  const records = relevant(facts, history, constants)
  return findNear(facts, records, except, clocks, constants) ?? findService(facts, records, except, clocks, constants)
}

/** Where a port's history is longer than this, it is a server's: most of it is connections that tell nothing new. */
const wholeHistory = 512

/** Of a long history: bound sockets, and connections with the same address. */
function relevant(
  facts: SessionFacts,
  history: readonly OwnershipInterval[],
  constants: MatchConstants,
): readonly OwnershipInterval[] {
  if (history.length <= wholeHistory || constants.portHistoryReachUs === Number.POSITIVE_INFINITY) return history
  return history.filter(({ remoteIp }) => remoteIp === null || remoteIp === facts.remoteIp)
}

/** The program of the nearest socket, if it has its share of all sockets that are near. */
function findNear(
  facts: SessionFacts,
  history: readonly OwnershipInterval[],
  except: OwnershipInterval | null,
  clocks: HostClocks,
  constants: MatchConstants,
): Inference | null {
  const reachUs = constants.portHistoryReachUs
  const programs = new Map<string, Found>()
  let nearest: Found | null = null
  let total = 0
  for (const interval of history) {
    if (interval === except || (reachUs !== Number.POSITIVE_INFINITY && !isRelated(facts, interval))) continue
    const distanceUs = distanceOf(facts, interval, clocks)
    if (distanceUs > reachUs) continue
    const program = programOfSocket(interval)
    if (!program) continue
    total++
    const found = programs.get(program.process) ?? { program, count: 0, nearestUs: distanceUs }
    found.program = commonLabel(found.program, program)
    found.count++
    found.nearestUs = Math.min(found.nearestUs, distanceUs)
    programs.set(program.process, found)
    if (!nearest || found.nearestUs < nearest.nearestUs) nearest = found
  }
  const share = nearest ? nearest.count / total : 0
  if (!nearest || share < constants.portHistoryShare) return null
  return { label: nearest.program, reason: 'port had this owner near in time', support: total, share }
}

/** The one program that had the port bound before the session and after it. A log of connections alone cannot tell. */
function findService(
  facts: SessionFacts,
  history: readonly OwnershipInterval[],
  except: OwnershipInterval | null,
  clocks: HostClocks,
  constants: MatchConstants,
): Inference | null {
  let service: Label | null = null
  let [before, after, support] = [false, false, 0]
  for (const interval of history) {
    if (interval === except || !interval.endTold || !isService(interval, constants)) continue
    const program = programOfSocket(interval)
    if (!program || !isRelated(facts, interval) || (service && service.process !== program.process)) return null
    service = service ? commonLabel(service, program) : program
    support++
    if (clocks.toCapture(interval.from.clock, interval.from.highUs) <= facts.firstUs) before = true
    else after = true
    if (distanceOf(facts, interval, clocks) === 0) after = true
  }
  if (!service || !before || !after) return null
  return { label: service, reason: 'service owned the port before and after', support, share: 1 }
}

/** Null where the owner is not known, or where several programs hold the socket. */
function programOfSocket(interval: OwnershipInterval): Label | null {
  const owners = users(interval.owners)
  const first = owners[0]
  if (!first || owners.some(owner => owner.process !== first.process)) return null
  return programOf(owners.reduce(commonLabel))
}

function distanceOf(facts: SessionFacts, interval: OwnershipInterval, clocks: HostClocks): number {
  const fromUs = clocks.toCapture(interval.from.clock, interval.from.highUs)
  const last = interval.until ?? (interval.endTold ? null : interval.seen)
  const lastUs = last ? clocks.toCapture(last.clock, last.highUs) : Number.POSITIVE_INFINITY
  return Math.max(0, fromUs - facts.lastUs, facts.firstUs - lastUs)
}

/** A bound socket takes what comes to its port; a connected one only what comes from its remote end. */
function isRelated(facts: SessionFacts, interval: OwnershipInterval): boolean {
  if (interval.remoteIp !== null) return interval.remoteIp === facts.remoteIp
  return !(facts.proto === 'tcp' && facts.directionBy === 'syn' && facts.direction === 'out')
}

function isService(interval: OwnershipInterval, constants: MatchConstants): boolean {
  if (interval.remoteIp !== null) return false
  return interval.role === 'listen' || interval.localPort < constants.ephemeralPortFrom
}
