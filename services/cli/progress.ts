import { stat } from 'node:fs/promises'
import process from 'node:process'
import type { SourceStatistics } from '../capture/packet-source.ts'

const redrawMs = 200
const barWidth = 30

/** A line on the terminal with a bar, packets a second and the time left; silent where standard error is no terminal. */
export class Progress {
  readonly #totalBytes: number | null
  readonly #startedMs = performance.now()
  #drawnMs = 0
  readonly #silent: boolean

  private constructor(totalBytes: number | null, silent: boolean) {
    this.#totalBytes = totalBytes
    this.#silent = silent
  }

  /** For a run over these files; `-` has no known length, so there is a count but no bar. */
  static async start(files: readonly string[], quiet: boolean): Promise<Progress> {
    const silent = quiet || !process.stderr.isTTY
    if (silent || files.includes('-')) return new Progress(null, silent)
    const sizes = await Promise.all(files.map(async file => (await stat(file)).size))
    return new Progress(
      sizes.reduce((a, b) => a + b, 0),
      false,
    )
  }

  update({ read, bytesRead }: SourceStatistics): void {
    const nowMs = performance.now()
    if (this.#silent || nowMs - this.#drawnMs < redrawMs) return
    this.#drawnMs = nowMs
    process.stderr.write(`\r\x1b[K${this.line(read, bytesRead, (nowMs - this.#startedMs) / 1000)}`)
  }

  /** The line after `elapsedS` seconds. */
  line(read: number, bytesRead: number, elapsedS: number): string {
    const rate = `${read.toLocaleString('en-US')} packets, ${Math.round(read / elapsedS).toLocaleString('en-US')} packets/s`
    if (!this.#totalBytes) return rate
    const done = Math.min(1, bytesRead / this.#totalBytes)
    const filled = Math.round(done * barWidth)
    const leftS = done === 0 ? null : Math.ceil((elapsedS * (1 - done)) / done)
    const left = leftS === null ? '' : `, ${leftS} s left`
    return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${Math.floor(done * 100)} %  ${rate}${left}`
  }

  end(): void {
    if (!this.#silent && this.#drawnMs > 0) process.stderr.write('\r\x1b[K')
  }
}
