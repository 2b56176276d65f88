import { readFileSync } from 'node:fs'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { HostDirectory } from '#core/host-directory.ts'
import { codecs, type Host } from '#schemas'
import type { Log } from '#shared/log.ts'

/** The hosts of a directory in a file, one JSON object a line: what the next run knows before it can read the hosts topic. */
export class HostMemory {
  readonly #file: string
  readonly #directory: HostDirectory
  readonly #log: Log
  /** Version of the directory that is in the file. */
  #version: number
  #writing: Promise<void> | null = null

  constructor(file: string, directory: HostDirectory, log: Log) {
    this.#file = file
    this.#directory = directory
    this.#log = log
    this.#version = directory.version
  }

  /** Puts the hosts of the last run into the directory. */
  recall(): void {
    try {
      const lines = readFileSync(this.#file, 'utf8').split('\n').filter(Boolean)
      for (const line of lines) this.#directory.apply(checked(JSON.parse(line)))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn({ error, file: this.#file }, 'the hosts of the last run cannot be read')
    }
    this.#version = this.#directory.version
  }

  /** Writes the file when hosts have changed. */
  async keep(): Promise<void> {
    if (this.#version === this.#directory.version) return
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null
    })
    await this.#writing
    // They may have changed meanwhile.
    await this.keep()
  }

  async #write(): Promise<void> {
    this.#version = this.#directory.version
    const text = Array.from(this.#directory.hosts(), host => `${JSON.stringify(host)}\n`).join('')
    try {
      await mkdir(dirname(this.#file), { recursive: true })
      // By renaming, so that a process killed meanwhile leaves the old file.
      await writeFile(`${this.#file}.new`, text)
      await rename(`${this.#file}.new`, this.#file)
    } catch (error) {
      this.#log.warn({ error, file: this.#file }, 'hosts cannot be kept for the next run')
    }
  }
}

/** As it was when it was written; throws for what is no host record. */
const checked = (host: Host): Host => codecs.hosts.decode(codecs.hosts.encode(host))
