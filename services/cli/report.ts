import process from 'node:process'
import { Command } from 'commander'
import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { type Line, splitLines } from '../agent/lines.ts'
import { MAX_LINE_BYTES, openLog } from '../agent/socket-log.ts'
import { Summary, type SummaryRow, summaryRow } from './summary.ts'

export const reportCommand = (): Command =>
  new Command('report')
    .description('tells of labeled sessions: processes, match rate by stage, unknowns by cause')
    .argument('<file>', 'labeled sessions as JSON lines, as `proclabel label` writes them; - for standard input')
    .action(async (file: string) => {
      const summary = new Summary()
      const latest = new Map<string, { revision: number; row: SummaryRow }>()
      let bad = 0
      for await (const { text } of lines(file)) {
        if (text === '') continue
        const session = parse(text ?? '')
        if (session === null) bad++
        else if ((latest.get(session.session_id)?.revision ?? -1) <= session.revision)
          latest.set(session.session_id, { revision: session.revision, row: summaryRow(session) })
      }
      if (latest.size === 0)
        throw new InputError(
          'PROCLABEL_INPUT',
          `${file} holds no labeled sessions: give it what 'proclabel label' wrote`,
        )
      for (const { row } of latest.values()) summary.add(row)
      process.stdout.write(`${summary.render()}\n`)
      if (bad > 0) {
        process.stderr.write(`proclabel: ${bad} lines of ${file} are not labeled sessions and were left out\n`)
        process.exitCode = exitCodes.damagedInput
      }
    })

async function* lines(file: string): AsyncGenerator<Line> {
  try {
    yield* splitLines(file === '-' ? process.stdin : await openLog(file), MAX_LINE_BYTES)
  } catch (error) {
    throw new InputError('PROCLABEL_INPUT', `cannot read ${file}: ${(error as Error).message}`, error)
  }
}

/** Null for a line that is no labeled session. */
function parse(line: string): LabeledSession | null {
  try {
    const session = JSON.parse(line)
    return typeof session?.session_id === 'string' && typeof session.revision === 'number' ? session : null
  } catch {
    return null
  }
}
