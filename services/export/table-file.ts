import type { LabeledSession } from '#schemas'
import type { Beside } from './columns.ts'
import type { WrittenFile } from './file-sink.ts'
import type { TableSession } from './table-session.ts'

/** What has to be known of a row that is in a file: whether it is to be replaced, and what the manifest counts of it. */
export type RowFacts = Pick<LabeledSession, 'session_id' | 'revision' | 'stage' | 'confidence'>

/** A row as it was read; `raw` goes back to a writer of the same format. */
export interface StoredRow {
  facts: RowFacts
  raw: unknown
}

/** Writes one file of sessions, which is there only after `finish`. Throws PROCLABEL_OUTPUT when it cannot be written. */
export interface TableWriter {
  add: (session: TableSession, beside: Beside) => void
  /** A row of an earlier file, as it is. */
  keep: (raw: unknown) => void
  finish: () => WrittenFile
  discard: () => void
}

/** A format of tables. */
export interface TableFormat {
  extension: string
  /** Names and types of what a row holds, for the manifest. */
  columns: readonly { name: string; type: string }[]
  create: (path: string) => TableWriter
  /** The rows of a file that this format wrote. */
  read: (path: string) => AsyncIterable<StoredRow>
}
