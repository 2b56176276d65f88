import type { Process, Socket } from '#schemas'

/** One reading of a host's socket table, as the difference to the reading before. */
export interface SocketReading {
  /** When it began: host wall clock since the epoch and monotonic clock, microseconds. */
  timeUs: number
  monotonicUs: number
  durationUs: number
  /** New sockets, and those whose state, ends or owners changed. */
  opened: Socket[]
  /** Ids that are gone. */
  closed: number[]
  /** Every process that is an owner in `opened`, as it is now: an exec changes the name but not the identity. */
  processes: Process[]
}

/** An address that a container has. */
export interface NamespaceAddress {
  ip: string
  /** Inode of its network namespace. */
  namespace: number
}

export interface PolledReading extends SocketReading {
  /** Processor time that it took. */
  cpuUs: number
}

/** What was polled since it was last asked for. */
export interface PolledReadings {
  readings: PolledReading[]
  /** Moments at which a poll was due but the one before still went on. */
  missed: number
}

/** A source that is polled at fixed moments; the first poll opens every socket there is. */
export interface SocketPolls {
  /** So many periods from one poll to the next, from now on; one at first. */
  pace: (periods: number) => void
  /** The polls since the last call. Throws ProclabelError when one failed; there are none after that. */
  take: () => PolledReadings
}

/**
 * Where sockets come from on a live host: one adapter an operating system. What an agent wrote down earlier comes back
 * through `readSocketLog`, in the records that `runAgent` publishes.
 */
export interface SocketSource {
  readonly os: string
  /** What this source cannot see, in a sentence for the user; null when it sees all. */
  readonly restriction: string | null
  /**
   * Polls every `periodMs` until it is closed, whatever this process does meanwhile. In between, the table may be taken to be what
   * it was where the system tells that nothing was on the wire since but for sockets in it.
   */
  start: (periodMs: number) => SocketPolls
  /** Addresses of other network namespaces whose sockets it tells, as of the last poll, none of loopback; none where absent. */
  addresses?: () => NamespaceAddress[]
  /** Gives back what the system holds for it. Not to be polled after. */
  close: () => void
}
