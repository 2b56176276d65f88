import type { Process, SocketEvent } from '#schemas'

/** What a host's system told since the reading before. */
export interface EventReading {
  /** Every event up to here is in this reading or an earlier one: host wall clock since the epoch, microseconds. */
  untilUs: number
  /** Events that the system dropped because they were not fetched in time. */
  lost: number
  /** In order of time. */
  events: SocketEvent[]
  /** For each of `events` its process as it was then; null while not known. */
  processes: (Process | null)[]
}

/** Where a live host's events come from: one adapter an operating system. */
export interface EventSource {
  /** How the events are had, as `source` of socket-event.avsc says it. */
  readonly mechanism: string
  /** Every connect, accept, close and UDP send is told. */
  readonly complete: boolean
  /** What happened since the last call. Throws ProclabelError. */
  read: () => EventReading
  /** Gives memory back: of sockets and processes of before, less is known from then on. */
  forget?: () => void
  /** Gives back what the system holds for it. Not to be read after. */
  close: () => void
}

/** A source of events, or none, and why the better ones could not be had: one sentence each. */
export interface OpenedEvents {
  source: EventSource | null
  refusals: string[]
}
