/** What goes beside a value, by name: who vouches for it, which trace it belongs to. Most records have none. */
export type Headers = Readonly<Record<string, Uint8Array>>

/** A record to publish. Keys decide partition and order: records of one key arrive in the order they were published. */
export interface BusRecord {
  key: string
  /** What decides the partition where it is not the key: records that share it share a partition, and their order. */
  partitionKey?: string
  /** Avro in Confluent wire format; null is a tombstone. */
  value: Uint8Array | null
  headers?: Headers | undefined
}

/** A record as it was read. */
export interface ConsumedRecord {
  key: string
  value: Uint8Array | null
  /** Absent where there are none; one that came several times is not among them. */
  headers?: Headers | undefined
  topic: string
  partition: number
  offset: number
  /** When the bus took it in, milliseconds since the epoch, by the bus's clock. */
  appendMs: number
}

/** Records of one partition number of all subscribed topics, in append order across these topics. */
export interface Batch {
  partition: number
  records: readonly ConsumedRecord[]
  /**
   * Says that this batch and those of its partition before it need not come again. Holds no record, so it may be kept and
   * called later. Does nothing when the partition was taken away or sought meanwhile.
   */
  commit: () => Promise<void>
}

/** Where a group begins that has committed nothing. */
export type BeginAt = 'earliest' | 'next'

/** What a reader is told of the partitions that it reads; called between batches, never twice for the same change. */
export interface PartitionListener {
  /** Partitions that are read from now on, from what the group committed. */
  onAssigned?: (partitions: readonly number[]) => void
  /** Partitions that another reader may have by now: what was made of them in memory is to be dropped. */
  onRevoked?: (partitions: readonly number[]) => void
}

/** Batches until it is aborted; then, or when the reader leaves the loop, the subscription is over. Read it once. */
export interface Subscription extends AsyncIterable<Batch> {
  /**
   * Reads a partition again: from what was committed, or from the earliest record that the bus still holds, and then for the
   * whole group: whoever gets the partition next begins there, too. Commits of batches handed out before do nothing. False
   * when the partition was taken away before that was so.
   */
  seek: (partition: number, to: 'committed' | 'earliest') => Promise<boolean>
  /** Hands out no batch of the partition until `resume`; the others go on. */
  pause: (partition: number) => void
  resume: (partition: number) => void
}

/** How far a reader of this process is with its group's input. */
export interface ReaderStatistics {
  /** Records of each topic-partition it has that were not handed out, as far as is known. */
  lag: readonly { topic: string; partition: number; records: number }[]
  /** Whether each of them was asked how far it goes; until then its lag is 0. */
  knowsEnd: boolean
  /** When the bus took in the oldest of them, or one before it, milliseconds since the epoch; null where there are none. */
  oldestMs: number | null
  /** Those of them that are in memory. */
  waiting: number
  /** Times that the group shared its partitions anew; 0 before this reader has joined it. */
  rebalances: number
  /** Failures that it began anew after, and others. */
  crashes: { restarted: number; final: number }
}

/** What services speak over: Kafka between processes, a bounded queue within one. */
export interface Bus {
  /**
   * Resolves once the records are safe with the bus; awaiting it is how a producer slows down. Rejects with a retryable
   * PROCLABEL_BUS when the bus cannot take them in time; then some of them may have been taken, and every publish that
   * waited behind it is rejected too, so that a caller who repeats them in order keeps the order.
   * Rejects with PROCLABEL_RECORD when one is larger than the bus ever takes; those before it may have been taken.
   */
  publish: (topic: string, records: readonly BusRecord[]) => Promise<void>
  /**
   * The group exists from this call on, not from the first read; a new group reads from the earliest record, or from what is
   * published next, as `beginAt` says. A batch that was never committed comes again to the group's next reader. Within one reader, the next batch is yielded when it asks
   * for it. Throws PROCLABEL_BUS out of the loop when the bus has failed for good.
   */
  subscribe: (
    topics: readonly string[],
    group: string,
    signal: AbortSignal,
    listener?: PartitionListener,
    beginAt?: BeginAt,
  ) => Subscription
  /** Of this process's reader of a group; null when it has none. */
  reader: (group: string) => ReaderStatistics | null
  /** Ends every subscription; a later publish is refused. */
  close: () => Promise<void>
}
