/** What a matcher keeps of one host between batches. */
export interface HostState {
  /** Goes up by one with every write; 0 for a host never written. */
  version: number
  fields: Map<string, Uint8Array>
}

/** A record that is ready to be published, kept until the bus has acknowledged it. */
export interface OutboxRecord {
  id: string
  topic: string
  key: string
  value: Uint8Array
}

/** One atomic write: all of it, or nothing. */
export interface HostWrite {
  /** The version that the working copy was built from; another one in the store means that somebody else has written. */
  expectedVersion: number
  /** Fields to set, each with the event time (microseconds) at which it may be forgotten. */
  put: ReadonlyMap<string, { value: Uint8Array; expiresUs: number }>
  outbox: readonly OutboxRecord[]
}

/** State that must outlive a matcher, by host. Time is event time and comes from the caller. */
export interface Store {
  load: (hostId: string) => Promise<HostState>
  /** Answers with the new version; null when `expectedVersion` was not the stored one: then nothing was written. */
  save: (hostId: string, write: HostWrite) => Promise<number | null>
  /** Records not yet acknowledged, oldest first. */
  outbox: (hostId: string) => Promise<readonly OutboxRecord[]>
  acknowledge: (hostId: string, ids: readonly string[]) => Promise<void>
  /** Forgets fields that expired before `nowUs`, and answers how many. */
  expire: (hostId: string, nowUs: number) => Promise<number>
  close: () => Promise<void>
}
