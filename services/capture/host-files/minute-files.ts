import { mkdir, readdir, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { EventLog } from '#shared/spool.ts'
import { minuteUs as oneMinuteUs } from '../host-frames.ts'

/** Behind the name of a file that is being written. */
export const unfinished = '.part'

const minuteName = /^(\d{4}-\d\d-\d\dT\d\d)-(\d\d)Z/

/** `2026-01-31T09-05Z`: when a minute begins (microseconds since the epoch), as text that sorts by time and suits all file systems. */
export const minuteText = (minuteUs: number): string =>
  `${new Date(minuteUs / 1000).toISOString().slice(0, 16).replace(':', '-')}Z`

/** When the minute of a file begins, microseconds since the epoch; null for another kind of file. */
function minuteOf(path: string): number | null {
  const [, hour, minute] = minuteName.exec(basename(path)) ?? []
  const ms = Date.parse(`${hour}:${minute}Z`)
  return Number.isNaN(ms) ? null : ms * 1000
}

/** Whether these are files of several hosts: a packet between two of them is in both's, with the same time. */
export const isByHost = (paths: readonly string[]): boolean =>
  new Set(paths.filter(path => minuteOf(path) !== null).map(dirname)).size > 1

export interface MinuteFilesOptions {
  folder: string
  /** Bytes at most, open files included; the oldest minutes are deleted beyond that. */
  maxBytes: number
  /** Minutes that ended longer ago than this are deleted, microseconds; null keeps them. */
  maxAgeUs: number | null
  log: EventLog
}

/** A file's path without its extensions, which no two files share. */
const stemOf = (path: string): string => path.replace(/\.pcap[^/\\]*$/, '')

interface MinuteFile {
  /** Null while it is not finished. */
  path: string | null
  bytes: number
}

/** The capture files of a folder, by their minute. A minute goes as a whole, with the files of all hosts. */
export class MinuteFiles {
  readonly #options: MinuteFilesOptions
  /** By minute and stem. */
  readonly #minutes = new Map<number, Map<string, MinuteFile>>()
  /** Of the finished files. */
  bytes = 0

  constructor(options: MinuteFilesOptions) {
    this.#options = options
  }

  /** Finds the files that are there, and finishes those that a killed process left, without compressing them. */
  async find(): Promise<void> {
    const { folder, log } = this.#options
    await mkdir(folder, { recursive: true })
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    const paths = entries
      .filter(entry => entry.isFile() && minuteOf(entry.name) !== null)
      .map(({ parentPath, name }) => join(parentPath, name))
    const [left = [], finished = []] = [true, false].map(is => paths.filter(path => path.endsWith(unfinished) === is))
    for (const path of finished) this.finished(path, (await stat(path)).size)
    for (const path of left) {
      const named = path.slice(0, -unfinished.length)
      // The plain file is gone only when its compressed one is whole and has its name.
      const isCopy = !named.endsWith('.pcap') || this.#minutes.get(minuteOf(path)!)?.has(stemOf(path))
      if (isCopy) {
        await unlink(path)
        continue
      }
      await rename(path, named)
      this.finished(named, (await stat(named)).size)
      log.info({ path: named }, 'a capture file that an earlier run left unfinished is kept; its end may be cut')
    }
  }

  /** The path of a new file, or where there is one a path with a number before its extension. */
  reserve(path: string): string {
    const files = this.#filesOf(minuteOf(path)!)
    const stem = stemOf(path)
    let free = stem
    for (let n = 2; files.has(free); n++) free = `${stem}-${n}`
    files.set(free, { path: null, bytes: 0 })
    return free + path.slice(stem.length)
  }

  finished(path: string, bytes: number): void {
    this.#filesOf(minuteOf(path)!).set(stemOf(path), { path, bytes })
    this.bytes += bytes
  }

  /** Deletes what is too old, then the oldest minutes until `openBytes` more than what is left fit; no minute of `open`. */
  async makeRoom(nowUs: number, openBytes: number, open: ReadonlySet<number>): Promise<void> {
    const { maxBytes, maxAgeUs } = this.#options
    const keptFromUs = maxAgeUs === null ? Number.NEGATIVE_INFINITY : nowUs - maxAgeUs - oneMinuteUs
    for (const minuteUs of [...this.#minutes.keys()].sort((a, b) => a - b)) {
      if (minuteUs >= keptFromUs && this.bytes + openBytes <= maxBytes) return
      if (!open.has(minuteUs)) await this.#delete(minuteUs)
    }
  }

  async #delete(minuteUs: number): Promise<void> {
    const files = this.#minutes.get(minuteUs)!
    this.#minutes.delete(minuteUs)
    for (const { path, bytes } of files.values()) {
      if (path === null) continue
      this.bytes -= bytes
      await unlink(path).catch(error => {
        if (error.code !== 'ENOENT') this.#options.log.warn({ path, error }, 'an old capture file cannot be deleted')
      })
    }
  }

  #filesOf(minuteUs: number): Map<string, MinuteFile> {
    const files = this.#minutes.get(minuteUs) ?? new Map<string, MinuteFile>()
    this.#minutes.set(minuteUs, files)
    return files
  }
}
