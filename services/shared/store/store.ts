/**
 * Names what one write left behind, so that a copy built from it can be told from any other. '0' is a host never written;
 * the rest is the adapter's own. Not a plain count: a store that lost its last second would come to the same count again.
 */
export type Version = string

/** What a matcher keeps of one host between batches. */
export interface HostState {
  version: Version
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
  expectedVersion: Version
  /** Fields to set, and with null to delete. A name is never empty. */
  put: ReadonlyMap<string, Uint8Array | null>
  /** One with the id of a record that still waits takes its place, at the end. */
  outbox: readonly OutboxRecord[]
}

/**
 * State that must outlive a matcher, by host. What has expired in event time is deleted by the caller; the store never
 * looks at the time. A store that is away throws PROCLABEL_STORE, retryable, after a bounded wait.
 */
export interface Store {
  /**
   * Goes up when writes that were answered may be lost (connection lost, failover): copies are to be dropped and input is
   * to be read again from the committed offsets. Whatever is answered after such a loss is answered after the change.
   */
  readonly epoch: number
  load: (hostId: string) => Promise<HostState>
  loadMany: (hostIds: readonly string[]) => Promise<Map<string, HostState>>
  /**
   * Answers with the new version; null when `expectedVersion` was not the stored one: then nothing was written. If it
   * throws, the write may have happened or not: calling again with the same object never writes twice, and answers as
   * the first call did.
   */
  save: (hostId: string, write: HostWrite) => Promise<Version | null>
  /** Records not yet acknowledged, oldest first. */
  outbox: (hostId: string) => Promise<readonly OutboxRecord[]>
  acknowledge: (hostId: string, ids: readonly string[]) => Promise<void>
  close: () => Promise<void>
}
