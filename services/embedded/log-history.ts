import type { MatchConstants } from '#core/constants.ts'
import { HostMatcher } from '#core/host-matcher.ts'
import type { OwnershipInterval } from '#core/ownership.ts'
import type { SessionFacts } from '#core/session-facts.ts'
import { ownCodecs, type Poll, type SocketEvent, type SocketSnapshot } from '#schemas'
import type { LoggedRecord } from './socket-logs.ts'

/** All ownership intervals that a host's socket log holds of a session's local port. */
export type LogHistory = (facts: SessionFacts, hostId: string) => readonly OwnershipInterval[]

/** Local ports, as `proto port`, by host. */
export type WantedPorts = ReadonlyMap<string, ReadonlySet<string>>

export const portKey = (proto: string, port: number): string => `${proto} ${port}`

/**
 * Reads socket logs from end to end for the sockets of some local ports, which stage F searches over all days. Memory grows
 * with the sockets of these ports.
 */
export async function readLogHistory(
  records: AsyncIterable<LoggedRecord>,
  wanted: WantedPorts,
  constants: MatchConstants,
): Promise<LogHistory> {
  const unbounded = {
    ...constants,
    keepUs: Number.POSITIVE_INFINITY,
    maxIntervals: Number.POSITIVE_INFINITY,
  }
  const hosts = new Map(Array.from(wanted.keys(), hostId => [hostId, new HostMatcher(hostId, unbounded)]))
  for await (const { topic, hostId, value } of records) {
    const host = hosts.get(hostId)
    const ports = wanted.get(hostId)
    if (!host || !ports) continue
    const isWanted = ({ proto, local_port }: { proto: string | null; local_port: number | null }) =>
      proto === null || local_port === null || ports.has(portKey(proto, local_port))
    if (topic === 'hosts') host.applyHost(ownCodecs.hosts.decode(value))
    else if (topic === 'socket-snapshots') {
      const message: SocketSnapshot = ownCodecs['socket-snapshots'].decode(value)
      const polls = message.polls.map((poll): Poll => ({ ...poll, opened: poll.opened.filter(isWanted) }))
      host.applySnapshot({ ...message, polls })
    } else {
      const message = ownCodecs['socket-events'].decode(value)
      const events = message.events.filter((event: SocketEvent) => isWanted(event))
      host.applyEvents({ ...message, events })
    }
  }
  return ({ proto, localPort }, hostId) => hosts.get(hostId)?.intervalsOf(proto, localPort) ?? []
}
