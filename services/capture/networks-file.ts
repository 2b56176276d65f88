import { readFileSync } from 'node:fs'
import type { MonitoredNetworks } from '#core/host-directory.ts'
import { parseNetworks } from './networks.ts'

/** Networks in a file, one a line; `#` begins a comment. The file may be written anew while the capture runs. */
export class NetworksFile {
  readonly #path: string
  readonly #others: readonly string[]
  #text: string
  #networks: MonitoredNetworks
  /** Why the file could not be used at the last reading; null where it could. */
  #problem: string | null = null

  /** `others` are monitored whatever the file says. Throws an Error that says what is wrong with the file. */
  constructor(path: string, others: readonly string[] = []) {
    this.#path = path
    this.#others = others
    this.#text = readFileSync(path, 'utf8')
    this.#networks = this.#parse()
  }

  get networks(): MonitoredNetworks {
    return this.#networks
  }

  /**
   * Reads the file again, and tells whether it says something else than before. Throws an Error where it cannot be used, once as
   * long as that is for the same reason; the networks are those before then.
   */
  reread(): boolean {
    try {
      const text = readFileSync(this.#path, 'utf8')
      if (text === this.#text && this.#problem === null) return false
      this.#text = text
      this.#networks = this.#parse()
      this.#problem = null
      return true
    } catch (error) {
      const { message } = error as Error
      if (message === this.#problem) return false
      this.#problem = message
      throw error
    }
  }

  #parse(): MonitoredNetworks {
    const lines = this.#text.split('\n').map(line => line.replace(/#.*/, '').trim())
    try {
      return parseNetworks([...this.#others, ...lines.filter(line => line !== '')])
    } catch (error) {
      throw new Error(`${this.#path}: ${(error as Error).message}`, { cause: error })
    }
  }
}
