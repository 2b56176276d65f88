import process from 'node:process'
import { Command } from 'commander'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { readSessions } from './read-json-lines.ts'
import { Summary, type SummaryRow, summaryRow } from './summary.ts'

export const reportCommand = (): Command =>
  new Command('report')
    .description('tells of labeled sessions: processes, match rate by stage, unknowns by cause')
    .argument('<file>', 'labeled sessions as JSON lines, as `proclabel label` writes them; - for standard input')
    .action(async (file: string) => {
      const summary = new Summary()
      const latest = new Map<string, { revision: number; row: SummaryRow }>()
      let bad = 0
      for await (const session of readSessions(file)) {
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
