import { ProclabelError } from '#shared/errors.ts'

/** How long the process may take more than its limit, once memory was given back. */
const graceMs = 20_000
const mebibyte = 1024 * 1024

/** What a process may take, and what becomes of it when it takes more. */
export class MemoryLimit {
  readonly #limitBytes: number
  #exceededMs: number | null = null

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  /**
   * `residentBytes` at `nowMs`: whether to give memory back now, as the limit was passed just then. Throws ProclabelError where
   * that did not help: a process that is started again takes less.
   */
  mustGiveBack(residentBytes: number, nowMs: number): boolean {
    if (residentBytes <= this.#limitBytes) {
      this.#exceededMs = null
      return false
    }
    const isNew = this.#exceededMs === null
    this.#exceededMs ??= nowMs
    if (nowMs - this.#exceededMs >= graceMs) {
      const [taken, limit] = [residentBytes, this.#limitBytes].map(bytes => Math.ceil(bytes / mebibyte))
      throw new ProclabelError(
        'PROCLABEL_MEMORY',
        `the agent takes ${taken} MiB, more than --max-memory ${limit}, also after it forgot what it could: it ends, to be started again`,
      )
    }
    return isNew
  }
}
