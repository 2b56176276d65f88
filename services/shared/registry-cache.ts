import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Topic } from '#schemas'
import type { Log } from './log.ts'

export interface SchemaVersion {
  topic: Topic
  id: number
  schema: string
}

/** What was learnt of a registry, in a file. One that cannot be read is as good as none, and is written anew. */
export class RegistryCache {
  readonly #file: string | null
  readonly #log: Log
  /** Of the schemas that the ids are of: other schemas have other ids. */
  readonly #digest: string
  ids: Readonly<Record<string, number>> | null = null
  readonly versions: SchemaVersion[] = []

  constructor(file: string | null, schemas: string, log: Log) {
    this.#file = file
    this.#log = log
    this.#digest = createHash('sha256').update(schemas).digest('hex')
    if (file !== null) this.#read(file)
  }

  setIds(ids: Readonly<Record<string, number>>): void {
    this.ids = ids
    this.#write()
  }

  addVersion(version: SchemaVersion): void {
    this.versions.push(version)
    this.#write()
  }

  #read(file: string): void {
    try {
      const { digest, ids, versions } = JSON.parse(readFileSync(file, 'utf8'))
      if (digest === this.#digest) this.ids = ids
      this.versions.push(...versions)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn({ error, file }, 'schema cache is unreadable')
    }
  }

  /** By renaming, so that a process killed meanwhile leaves the old file. */
  #write(): void {
    if (this.#file === null) return
    try {
      const content = { digest: this.#digest, ids: this.ids, versions: this.versions }
      mkdirSync(dirname(this.#file), { recursive: true })
      const written = `${this.#file}.${process.pid}`
      writeFileSync(written, `${JSON.stringify(content)}\n`)
      renameSync(written, this.#file)
    } catch (error) {
      this.#log.warn({ error, file: this.#file }, 'schema cache cannot be written')
    }
  }
}
