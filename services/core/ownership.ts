import type { Label, Process, SocketProtocol } from '#schemas'

/**
 * A moment on the clock of one source. The true time lies in [lowUs, highUs]: equal for an exact event, the second for a
 * log in whole seconds, (poll k-1, poll k] for a poll. lowUs 0 means that the beginning was not seen.
 */
export interface Moment {
  lowUs: number
  highUs: number
  /** Whose clock: `snapshot`, or the event source. */
  clock: string
}

/**
 * One socket in the hands of one set of owners, from its first to its last moment:
 *
 *            from.low  from.high            until.low   until.high
 *   ------------|.........|=====================|..........|--------> time
 *               may own   owns for certain      may own
 */
export interface OwnershipInterval {
  proto: SocketProtocol
  localIp: string
  localPort: number
  /** Null for a listening or unconnected socket; so is remotePort. */
  remoteIp: string | null
  remotePort: number | null
  v6Only: boolean
  /** Processes that hold the socket; several when it was inherited; empty when not known. */
  owners: readonly Label[]
  from: Moment
  /** Null while it is open, or when its end is never told. */
  until: Moment | null
  /** The last moment a poll or an event showed it. */
  seen: Moment
  /** The source tells when sockets end. False for logs that report connections alone: such a sighting ages. */
  endTold: boolean
  /** Where it was seen first: snapshot, or the event source. */
  source: string
  /** How it began, where an event or its state told. */
  role: 'connect' | 'accept' | 'listen' | null
  /** A poll has shown it. */
  polled: boolean
  /** Rows of the newest poll that show it. */
  rows: number
}

/** One process by pid and start time; a missing start time fits any. */
export function sameProcess(a: Label, b: Label): boolean {
  return (
    a.pid === b.pid &&
    (a.process_start_us === b.process_start_us || a.process_start_us === null || b.process_start_us === null)
  )
}

export function includesAll(holders: readonly Label[], wanted: readonly Label[]): boolean {
  return wanted.every(one => holders.some(other => sameProcess(one, other)))
}

/** init hands its sockets to the services it starts and uses none of those itself. */
const initPid = 1

/** Who of the holders of a socket may have used it. */
export function users(owners: readonly Label[]): readonly Label[] {
  return owners.length > 1 ? owners.filter(owner => owner.pid !== initPid) : owners
}

/** A process as a label; its services are one text. */
export function labelOf(process: Process): Label {
  return {
    process: process.name,
    pid: process.pid,
    process_start_us: process.start_us,
    path: process.path,
    service: process.services.join(',') || null,
    container_id: process.container_id,
    pod: process.pod,
    container_image: process.container_image,
    parent: process.parent_name,
  }
}
