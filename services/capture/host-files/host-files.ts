import { createReadStream, createWriteStream } from 'node:fs'
import { appendFile, mkdir, rename, stat, truncate, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { constants, createGzip, createZstdCompress } from 'node:zlib'
import { InputError } from '#shared/errors.ts'
import type { FileDropReason } from '#shared/service-metrics.ts'
import type { EventLog } from '#shared/spool.ts'
import { lockFolder } from '#shared/spool-lock.ts'
import { pcapHeader } from '../files/write-pcap.ts'
import { type FrameChunk, minuteUs as oneMinuteUs } from '../host-frames.ts'
import { MinuteFiles, minuteText, unfinished } from './minute-files.ts'

export const compressions = ['none', 'gzip', 'zstd'] as const

export interface HostFilesOptions {
  /** Made when it is not there; one process at a time. */
  folder: string
  compression: (typeof compressions)[number]
  /** As in MinuteFilesOptions. */
  maxBytes: number
  maxAgeUs: number | null
  /** Bytes that may wait to be written. */
  maxQueueBytes?: number
  log: EventLog
}

/** Packets by what became of them, those that wait apart; each is in one of the counts. */
export interface HostFilesStatistics {
  written: number
  dropped: Record<FileDropReason, number>
  /** Of all files in the folder. */
  bytes: number
}

const ethernet = 1
const defaultQueueBytes = 128 * 1024 * 1024
/** A file is written to when so much waits for it, or after so long. */
const writeBytes = 512 * 1024
const writeEveryMs = 5000
/** How long after its minute a file is open for packets that come late. */
const lateUs = 10_000_000
const writesAtOnce = 4
/** Compressing a minute takes long: what comes meanwhile is written beside it. */
const finishesAtOnce = 2

const compressors: Record<(typeof compressions)[number], { suffix: string; create: () => Transform } | null> = {
  none: null,
  gzip: { suffix: '.gz', create: () => createGzip({ level: 1 }) },
  zstd: { suffix: '.zst', create: () => createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: 1 } }) },
}

interface OpenFile {
  /** Its name once it is finished, but for a compressor's suffix. */
  path: string
  minuteUs: number
  linkType: number
  waiting: FrameChunk[]
  waitingBytes: number
  waitsSinceMs: number
  /** Bytes on disk. */
  bytes: number
  isWriting: boolean
}

/**
 * A pcap file for each host and minute, `HOST/2026-01-31T09-05Z.pcap`. A file has another name (`.part`) until it is whole, and
 * is compressed then; a minute's packets that come later get one more. `write` never waits: what cannot be written is counted.
 */
export class HostFiles {
  readonly #options: HostFilesOptions
  readonly #maxQueueBytes: number
  readonly #files: MinuteFiles
  /** By the name that a minute's first file has. */
  readonly #open = new Map<string, OpenFile>()
  /** Files to which nothing is added any more. */
  readonly #finishing = new Set<OpenFile>()
  #queuedBytes = 0
  #openBytes = 0
  #nowUs = Number.NEGATIVE_INFINITY
  #writes = 0
  #changed = Promise.withResolvers<void>()
  #cleaning: Promise<void> | null = null
  #isClosing = false
  #isTroubled = false
  #unlock: () => Promise<void> = async () => {}
  readonly #timer: NodeJS.Timeout
  #written = 0
  readonly #dropped: Record<FileDropReason, number> = { 'queue-full': 0, quota: 0, 'disk-error': 0 }

  private constructor(options: HostFilesOptions) {
    this.#options = options
    this.#maxQueueBytes = options.maxQueueBytes ?? defaultQueueBytes
    this.#files = new MinuteFiles(options)
    this.#timer = setInterval(() => {
      this.#work()
      this.#makeRoom()
    }, writeEveryMs / 5)
  }

  /** Rejects with InputError when another process uses the folder, or when it cannot be used. */
  static async open(options: HostFilesOptions): Promise<HostFiles> {
    const unlock = await lockFolder(options.folder, 'the folder of capture files')
    const files = new HostFiles(options)
    files.#unlock = unlock
    try {
      await files.#files.find()
      return files
    } catch (error) {
      clearInterval(files.#timer)
      await unlock()
      const { code } = error as NodeJS.ErrnoException
      if (code === undefined) throw error
      throw new InputError('PROCLABEL_OUTPUT', `capture files cannot be kept in ${options.folder}: ${code}`, error)
    }
  }

  get statistics(): HostFilesStatistics {
    return { written: this.#written, dropped: { ...this.#dropped }, bytes: this.#files.bytes + this.#openBytes }
  }

  /** Takes chunks over; `nowUs` is the capture time by now. */
  write(chunks: readonly FrameChunk[], nowUs: number | null): void {
    for (const chunk of chunks) this.#take(chunk)
    this.#nowUs = Math.max(this.#nowUs, nowUs ?? this.#nowUs)
    if (chunks.length > 0) this.#work()
  }

  /** Resolves when less than half of what may wait does. */
  async hasRoom(): Promise<void> {
    while (this.#queuedBytes > this.#maxQueueBytes / 2) await this.#changed.promise
  }

  /** Writes what waits and finishes every file. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#isClosing = true
    for (this.#work(); this.#open.size + this.#finishing.size > 0; this.#work()) await this.#changed.promise
    await this.#cleaning
    this.#makeRoom()
    await this.#cleaning
    await this.#unlock()
  }

  #take(chunk: FrameChunk): void {
    const bytes = chunk.records.length
    const isFull = this.#queuedBytes + bytes > this.#maxQueueBytes
    if (isFull || this.#openBytes + this.#queuedBytes + bytes > this.#options.maxBytes) {
      this.#dropped[isFull ? 'queue-full' : 'quota'] += chunk.packets
      return
    }
    const file = this.#fileOf(chunk)
    if (file.waiting.length === 0) file.waitsSinceMs = performance.now()
    file.waiting.push(chunk)
    file.waitingBytes += bytes
    this.#queuedBytes += bytes
  }

  #fileOf({ hostId, minuteUs, linkType }: FrameChunk): OpenFile {
    const kind = linkType === ethernet ? '' : `-linktype${linkType}`
    const place = join(this.#options.folder, folderName(hostId), `${minuteText(minuteUs)}${kind}.pcap`)
    let file = this.#open.get(place)
    if (!file) {
      const path = this.#files.reserve(place)
      file = { path, minuteUs, linkType, waiting: [], waitingBytes: 0, waitsSinceMs: 0, bytes: 0, isWriting: false }
      this.#open.set(place, file)
    }
    return file
  }

  /** Begins the writes that are due, and finishes the files whose minute is over. */
  #work(): void {
    const nowMs = performance.now()
    for (const [place, file] of this.#open) {
      if (file.isWriting) continue
      const isOver = this.#isClosing || this.#nowUs >= file.minuteUs + oneMinuteUs + lateUs
      const isDue = isOver || file.waitingBytes >= writeBytes || nowMs - file.waitsSinceMs >= writeEveryMs
      if (file.waiting.length > 0 && isDue && this.#writes < writesAtOnce) {
        file.isWriting = true
        this.#writes++
        this.#workAfter(this.#append(file))
      } else if (file.waiting.length === 0 && isOver && this.#finishing.size < finishesAtOnce) {
        this.#open.delete(place)
        this.#finishing.add(file)
        this.#workAfter(this.#finish(file))
      }
    }
  }

  #workAfter(write: Promise<void>): void {
    void write.finally(() => {
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
      this.#work()
    })
  }

  #makeRoom(): void {
    const files = [...this.#open.values(), ...this.#finishing]
    const openMinutes = new Set(files.map(({ minuteUs }) => minuteUs))
    this.#cleaning ??= this.#files.makeRoom(this.#nowUs, this.#openBytes, openMinutes).finally(() => {
      this.#cleaning = null
    })
  }

  async #append(file: OpenFile): Promise<void> {
    const { waiting, waitingBytes } = file
    file.waiting = []
    file.waitingBytes = 0
    const path = file.path + unfinished
    const packets = waiting.reduce((sum, chunk) => sum + chunk.packets, 0)
    try {
      if (file.bytes === 0) await mkdir(dirname(path), { recursive: true })
      const header = file.bytes === 0 ? [pcapHeader(file.linkType)] : []
      const bytes = Buffer.concat([...header, ...waiting.map(({ records }) => records)])
      await appendFile(path, bytes)
      file.bytes += bytes.length
      this.#openBytes += bytes.length
      this.#written += packets
      if (this.#isTroubled) this.#options.log.info({ path }, 'capture files can be written again')
      this.#isTroubled = false
    } catch (error) {
      // What was written of it must not stay: a record would begin in its midst.
      await truncate(path, file.bytes).catch(() => {})
      this.#dropped['disk-error'] += packets
      if (!this.#isTroubled)
        this.#options.log.warn({ path, error }, 'a capture file cannot be written; packets are dropped')
      this.#isTroubled = true
    }
    this.#queuedBytes -= waitingBytes
    file.isWriting = false
    this.#writes--
  }

  /** Compresses the file if it is to be, and gives it its name. */
  async #finish(file: OpenFile): Promise<void> {
    const compressor = compressors[this.#options.compression]
    const whole = file.path + unfinished
    try {
      if (file.bytes === 0) return
      if (compressor) {
        const path = file.path + compressor.suffix
        await pipeline(createReadStream(whole), compressor.create(), createWriteStream(path + unfinished))
        await rename(path + unfinished, path)
        await unlink(whole)
        this.#files.finished(path, (await stat(path)).size)
      } else {
        await rename(whole, file.path)
        this.#files.finished(file.path, file.bytes)
      }
    } catch (error) {
      // It is taken up again by the next run.
      this.#options.log.warn({ path: whole, error }, 'a capture file cannot be finished')
    } finally {
      this.#finishing.delete(file)
      this.#openBytes -= file.bytes
    }
  }
}

/** A host's id as the name of a folder. */
const folderName = (hostId: string): string =>
  encodeURIComponent(hostId).replace(/^\.+$/, dots => '%2E'.repeat(dots.length))
