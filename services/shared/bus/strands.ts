import type { ConsumedRecord } from './bus.ts'

/** What a fetch brought of one topic-partition; offsets are those of the log, which may have holes. */
export interface Fetched {
  /** Where the fetch began. */
  fromOffset: number
  /** Where the next one goes on. */
  nextOffset: number
  /** Where the log ended then. */
  endOffset: number
  records: readonly ConsumedRecord[]
}

/** One topic's records of a partition that were fetched and not yet handed out, in order of their offsets. */
export class Strand {
  readonly topic: string
  #records: ConsumedRecord[] = []
  #head = 0
  #end: number | null = null
  /** Offset that is fetched next; null before the first fetch. */
  position: number | null = null
  /** Offset after the last record that was handed out; null before the first fetch. */
  handedOut: number | null = null
  /** What the group committed, as far as it is known. */
  committed: number | null = null
  /** Of the values that wait, and a little for each record. */
  bytes = 0
  /** When a fetch was last answered, or asked for anew; by performance.now(). */
  answeredMs = performance.now()
  /** When the bus took in the last record that was handed out. */
  #lastAppendMs: number | null = null

  constructor(topic: string) {
    this.topic = topic
  }

  /** Adds what was fetched; what it holds already is left out. Answers with the number of offsets that retention took away. */
  add({ fromOffset, nextOffset, endOffset, records }: Fetched): number {
    const position = this.position ?? fromOffset
    this.committed ??= fromOffset
    this.handedOut ??= fromOffset
    for (const record of records) {
      if (record.offset < position) continue
      this.#records.push(record)
      this.bytes += weightOf(record)
    }
    this.position = Math.max(position, nextOffset)
    this.#end = endOffset
    return Math.max(0, fromOffset - position)
  }

  get head(): ConsumedRecord | null {
    return this.#records[this.#head] ?? null
  }

  shift(): ConsumedRecord {
    const record = this.#records[this.#head++]!
    this.bytes -= weightOf(record)
    this.handedOut = record.offset + 1
    this.#lastAppendMs = record.appendMs
    if (this.#head === this.#records.length) {
      this.#records = []
      this.#head = 0
    } else if (this.#head >= 1024) {
      this.#records = this.#records.slice(this.#head)
      this.#head = 0
    }
    return record
  }

  get waiting(): number {
    return this.#records.length - this.#head
  }

  /** Records not handed out yet, as of the last fetch. Where the log has holes it is more than there are, until they are reached. */
  get lag(): number {
    const isDone = this.head === null && !this.isBehind
    return this.#end === null || isDone ? 0 : this.#end - this.handedOut!
  }

  /** When the oldest of them was taken in; where none is here, when the one before was. */
  get oldestMs(): number | null {
    return this.lag === 0 ? null : (this.head?.appendMs ?? this.#lastAppendMs)
  }

  /** Whether the log's end was told once. */
  get knowsEnd(): boolean {
    return this.#end !== null
  }

  /** Whether nothing waits here while the log has more, or may have: it was never asked. */
  get isBehind(): boolean {
    return this.head === null && (this.#end === null || this.position! < this.#end)
  }

  /** Forgets what waits; the next fetch begins at `offset`, or wherever the group's commit is when null. */
  reset(offset: number | null): void {
    this.#records = []
    this.#head = 0
    this.bytes = 0
    this.#end = null
    this.position = offset
    this.handedOut = offset
    this.committed = offset
  }
}

const recordBytes = 200
const weightOf = ({ value }: ConsumedRecord) => recordBytes + (value?.length ?? 0)

/**
 * One partition number of all topics, merged by append time; where that is equal, in the order of the topics. A topic that
 * has records which were not fetched yet holds the others back, for `holdMs` at most.
 */
export class MergedPartition {
  readonly strands: readonly Strand[]
  readonly #holdMs: number
  #heldSinceMs: number | null = null

  constructor(topics: readonly string[], holdMs: number) {
    this.strands = topics.map(topic => new Strand(topic))
    this.#holdMs = holdMs
  }

  /** The records that are next, until they are `most` or `mostBytes` are reached; none when there are none or they are held back. */
  take(most: number, nowMs: number, mostBytes = Number.POSITIVE_INFINITY): ConsumedRecord[] {
    const records: ConsumedRecord[] = []
    for (let bytes = 0; records.length < most && bytes < mostBytes; ) {
      const next = this.#next(nowMs)
      if (next === null) break
      const record = next.shift()
      bytes += weightOf(record)
      records.push(record)
    }
    return records
  }

  #next(nowMs: number): Strand | null {
    let first: Strand | null = null
    let isHeld = false
    for (const strand of this.strands) {
      const { head } = strand
      if (head === null) isHeld ||= strand.isBehind
      else if (first === null || head.appendMs < first.head!.appendMs) first = strand
    }
    if (!isHeld || first === null) {
      this.#heldSinceMs = null
      return first
    }
    this.#heldSinceMs ??= nowMs
    return nowMs - this.#heldSinceMs >= this.#holdMs ? first : null
  }
}
