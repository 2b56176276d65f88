import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import type { FormatName } from '../export/format-names.ts'
import { JsonLinesWriter } from './json-lines-writer.ts'

export interface SessionWriter {
  /** Answers with a promise only when the reader is behind and has to be waited for. */
  write: (session: LabeledSession) => Promise<void> | undefined
  end: () => Promise<void>
}

/** Writes sessions to one file; `-` is standard output, for JSON lines alone. Throws InputError. */
export async function sessionWriter(format: FormatName, path: string): Promise<SessionWriter> {
  if (format === 'jsonl') return new JsonLinesWriter(path)
  if (path === '-') throw new InputError('PROCLABEL_CONFIG', `--format ${format} needs a file: give it with --out`)
  const { tableOf } = await import('../export/formats.ts')
  const { finerLabel } = await import('../export/finer-label.ts')
  const { tableSession } = await import('../export/table-session.ts')
  const table = tableOf(format, false).create(path)
  return {
    write: session => {
      table.add(tableSession(session), { finer: finerLabel(session), payload: null })
      return undefined
    },
    end: async () => {
      table.finish()
    },
  }
}
