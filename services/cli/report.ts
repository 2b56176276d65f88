import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import process from 'node:process'
import { Command } from 'commander'
import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import packageJson from '../../package.json' with { type: 'json' }
import { readToEnd } from '../export/read-sessions.ts'
import { Scorer, tally } from '../lab/score.ts'
import { scoreHead, scoreRow, scoreRowsBy } from '../lab/score-text.ts'
import { TruthTable, toTruthLine } from '../lab/truth-line.ts'
import { print } from './print.ts'
import { readJsonLines, readSessions } from './read-json-lines.ts'
import { ReportDetails } from './report-details.ts'
import { PackedSessions } from './report-page/packed-sessions.ts'
import { renderPage } from './report-page/page.ts'
import { clientOptions, needsBrokers, runService, type ServiceFlags, withoutBrokers } from './run-service.ts'
import { type Section, Summary, sectionText, summaryRow } from './summary.ts'

interface ReportFlags extends ServiceFlags {
  html?: string
  truth?: string
}

/** Of each session the latest revision; lines that are no session. */
interface Latest {
  sessions: Map<string, LabeledSession>
  bad: number
}

/** How far the clock of truth may be from the capture's. */
const truthSlackUs = 2_000_000
const processesShown = 20

export const reportCommand = (): Command =>
  withoutBrokers(clientOptions(new Command('report')))
    .description(
      'tells of labeled sessions: processes, match rate by stage, unknowns by cause, hosts, clocks, server names',
    )
    .argument('[file]', 'labeled sessions as JSON lines; - for standard input; without it, those that Kafka holds')
    .option('--html <file>', 'also as a page that needs nothing else, with every session and the evidence of its label')
    .option('--truth <file>', 'who truly owned what, as JSON lines, to tell how many labels are right')
    .action(async (file: string | undefined, flags: ReportFlags) => {
      if (file !== undefined) return report(await latestIn(file), file, flags)
      return runService('report', needsBrokers(flags), async parts => {
        const sessions: Latest['sessions'] = new Map()
        let bad = 0
        const onDamaged = () => void bad++
        for await (const session of readToEnd({ ...parts, group: `tail-report-${randomUUID()}`, onDamaged }))
          keepLatest(sessions, session)
        await report({ sessions, bad }, 'labeled-sessions', flags)
      })
    })

async function latestIn(file: string): Promise<Latest> {
  const sessions: Latest['sessions'] = new Map()
  let bad = 0
  for await (const session of readSessions(file)) {
    if (session === null) bad++
    else keepLatest(sessions, session)
  }
  return { sessions, bad }
}

/** Without the lengths of its packets, which are most of it and not told of. */
function keepLatest(sessions: Latest['sessions'], session: LabeledSession): void {
  const known = sessions.get(session.session_id)
  if (known && known.revision > session.revision) return
  session.splt = []
  sessions.set(session.session_id, session)
}

async function report({ sessions, bad }: Latest, source: string, { html, truth }: ReportFlags): Promise<void> {
  if (sessions.size === 0)
    throw new InputError('PROCLABEL_INPUT', `${source} holds no labeled sessions: give it what 'proclabel label' wrote`)
  const summary = new Summary()
  const details = new ReportDetails()
  for (const session of sessions.values()) {
    summary.add(summaryRow(session))
    details.add(session)
  }
  const accuracy = truth === undefined ? [] : await accuracyOf(truth, sessions.values())
  const sections = (shown: number) => [...summary.sections(shown), ...accuracy, ...details.sections()]
  const text = sections(processesShown).map(section => `${section.title}\n${sectionText(section)}`)
  await print(`${[summary.headline().join('\n'), ...text].join('\n\n')}\n`)
  if (html !== undefined) {
    const packed = new PackedSessions()
    for (const session of sessions.values()) packed.add(session)
    const tool = `proclabel ${packageJson.version}`
    const everyProcess = Number.POSITIVE_INFINITY
    const page = { source, tool, headline: summary.headline(), sections: sections(everyProcess), packed: packed.pack() }
    writePage(html, renderPage(page))
  }
  if (bad > 0) {
    process.stderr.write(`proclabel: ${bad} lines of ${source} are not labeled sessions and were left out\n`)
    process.exitCode = exitCodes.damagedInput
  }
}

async function accuracyOf(truthFile: string, sessions: Iterable<LabeledSession>): Promise<Section[]> {
  const truth = new TruthTable(truthSlackUs)
  for await (const value of readJsonLines(truthFile)) {
    const line = toTruthLine(value)
    if (line !== null) truth.add(line)
  }
  if (truth.size === 0) throw new InputError('PROCLABEL_INPUT', `${truthFile} holds no line of truth`)
  const scorer = new Scorer(truth)
  for (const session of sessions) scorer.add(session)
  const { final } = scorer.score()
  const labeled = final.filter(({ verdict }) => verdict !== 'unlabeled')
  return [
    {
      title: 'Completeness and accuracy',
      note: 'Of sessions that truth tells of, by their latest revision.',
      head: scoreHead,
      rows: [scoreRow('all', tally(final)), ...scoreRowsBy(labeled, ({ session }) => `stage ${session.stage}`)],
    },
  ]
}

function writePage(file: string, page: string): void {
  try {
    writeFileSync(file, page)
  } catch (error) {
    throw new InputError('PROCLABEL_OUTPUT', `cannot write ${file}: ${(error as Error).message}`, error)
  }
}
