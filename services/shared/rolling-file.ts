import { closeSync, fstatSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs'
import path from 'node:path'

/**
 * A log where nobody gathers standard error: lines are appended to `file`, which becomes `file.1` before it grows over `maxBytes`, and that
 * `file.2`; `kept` of these stay. Its folder is made; nothing is before the first line.
 */
export class RollingFile {
  readonly #file: string
  readonly #maxBytes: number
  readonly #kept: number
  #descriptor: number | null = null
  #bytes = 0

  constructor(file: string, { maxBytes, kept }: { maxBytes: number; kept: number }) {
    this.#file = file
    this.#maxBytes = maxBytes
    this.#kept = kept
  }

  /** Written when it returns. Throws what the file system throws. */
  write(line: string): void {
    const bytes = Buffer.from(line)
    const descriptor = this.#descriptor ?? this.#open()
    const isFull = this.#bytes > 0 && this.#bytes + bytes.length > this.#maxBytes
    writeSync(isFull ? this.#roll(descriptor) : descriptor, bytes)
    this.#bytes += bytes.length
  }

  #open(): number {
    mkdirSync(path.dirname(this.#file), { recursive: true })
    this.#descriptor = openSync(this.#file, 'a', 0o640)
    this.#bytes = fstatSync(this.#descriptor).size
    return this.#descriptor
  }

  #roll(descriptor: number): number {
    closeSync(descriptor)
    for (let number = this.#kept; number > 0; number--) {
      const newer = number === 1 ? this.#file : `${this.#file}.${number - 1}`
      try {
        renameSync(newer, `${this.#file}.${number}`)
      } catch {
        // Not there yet; or, on Windows, open elsewhere: then it grows on.
      }
    }
    return this.#open()
  }
}
