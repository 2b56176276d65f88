/** A record to publish. Keys decide partition and order: records of one key arrive in the order they were published. */
export interface BusRecord {
  key: string
  /** Avro in Confluent wire format; null is a tombstone. */
  value: Uint8Array | null
}

/** A record as it was read. */
export interface ConsumedRecord extends BusRecord {
  topic: string
  partition: number
  offset: number
}

/** Records of one partition number of all subscribed topics, in append order, held until the reader calls `commit`. */
export interface Batch {
  partition: number
  records: readonly ConsumedRecord[]
  commit: () => Promise<void>
}

/** What services speak over: Kafka between processes, a bounded queue within one. */
export interface Bus {
  /** Resolves once the records are safe with the bus; awaiting it is how a producer slows down. */
  publish: (topic: string, records: readonly BusRecord[]) => Promise<void>
  /**
   * Yields batches until `signal` aborts. The group exists from this call on, not from the first read.
   * A batch that was never committed comes again to the group's next subscriber. One reader at a time handles a batch:
   * the next is yielded when it asks for it.
   */
  subscribe: (topics: readonly string[], group: string, signal: AbortSignal) => AsyncIterable<Batch>
  /** Ends every subscription; a later publish is refused. */
  close: () => Promise<void>
}
