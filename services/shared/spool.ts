import { type FileHandle, mkdir, open, readdir, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { lockFolder } from './spool-lock.ts'
import {
  checkSegment,
  decodeRecord,
  encodeRecord,
  type OutgoingRecord,
  recordEnd,
  recordHeaderBytes,
  segmentMagic,
} from './spool-segment.ts'

export type { OutgoingRecord } from './spool-segment.ts'

/** What a spool and those who use it tell their operator; pino's loggers fit. */
export interface EventLog {
  info: (fields: object, message: string) => void
  warn: (fields: object, message: string) => void
}

export interface SpoolOptions {
  /** Made when it is not there; one process at a time. */
  folder: string
  /** Bytes on disk at most. */
  maxBytes: number
  /** `drop-oldest`: whole segments go, and are counted, to make room, on a full disk too. `refuse-newest`: what does not fit is not taken. */
  whenFull: 'drop-oldest' | 'refuse-newest'
  log: EventLog
}

export interface SpoolStatistics {
  /** Records and bytes on disk. */
  records: number
  bytes: number
  /** Records that were on disk and will not be read; `torn` is counted once for each torn end. */
  dropped: Partial<Record<SpoolDropReason, number>>
}

/** Of the oldest, to make room: spool-full, disk-full. */
export type SpoolDropReason = 'spool-full' | 'disk-full' | 'torn' | 'unreadable'

/** Records from the head of the spool; `end` is the number behind the last of them, for `acknowledge`. */
export interface SpoolChunk {
  records: OutgoingRecord[]
  end: number
}

/** A file of records. Records are numbered through all segments, from 0 at the first that was found on opening. */
interface Segment {
  path: string
  first: number
  records: number
  bytes: number
}

/** A sixteenth of the spool goes at once where the oldest is dropped, but no more than this. */
const maxSegmentBytes = 8 * 1024 * 1024
/** How long a disk that failed is left alone. */
const retryMs = 1000
const segmentName = /^(\d{16})\.spool$/

/**
 * Records that wait on disk, first in, first out. What `append` took outlives the process, also one that is killed: it goes
 * to the system at once, but not to the platter, so a power failure may tear off the end. After a restart the records from
 * the first segment that was not acknowledged whole come again, so some are read twice.
 * A disk that fails is told of once, counted, and tried again; no call rejects because of it.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #segmentBytes: number
  readonly #segments: Segment[] = []
  /** Of the last segment, while it takes records. */
  #writing: FileHandle | null = null
  #reading: { segment: Segment; file: FileHandle } | null = null
  #nextSegment = 1
  /** Number of the next record to append. */
  #next = 0
  /** Records below have been acknowledged. */
  #acknowledged = 0
  /** Where reading goes on: a record's number and place in the first segment. */
  #head = { record: 0, offset: segmentMagic.length }
  /** Behind the chunk that was read last. */
  #readEnd = { record: 0, offset: segmentMagic.length }
  #bytes = 0
  readonly #dropped: Partial<Record<SpoolDropReason, number>> = {}
  #failure: { code: string | undefined; sinceMs: number; triedMs: number } | null = null
  #isFull = false
  #last: Promise<unknown> = Promise.resolve()
  #unlock: () => Promise<void> = async () => {}

  private constructor(options: SpoolOptions) {
    this.#options = options
    this.#segmentBytes = Math.min(maxSegmentBytes, Math.floor(options.maxBytes / 16))
  }

  /** Bytes that it may hold. */
  get maxBytes(): number {
    return this.#options.maxBytes
  }

  /** Opens a folder with what an earlier process left in it. Rejects with InputError when another process uses it. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const spool = new Spool(options)
    spool.#unlock = await lockFolder(options.folder)
    await spool.#recover()
    return spool
  }

  get isEmpty(): boolean {
    return this.#acknowledged === this.#next
  }

  /** Why the last `append` did not take all; null when it did. */
  get refusal(): 'disk-full' | 'disk-error' | 'spool-full' | null {
    if (this.#failure) return this.#failure.code === 'ENOSPC' ? 'disk-full' : 'disk-error'
    return this.#isFull ? 'spool-full' : null
  }

  get statistics(): SpoolStatistics {
    return { records: this.#next - this.#acknowledged, bytes: this.#bytes, dropped: { ...this.#dropped } }
  }

  /** Writes records to the end; answers with how many of them, from the first on, and the number of the next to come. */
  append(records: readonly OutgoingRecord[]): Promise<{ taken: number; end: number }> {
    return this.#inTurn(async () => {
      let taken = 0
      const now = performance.now()
      if (this.#failure && now - this.#failure.triedMs < retryMs) return { taken, end: this.#next }
      try {
        while (taken < records.length) {
          const count = await this.#appendMakingRoom(records, taken)
          if (count === 0) break
          taken += count
        }
        this.#isFull = taken < records.length
        if (this.#failure) {
          const seconds = Math.round((now - this.#failure.sinceMs) / 1000)
          this.#options.log.info({ folder: this.#options.folder, seconds }, 'the spool can be written again')
          this.#failure = null
        }
      } catch (error) {
        this.#fail(error, now)
      }
      return { taken, end: this.#next }
    })
  }

  /** Up to about `maxBytes` of records from the first that is not acknowledged, at least one; none when the spool is empty. */
  read(maxBytes: number): Promise<SpoolChunk> {
    return this.#inTurn(async () => {
      while (this.#segments.length > 0 && !this.isEmpty) {
        const segment = this.#segments[0]!
        try {
          const records = await this.#readFrom(segment, maxBytes)
          if (records.length > 0) return { records, end: this.#readEnd.record }
        } catch (error) {
          this.#options.log.warn({ path: segment.path, error }, 'a part of the spool cannot be read; it is given up')
          await this.#drop('unreadable')
        }
      }
      return { records: [], end: this.#next }
    })
  }

  /** The records below this number need not be kept. */
  acknowledge(end: number): Promise<void> {
    return this.#inTurn(async () => {
      if (end <= this.#acknowledged) return
      this.#acknowledged = end
      if (this.#readEnd.record === end) this.#head = this.#readEnd
      for (let segment = this.#segments[0]; segment && lastOf(segment) <= end; segment = this.#segments[0])
        await this.#removeFirst()
    })
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#seal()
      await this.#closeReading()
    })
    await this.#unlock()
  }

  /** One call at a time: each sees the files as the one before left them. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work)
    this.#last = result.catch(() => {})
    return result
  }

  async #recover(): Promise<void> {
    const { folder, log } = this.#options
    try {
      await mkdir(folder, { recursive: true })
      const names = (await readdir(folder)).filter(name => segmentName.test(name)).sort()
      for (const name of names) {
        this.#nextSegment = Number(segmentName.exec(name)![1]) + 1
        await this.#recoverSegment(join(folder, name))
      }
    } catch (error) {
      this.#fail(error, performance.now())
    }
    if (!this.isEmpty)
      log.info({ folder, ...this.statistics }, 'the spool holds records of an earlier run; they go first')
  }

  async #recoverSegment(path: string): Promise<void> {
    const content = await readFile(path)
    const { records, bytes } = checkSegment(content)
    if (bytes < content.length) this.#count('torn', 1)
    if (records === 0) {
      await unlink(path)
      return
    }
    this.#segments.push({ path, first: this.#next, records, bytes: content.length })
    this.#next += records
    this.#bytes += content.length
  }

  /** As appendSome; on a full disk the oldest segments give their room, where they may. */
  async #appendMakingRoom(records: readonly OutgoingRecord[], from: number): Promise<number> {
    for (let freed = 0; ; ) {
      try {
        return await this.#appendSome(records, from)
      } catch (error) {
        await this.#cutTorn()
        const oldest = this.#segments[0]
        const mayFree = this.#options.whenFull === 'drop-oldest' && (error as NodeJS.ErrnoException).code === 'ENOSPC'
        // Others may fill the disk as fast: not all is given up for one write.
        if (!mayFree || !oldest || freed > 2 * this.#segmentBytes) throw error
        freed += oldest.bytes
        await this.#drop('disk-full')
      }
    }
  }

  /** Writes those of the records from `from` on that go into one segment; answers with how many, 0 when the spool is full. */
  async #appendSome(records: readonly OutgoingRecord[], from: number): Promise<number> {
    const encoded: Buffer[] = []
    let bytes = 0
    const last = this.#writing ? this.#segments.at(-1) : undefined
    const startsSegment = last === undefined || last.bytes >= this.#segmentBytes
    const room = this.#segmentBytes - (startsSegment ? segmentMagic.length : last.bytes)
    const free = this.#options.maxBytes - this.#bytes - (startsSegment ? segmentMagic.length : 0)
    const isBounded = this.#options.whenFull === 'refuse-newest'
    for (let i = from; i < records.length && (encoded.length === 0 || bytes < room); i++) {
      const one = encodeRecord(records[i]!)
      if (isBounded && bytes + one.length > free) break
      encoded.push(one)
      bytes += one.length
    }
    if (encoded.length === 0 || bytes + segmentMagic.length > this.#options.maxBytes) return 0
    if (startsSegment) await this.#seal()
    if (!isBounded)
      while (this.#bytes + bytes + segmentMagic.length > this.#options.maxBytes) await this.#drop('spool-full')
    const segment = this.#writing ? this.#segments.at(-1)! : await this.#startSegment()
    await writeAll(this.#writing!, Buffer.concat(encoded, bytes), segment.bytes)
    segment.bytes += bytes
    segment.records += encoded.length
    this.#bytes += bytes
    this.#next += encoded.length
    return encoded.length
  }

  async #startSegment(): Promise<Segment> {
    await mkdir(this.#options.folder, { recursive: true })
    const path = join(this.#options.folder, `${String(this.#nextSegment++).padStart(16, '0')}.spool`)
    const segment = { path, first: this.#next, records: 0, bytes: segmentMagic.length }
    this.#writing = await open(path, 'wx', 0o640)
    this.#segments.push(segment)
    this.#bytes += segment.bytes
    await writeAll(this.#writing, segmentMagic, 0)
    return segment
  }

  /** The last segment takes no more records. */
  async #seal(): Promise<void> {
    await this.#writing?.close()
    this.#writing = null
  }

  #fail(error: unknown, nowMs: number): void {
    const { folder, log } = this.#options
    if (this.#failure) this.#failure.triedMs = nowMs
    else {
      this.#failure = { code: (error as NodeJS.ErrnoException).code, sinceMs: nowMs, triedMs: nowMs }
      log.warn({ folder, error }, 'the spool cannot be written; it is tried again every second')
    }
  }

  /** What a failed write left behind the last whole record is cut off, so that the disk has its room back. */
  async #cutTorn(): Promise<void> {
    const segment = this.#writing ? this.#segments.at(-1) : undefined
    if (segment === undefined) return
    await this.#writing!.truncate(segment.bytes).catch(() => {})
    await this.#seal().catch(() => {})
    this.#writing = null
    if (segment.records === 0) {
      this.#segments.pop()
      this.#bytes -= segment.bytes
      await unlink(segment.path).catch(() => {})
    }
  }

  /** Gives the oldest segment up. */
  async #drop(reason: SpoolDropReason): Promise<void> {
    const segment = this.#segments[0]!
    this.#count(reason, lastOf(segment) - Math.max(segment.first, this.#acknowledged))
    this.#acknowledged = Math.max(this.#acknowledged, lastOf(segment))
    await this.#removeFirst()
  }

  async #removeFirst(): Promise<void> {
    const segment = this.#segments.shift()!
    this.#bytes -= segment.bytes
    this.#head = { record: lastOf(segment), offset: segmentMagic.length }
    if (this.#segments.length === 0) await this.#seal()
    if (this.#reading?.segment === segment) await this.#closeReading()
    // A file that cannot be removed comes again after a restart, as repeated records.
    await unlink(segment.path).catch(() => {})
  }

  async #closeReading(): Promise<void> {
    await this.#reading?.file.close()
    this.#reading = null
  }

  /** Records from the head on, all of one segment; an empty list when those read were acknowledged meanwhile. */
  async #readFrom(segment: Segment, maxBytes: number): Promise<OutgoingRecord[]> {
    if (this.#reading?.segment !== segment) {
      await this.#closeReading()
      this.#reading = { segment, file: await open(segment.path, 'r') }
    }
    const { file } = this.#reading!
    let { record, offset } = this.#head
    let bytes = await readSome(file, offset, Math.max(recordHeaderBytes, Math.min(maxBytes, segment.bytes - offset)))
    const firstEnd = recordEnd(bytes, 0) ?? 0
    if (firstEnd > bytes.length) bytes = await readSome(file, offset, Math.min(firstEnd, segment.bytes - offset))
    const records: OutgoingRecord[] = []
    let at = 0
    for (let end = recordEnd(bytes, at); end !== null && end <= bytes.length; end = recordEnd(bytes, at)) {
      const one = decodeRecord(bytes, at, end)
      if (one === null) break
      if (record >= this.#acknowledged) records.push(one)
      record++
      at = end
      if (record === lastOf(segment)) break
    }
    if (at === 0) throw new Error(`no whole record at byte ${offset}`)
    offset += at
    this.#readEnd = { record, offset }
    if (records.length === 0) this.#head = this.#readEnd
    return records
  }

  #count(reason: SpoolDropReason, records: number): void {
    this.#dropped[reason] = (this.#dropped[reason] ?? 0) + records
  }
}

/** The number behind a segment's last record. */
const lastOf = ({ first, records }: Segment): number => first + records

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; )
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten
}

/** What there is of `length` bytes from `position` on. */
async function readSome(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  let done = 0
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done)
    if (bytesRead === 0) break
    done += bytesRead
  }
  return bytes.subarray(0, done)
}
