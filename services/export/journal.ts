import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { ProclabelError } from '#shared/errors.ts'
import { type TableSession, tableSession } from './table-session.ts'

/** Sessions that are safe on the disk and not yet in the tables: files of JSON lines that are never read by others. */
export class Journal {
  readonly #folder: string
  #file: { handle: FileHandle; bytes: number } | null = null

  /** `folder` is made when it is not there. */
  constructor(folder: string) {
    this.#folder = folder
  }

  /** What an earlier run left, in the order in which it was appended. Throws PROCLABEL_OUTPUT. */
  async *left(): AsyncGenerator<TableSession> {
    for (const name of await this.#names()) {
      const file = await this.#guarded(() => open(join(this.#folder, name)))
      for await (const line of file.readLines()) {
        const session = parseLine(line)
        if (session !== null) yield session
      }
    }
  }

  /**
   * Resolves once the sessions are safe on the disk. Throws PROCLABEL_OUTPUT when they cannot be written; what was written of
   * them is cut off again, so that no file ends in half a line.
   */
  async append(sessions: readonly TableSession[]): Promise<void> {
    if (sessions.length === 0) return
    const text = Buffer.from(sessions.map(session => `${JSON.stringify(session)}\n`).join(''))
    await this.#guarded(async () => {
      this.#file ??= await this.#begin()
      const { handle, bytes } = this.#file
      try {
        await handle.appendFile(text)
        await handle.datasync()
      } catch (error) {
        await handle.truncate(bytes)
        throw error
      }
      this.#file.bytes += text.length
    })
  }

  /** Everything is in the tables. */
  async clear(): Promise<void> {
    await this.close()
    for (const name of await this.#names()) await this.#guarded(() => rm(join(this.#folder, name)))
  }

  async close(): Promise<void> {
    await this.#file?.handle.close()
    this.#file = null
  }

  async #begin() {
    await mkdir(this.#folder, { recursive: true })
    const name = `${String(Date.now()).padStart(16, '0')}-${randomBytes(4).toString('hex')}.journal`
    return { handle: await open(join(this.#folder, name), 'ax'), bytes: 0 }
  }

  /** By when they were begun. */
  async #names(): Promise<string[]> {
    const names = await this.#guarded(() =>
      readdir(this.#folder).catch(error => {
        if (['ENOENT', 'ENOTDIR'].includes(error.code)) return []
        throw error
      }),
    )
    return names.filter(name => name.endsWith('.journal')).sort()
  }

  async #guarded<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (cause) {
      const { message } = cause as Error
      throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write to ${this.#folder}: ${message}`, { cause })
    }
  }
}

/** Null for the last line of a run that was killed while it wrote: it was not committed, so it comes again. */
function parseLine(line: string): TableSession | null {
  try {
    return tableSession(JSON.parse(line))
  } catch {
    return null
  }
}
