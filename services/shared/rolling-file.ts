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

  /** Written when it returns; lost where it cannot be, as on a full disk: a log must not end what it tells of. */
  write(line: string): void {
    try {
      this.#append(Buffer.from(line))
    } catch {
      // The next one may fit.
    }
  }

  #append(line: Buffer): void {
    const descriptor = this.#descriptor ?? this.#open()
    const isFull = this.#bytes > 0 && this.#bytes + line.length > this.#maxBytes
    this.#bytes += writeSync(isFull ? this.#roll(descriptor) : descriptor, line)
  }

  #open(): number {
    mkdirSync(path.dirname(this.#file), { recursive: true })
    this.#descriptor = openSync(this.#file, 'a', 0o640)
    this.#bytes = fstatSync(this.#descriptor).size
    return this.#descriptor
  }

  #roll(descriptor: number): number {
    closeSync(descriptor)
    this.#descriptor = null
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
