import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { ProclabelError } from '#shared/errors.ts'

export interface JsonLinesFolderOptions {
  /** Made when it is not there; several exporters may share it. */
  folder: string
  /** A file that has this many bytes is followed by the next. */
  maxFileBytes: number
  /** The wall clock in ms: each hour, UTC, has files of its own. */
  now?: () => number
}

/** Files of JSON lines, `labeled-sessions-20261123T17-RUN-0.jsonl`: a new one each hour, and when one has its size. */
export class JsonLinesFolder {
  readonly #options: Required<JsonLinesFolderOptions>
  readonly #run = randomBytes(4).toString('hex')
  #file: { handle: FileHandle; hour: string; bytes: number } | null = null
  #number = 0

  constructor(options: JsonLinesFolderOptions) {
    this.#options = { now: Date.now, ...options }
  }

  /**
   * Resolves once the lines are safe on the disk. Throws PROCLABEL_OUTPUT when they cannot be written; what was written of
   * them is cut off again, so that no file ends in half a line.
   */
  async append(objects: readonly unknown[]): Promise<void> {
    if (objects.length === 0) return
    const text = Buffer.from(objects.map(object => `${JSON.stringify(object)}\n`).join(''))
    try {
      const file = await this.#fileFor(hourOf(this.#options.now()))
      try {
        await file.handle.appendFile(text)
        await file.handle.datasync()
      } catch (error) {
        await file.handle.truncate(file.bytes)
        throw error
      }
      file.bytes += text.length
    } catch (error) {
      const { message } = error as Error
      throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write to ${this.#options.folder}: ${message}`, {
        cause: error,
      })
    }
  }

  async close(): Promise<void> {
    await this.#file?.handle.close()
    this.#file = null
  }

  async #fileFor(hour: string) {
    const { folder, maxFileBytes } = this.#options
    if (this.#file !== null && this.#file.hour === hour && this.#file.bytes < maxFileBytes) return this.#file
    await this.close()
    await mkdir(folder, { recursive: true })
    const name = `labeled-sessions-${hour}-${this.#run}-${this.#number++}.jsonl`
    this.#file = { handle: await open(join(folder, name), 'ax'), hour, bytes: 0 }
    return this.#file
  }
}

/** 20261123T17 */
const hourOf = (ms: number): string => new Date(ms).toISOString().slice(0, 13).replaceAll('-', '')
