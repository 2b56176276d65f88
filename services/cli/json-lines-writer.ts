import { once } from 'node:events'
import { createWriteStream, openSync } from 'node:fs'
import process from 'node:process'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { InputError } from '#shared/errors.ts'

/** Characters gathered before they are written. */
const chunkLength = 65_536

/** Writes objects one a line to a file, or to standard output for `-`. Throws InputError for a file that cannot be made. */
export class JsonLinesWriter {
  readonly #stream: Writable
  #chunk = ''

  constructor(path: string) {
    try {
      this.#stream = path === '-' ? process.stdout : createWriteStream(path, { fd: openSync(path, 'w') })
    } catch (error) {
      throw new InputError('PROCLABEL_OUTPUT', `cannot write ${path}: ${(error as Error).message}`, error)
    }
  }

  /** Answers with a promise only when the reader is behind and has to be waited for. */
  write(object: unknown): Promise<void> | undefined {
    this.#chunk += `${JSON.stringify(object)}\n`
    return this.#chunk.length < chunkLength ? undefined : this.#flush()
  }

  async end(): Promise<void> {
    await this.#flush()
    if (this.#stream === process.stdout) return
    this.#stream.end()
    await finished(this.#stream)
  }

  #flush(): Promise<void> | undefined {
    const hasRoom = this.#stream.write(this.#chunk)
    this.#chunk = ''
    return hasRoom ? undefined : once(this.#stream, 'drain').then(() => {})
  }
}
