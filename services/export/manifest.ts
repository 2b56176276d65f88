import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Stage } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { readSchema } from '../../schemas/generate-types.ts'
import { FileSink } from './file-sink.ts'
import type { RowFacts } from './table-file.ts'

const fileName = 'manifest.json'

/** What a dataset is of, and how it was made: the same throughout the life of its folder. */
export interface DatasetSettings {
  format: string
  columns: readonly { name: string; type: string }[]
  /** What was asked for: filters, sampling, parts. */
  selection: Record<string, unknown>
  privacy: Record<string, unknown>
}

/** Labels of one stage: how many, and what their confidences add up to where they have one. */
interface StageCount {
  sessions: number
  measured: number
  confidence: number
}

export interface FileEntry {
  /** From the dataset's folder. */
  file: string
  sha256: string
  bytes: number
  sessions: number
  host_id: string | null
  /** UTC, 2026-11-25T17. */
  hour: string
  stages: Partial<Record<Stage, StageCount>>
}

export interface Manifest extends DatasetSettings {
  tool: string
  /** Of the sessions; `sha256` is that of the schema's JSON text without spaces. */
  schema: { name: string; sha256: string }
  created: string
  changed: string
  sessions: number
  hosts: Record<string, number>
  /** Of sessions of monitored hosts, how many have a label. */
  completeness: { monitored: number; labeled: number; share: number | null }
  /** `precision_at_least`: mean of the labels' confidence, measured in shadow; null where none has one (stage A never has). */
  stages: Partial<Record<Stage, { sessions: number; precision_at_least: number | null }>>
  /** First and last hour that has sessions, UTC. */
  from: string | null
  until: string | null
  files: FileEntry[]
  /** What else is to be known of how the dataset was made, such as what a split left out. */
  notes?: Record<string, unknown>
}

export class StageCounts {
  sessions = 0
  readonly stages: FileEntry['stages'] = {}

  add({ stage, confidence }: RowFacts): void {
    this.sessions++
    if (stage === null) return
    this.stages[stage] ??= { sessions: 0, measured: 0, confidence: 0 }
    const count = this.stages[stage]
    count.sessions++
    if (confidence === null) return
    count.measured++
    count.confidence += confidence
  }
}

/** The manifest of a folder; null when it has none. Throws InputError for one that was made otherwise. */
export function readManifest(folder: string, settings: DatasetSettings): Manifest | null {
  let text: string
  try {
    text = readFileSync(join(folder, fileName), 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return null
    throw new InputError('PROCLABEL_OUTPUT', `cannot read ${folder}: ${(error as Error).message}`, error)
  }
  const manifest = JSON.parse(text) as Manifest
  for (const name of ['format', 'columns', 'selection', 'privacy'] as const) {
    if (JSON.stringify(manifest[name]) === JSON.stringify(settings[name])) continue
    throw new InputError(
      'PROCLABEL_OUTPUT',
      `${folder} holds an export with another ${name} (${JSON.stringify(manifest[name])}): choose another folder, or the same options`,
    )
  }
  return manifest
}

export interface ManifestParts {
  settings: DatasetSettings
  tool: string
  created: string
  files: readonly FileEntry[]
  notes?: Record<string, unknown> | undefined
}

export function writeManifest(folder: string, { settings, tool, created, files, notes }: ManifestParts): void {
  const hosts: Record<string, number> = {}
  const stages: Record<string, StageCount> = {}
  let monitored = 0
  let labeled = 0
  for (const file of files) {
    if (file.host_id !== null) hosts[file.host_id] = (hosts[file.host_id] ?? 0) + file.sessions
    if (file.host_id !== null) monitored += file.sessions
    for (const [stage, count] of Object.entries(file.stages)) {
      labeled += count.sessions
      stages[stage] ??= { sessions: 0, measured: 0, confidence: 0 }
      for (const name of ['sessions', 'measured', 'confidence'] as const) stages[stage][name] += count[name]
    }
  }
  const sorted = files.toSorted((a, b) => (a.file < b.file ? -1 : 1))
  const hours = files.map(({ hour }) => hour).sort()
  const manifest: Manifest = {
    tool,
    ...settings,
    schema: { name: 'labeled-session.avsc', sha256: schemaHash },
    created,
    changed: new Date().toISOString(),
    sessions: files.reduce((sum, { sessions }) => sum + sessions, 0),
    hosts,
    completeness: { monitored, labeled, share: monitored === 0 ? null : labeled / monitored },
    stages: Object.fromEntries(
      Object.entries(stages).map(([stage, { sessions, measured, confidence }]) => [
        stage,
        { sessions, precision_at_least: measured === 0 ? null : confidence / measured },
      ]),
    ),
    from: hours[0] ?? null,
    until: hours.at(-1) ?? null,
    ...(notes && { notes }),
    files: sorted,
  }
  const sink = new FileSink(join(folder, fileName))
  sink.write(Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`))
  sink.finish()
}

const schemaHash = createHash('sha256')
  .update(JSON.stringify(readSchema('labeled-session')))
  .digest('hex')
