import { stat } from 'node:fs/promises'
import process from 'node:process'
import type { SourceStatistics } from '../capture/packet-source.ts'
import { count } from './text-table.ts'

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
    process.stderr.write(`\r\x1b[K${progressLine(read, bytesRead, this.#totalBytes, (nowMs - this.#startedMs) / 1000)}`)
  }

  end(): void {
    if (!this.#silent && this.#drawnMs > 0) process.stderr.write('\r\x1b[K')
  }
}

/** What the terminal shows after `elapsedS` seconds; without a bar and the time left when the length is not known. */
export function progressLine(read: number, bytesRead: number, totalBytes: number | null, elapsedS: number): string {
  const rate = `${count(read)} packets, ${count(Math.round(read / elapsedS))} packets/s`
  if (!totalBytes) return rate
  const done = Math.min(1, bytesRead / totalBytes)
  const filled = Math.round(done * barWidth)
  const left = done === 0 ? '' : `, ${timeLeft(Math.ceil((elapsedS * (1 - done)) / done))} left`
  return `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${Math.floor(done * 100)} %  ${rate}${left}`
}

function timeLeft(seconds: number): string {
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
