import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Beside } from './columns.ts'
import { guarded } from './file-sink.ts'
import { finerLabel } from './finer-label.ts'
import { type DatasetSettings, type FileEntry, readManifest, StageCounts, writeManifest } from './manifest.ts'
import type { TableFormat } from './table-file.ts'
import type { TableSession } from './table-session.ts'

export interface DatasetOptions {
  /** Made when it is not there. One process at a time may write it. */
  folder: string
  format: TableFormat
  selection: DatasetSettings['selection']
  privacy: DatasetSettings['privacy']
  /** Name and version of what writes it. */
  tool: string
  /** Whether a session belongs into the dataset; one that once did and does not any more is taken out. */
  wanted: (session: TableSession) => boolean
  /** First part of the path of a session's file, such as `split=train/`; empty for none. */
  partOf?: (session: TableSession) => string
  payloadOf?: (session: TableSession) => Uint8Array | null
  /** Sessions held in memory at most. */
  mostPending?: number
}

const hourUs = 3_600_000_000

/** 2026-11-25T17, UTC. */
const hourText = (number: number): string => new Date(number * (hourUs / 1000)).toISOString().slice(0, 13)

/** Sessions of one host and hour that wait for their file to be written. */
interface Pending {
  hostId: string | null
  hour: string
  sessions: Map<string, TableSession>
}

/**
 * A folder of tables, `day=2026-11-25/host=desk/17.parquet`: each session exactly once, by its latest revision, at every
 * moment that somebody reads it. Day and hour are those of its first packet, UTC, so that all revisions of a session meet in one file; a
 * file is written anew, and takes the place of the older at once.
 */
export class Dataset {
  readonly #options: DatasetOptions
  readonly #settings: DatasetSettings
  readonly #created: string
  readonly #files: Map<string, FileEntry>
  readonly #pending = new Map<string, Pending>()
  /** Files of the hour and part at hand, by host; sessions of one hour mostly come together. */
  #place = { number: Number.NaN, part: '', byHost: new Map<string | null, string>() }
  #count = 0
  /** Whether files or what waits for them changed since the manifest was written. */
  #changed: boolean

  /** Throws InputError when the folder holds a dataset that was made otherwise. */
  constructor(options: DatasetOptions) {
    this.#options = options
    const { extension: format, columns } = options.format
    this.#settings = { format, columns, selection: options.selection, privacy: options.privacy }
    const manifest = readManifest(options.folder, this.#settings)
    this.#changed = manifest === null
    this.#created = manifest?.created ?? new Date().toISOString()
    this.#files = new Map(manifest?.files.map(entry => [entry.file, entry]))
  }

  /** Sessions that are in files. */
  get sessions(): number {
    return [...this.#files.values()].reduce((sum, { sessions }) => sum + sessions, 0)
  }

  /**
   * Answers with a promise only when files have to be written, the oldest hours first, to keep memory bounded; it is rejected with
   * PROCLABEL_OUTPUT when they cannot be.
   */
  add(session: TableSession): Promise<void> | undefined {
    const { mostPending = 50_000 } = this.#options
    return this.#hold(session) && this.#count >= mostPending ? this.#relieve(mostPending / 2) : undefined
  }

  async #relieve(mostLeft: number): Promise<void> {
    const byHour = [...this.#pending].sort(([, a], [, b]) => (a.hour < b.hour ? -1 : 1))
    for (const [file, pending] of byHour) {
      if (this.#count <= mostLeft) break
      await this.#write(file, pending)
    }
  }

  /** Writes all that was added, and the manifest; answers whether there was anything to write. */
  async flush(notes?: Record<string, unknown>): Promise<boolean> {
    if (!this.#changed) return false
    for (const [file, pending] of this.#pending) await this.#write(file, pending)
    const { folder, tool } = this.#options
    const files = [...this.#files.values()]
    writeManifest(folder, { settings: this.#settings, tool, created: this.#created, files, notes })
    this.#changed = false
    return true
  }

  /** Whether it is one more than before. */
  #hold(session: TableSession): boolean {
    const pending = this.#pendingOf(session)
    const known = pending.sessions.get(session.session_id)
    if (known !== undefined && known.revision > session.revision) return false
    pending.sessions.set(session.session_id, session)
    this.#changed = true
    if (known === undefined) this.#count++
    return known === undefined
  }

  /** Where the session waits; the names of files are not made anew for each. */
  #pendingOf(session: TableSession): Pending {
    const { format, partOf } = this.#options
    const number = Math.floor(session.first_us / hourUs)
    const part = partOf?.(session) ?? ''
    if (number !== this.#place.number || part !== this.#place.part) this.#place = { number, part, byHost: new Map() }
    const { byHost } = this.#place
    let file = byHost.get(session.host_id)
    if (file === undefined) {
      const hour = hourText(number)
      // Hive's name for null, which Spark and DuckDB read as such.
      const host = session.host_id === null ? '__HIVE_DEFAULT_PARTITION__' : encodeURIComponent(session.host_id)
      file = `${part}day=${hour.slice(0, 10)}/host=${host}/${hour.slice(11)}.${format.extension}`
      byHost.set(session.host_id, file)
    }
    let pending = this.#pending.get(file)
    if (pending === undefined) {
      pending = { hostId: session.host_id, hour: hourText(number), sessions: new Map() }
      this.#pending.set(file, pending)
    }
    return pending
  }

  async #write(file: string, { hostId, hour, sessions }: Pending): Promise<void> {
    const { folder, format, wanted } = this.#options
    const path = join(folder, file)
    const held = sessions.size
    const counts = new StageCounts()
    const writer = format.create(path)
    try {
      if (existsSync(path)) {
        for await (const { facts, raw } of format.read(path)) {
          const newer = sessions.get(facts.session_id)
          if (newer !== undefined && newer.revision >= facts.revision) continue
          if (newer !== undefined) sessions.delete(facts.session_id)
          counts.add(facts)
          writer.keep(raw)
        }
      }
      for (const session of sessions.values()) {
        if (!wanted(session)) continue
        counts.add(session)
        writer.add(session, this.#beside(session))
      }
    } catch (error) {
      writer.discard()
      throw error
    }
    if (counts.sessions === 0) {
      writer.discard()
      guarded(path, () => rmSync(path, { force: true }))
      this.#files.delete(file)
    } else {
      const written = writer.finish()
      this.#files.set(file, {
        file,
        ...written,
        sessions: counts.sessions,
        host_id: hostId,
        hour,
        stages: counts.stages,
      })
    }
    this.#pending.delete(file)
    this.#count -= held
  }

  #beside(session: TableSession): Beside {
    return { finer: finerLabel(session), payload: this.#options.payloadOf?.(session) ?? null }
  }
}
