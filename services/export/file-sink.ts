import { createHash } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { ProclabelError } from '#shared/errors.ts'

/** A file as it was written. */
export interface WrittenFile {
  bytes: number
  sha256: string
}

/**
 * A file that appears under its name only when it is whole and safe on the disk. Throws PROCLABEL_OUTPUT when it cannot be
 * written; `discard` leaves nothing behind.
 */
export class FileSink {
  readonly path: string
  readonly #part: string
  readonly #handle: number
  readonly #hash = createHash('sha256')
  #bytes = 0

  constructor(path: string) {
    this.path = path
    this.#part = join(dirname(path), `.${basename(path)}.part`)
    this.#handle = guarded(path, () => {
      mkdirSync(dirname(path), { recursive: true })
      return openSync(this.#part, 'w')
    })
  }

  write(chunk: Uint8Array): void {
    guarded(this.path, () => {
      for (let at = 0; at < chunk.length; ) at += writeSync(this.#handle, chunk, at)
    })
    this.#hash.update(chunk)
    this.#bytes += chunk.length
  }

  finish(): WrittenFile {
    guarded(this.path, () => {
      fsyncSync(this.#handle)
      closeSync(this.#handle)
      renameSync(this.#part, this.path)
    })
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') }
  }

  discard(): void {
    closeSync(this.#handle)
    rmSync(this.#part, { force: true })
  }
}

export function guarded<T>(path: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    const { message } = cause as Error
    throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write ${path}: ${message}`, { cause })
  }
}
