/**
 * Frames as they were captured, in columns: row i is `data.subarray(offset[i], offset[i] + captured[i])`.
 * The block and its buffers belong to the source and are valid until the next block is asked for.
 */
export interface FrameBlock {
  count: number
  data: Uint8Array
  /** Byte offset of each frame in `data`, and the bytes captured of it. */
  offset: Int32Array
  captured: Int32Array
  /** Bytes on the wire; at least `captured`. */
  wireLength: Int32Array
  /** Microseconds since the epoch, rounded down; fractions of a microsecond are dropped. */
  timeUs: Float64Array
  /** LINKTYPE_ value of each frame (pcapng interfaces may differ). */
  linkType: Uint16Array
}

/** What a source saw so far; a record is in exactly one of the two counts. */
export interface SourceStatistics {
  /** Packet records handed out in blocks. */
  read: number
  /** Records (or damaged remainders of a file, one each) that could not be read, by reason. */
  skipped: Record<string, number>
  /** Frames lost before they reached us, where the source can tell (kernel drops); null where it cannot. */
  dropped: number | null
  bytesRead: number
}

/** Where frames come from: a capture file, standard input, or an interface. */
export interface PacketSource {
  readonly isLive: boolean
  /** Yields blocks until the input ends or `signal` aborts. Damage at the end of a file is counted, not thrown. */
  blocks: (signal?: AbortSignal) => AsyncIterable<FrameBlock>
  statistics: () => SourceStatistics
  close: () => Promise<void>
}
