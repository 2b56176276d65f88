import { once } from 'node:events'
import { createWriteStream, openSync } from 'node:fs'
import process from 'node:process'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { InputError, ProclabelError } from '#shared/errors.ts'

/** Characters gathered before they are written. */
const chunkLength = 262_144

/**
 * Writes objects one a line to a file, or to standard output for `-`. Throws InputError for a file that cannot be made, and
 * ProclabelError when it cannot be written, as on a full disk.
 */
export class JsonLinesWriter {
  readonly #path: string
  readonly #stream: Writable
  #chunk = ''
  #failure: Error | null = null

  constructor(path: string) {
    this.#path = path
    try {
      this.#stream = path === '-' ? process.stdout : createWriteStream(path, { fd: openSync(path, 'w') })
    } catch (error) {
      throw new InputError('PROCLABEL_OUTPUT', `cannot write ${path}: ${(error as Error).message}`, error)
    }
    if (path !== '-') this.#stream.on('error', error => this.#fail(error))
  }

  /** Answers with a promise only when the reader is behind and has to be waited for. */
  write(object: unknown): Promise<void> | undefined {
    this.#chunk += `${JSON.stringify(object)}\n`
    return this.#chunk.length < chunkLength ? undefined : this.#flush()
  }

  /** Whole lines; resolves when the caller may use the memory again. */
  async writeLines(lines: Uint8Array): Promise<void> {
    await this.#flush()
    this.#throwFailure()
    await new Promise<void>(resolve => {
      this.#stream.write(lines, error => {
        if (error) this.#fail(error)
        resolve()
      })
    })
    this.#throwFailure()
  }

  async end(): Promise<void> {
    await this.#flush()
    if (this.#stream === process.stdout) return
    this.#stream.end()
    await finished(this.#stream).catch(error => this.#fail(error))
    this.#throwFailure()
  }

  #flush(): Promise<void> | undefined {
    this.#throwFailure()
    const hasRoom = this.#stream.write(this.#chunk)
    this.#chunk = ''
    if (hasRoom) return undefined
    return once(this.#stream, 'drain').then(
      () => {},
      error => {
        this.#fail(error)
        this.#throwFailure()
      },
    )
  }

  #fail(error: Error): void {
    this.#failure ??= error
  }

  #throwFailure(): void {
    if (this.#failure === null) return
    const { message } = this.#failure
    throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write ${this.#path}: ${message}`, { cause: this.#failure })
  }
}
