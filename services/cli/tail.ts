import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import process from 'node:process'
import { Command, Option } from 'commander'
import type { LabeledSession } from '#schemas'
import { readSessions } from '../export/read-sessions.ts'
import { clientOptions, runService, type ServiceFlags } from './run-service.ts'

export interface SessionFilter {
  host?: string
  process?: string
  stage?: string
  state?: string
  /** True: of any cause. */
  unknown?: string | true
}

interface TailFlags extends ServiceFlags, SessionFilter {
  fromBeginning?: true
}

export const tailCommand = (): Command =>
  clientOptions(new Command('tail'))
    .description('follows labeled sessions as JSON lines on standard output')
    .option('--from-beginning', 'those that are there already, too; else what comes from now on')
    .option('--host <id>', 'only of this host')
    .option('--process <name>', 'only labeled with this program')
    .addOption(
      new Option('--stage <stage>', 'only labeled by this stage').choices(['A', 'A2', 'B', 'C', 'D', 'F', 'N']),
    )
    .addOption(new Option('--state <state>', 'only in this state').choices(['open', 'closed']))
    .option('--unknown [cause]', 'only without a label, of this cause if one is given')
    .action((flags: TailFlags) =>
      runService('tail', flags, async ({ bus, codecs, prepare, log, health, signal }) => {
        const onDamaged = (_: unknown, error: Error) => log.warn({ error }, 'not a labeled session')
        const group = `tail-${randomUUID()}`
        health.component('tail').ready()
        const beginAt = flags.fromBeginning ? 'earliest' : 'next'
        const reading = { bus, group, codecs, prepare, onDamaged, signal, beginAt } as const
        for await (const { sessions, commit } of readSessions(reading)) {
          const lines = sessions
            .filter(({ session }) => matchesFilter(session, flags))
            .map(({ session }) => `${JSON.stringify(session)}\n`)
          if (lines.length > 0 && !process.stdout.write(lines.join(''))) await once(process.stdout, 'drain')
          await commit()
        }
      }),
    )

/** Whether a session has all that the filter names. */
export function matchesFilter(session: LabeledSession, filter: SessionFilter): boolean {
  const { host_id, label, stage, state, unknown_cause } = session
  return (
    fits(filter.host, host_id) &&
    fits(filter.process, label?.process) &&
    fits(filter.stage, stage) &&
    fits(filter.state, state) &&
    (filter.unknown === true ? unknown_cause !== null : fits(filter.unknown, unknown_cause))
  )
}

const fits = (wanted: string | undefined, found: string | null | undefined) => wanted === undefined || wanted === found
