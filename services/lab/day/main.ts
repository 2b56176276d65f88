/**
 * The simulated day under all conditions, a row each: how many sessions get a label, and how many of the labels are right.
 *
 * `node services/lab/day/main.ts [--sessions 127245] [--hours 24] [--seed 1] [--period 50] [--row TEXT]… [--wrong]
 * [--set NAME=VALUE] [--kafka]`: `--period` is the time between polls that agents ask for, milliseconds; `--row` runs the row
 * of that title, or those whose title holds the text, and prints their whole scores, `--wrong` every wrong label too; `--set` changes a
 * matching constant of every row; `--kafka` labels by the services, on a Kafka and a Redis of their own, and tells where one
 * process says otherwise.
 */
import { parseArgs } from 'node:util'
import { type MatchConstants, paperProfile } from '#core/constants.ts'
import { matchConstants } from '../../cli/match-options.ts'
import { count } from '../../cli/text-table.ts'
import { conditionRow, conditionTable } from '../condition-table.ts'
import { differencesText } from '../differences.ts'
import type { Score } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import { scoreOnKafka } from '../score-on-kafka.ts'
import { scoreText, wrongText } from '../score-text.ts'
import type { AgentConditions } from './agent.ts'
import { Day, goodMirror, type MirrorConditions, sourceDay, usualAgent } from './day.ts'
import type { Span } from './processes.ts'
import { sourceTables } from './source-tables.ts'

interface Row {
  title: string
  constants?: Partial<MatchConstants>
  agent?: (host: number, span: Span) => Partial<AgentConditions>
  mirror?: Partial<MirrorConditions>
}

const polling = () => ({ events: false })
const polled = 'polls alone'
const polledAsSource = "polls alone, the source's matching"
const rows: readonly Row[] = [
  { title: 'events and polls' },
  { title: polled, agent: polling },
  { title: polledAsSource, agent: polling, constants: paperProfile },
  {
    title: 'two agents dead for a quarter of the time',
    agent: (host, { fromUs, toUs }) =>
      host < 2 ? { downs: [{ fromUs: fromUs + (toUs - fromUs) / 2, toUs: fromUs + (toUs - fromUs) * 0.75 }] } : {},
  },
  { title: 'a tenth of the events lost', agent: () => ({ lostShare: 0.1 }) },
  { title: 'clocks up to 3 s off, drifting', agent: host => ({ offsetUs: (host - 3) * 1_000_000, driftPpm: 50 }) },
  { title: 'the mirror loses 1 in 1000', mirror: { lostShare: 0.001 } },
  { title: 'the mirror loses 1 in 100', mirror: { lostShare: 0.01 } },
  { title: 'half of the capture up to 200 ms late', mirror: { lateUs: 200_000 } },
  { title: 'no server names, polls alone', agent: polling, mirror: { hidesNames: true } },
]

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: String(sourceDay.sessions) },
    hours: { type: 'string', default: String(sourceDay.hours) },
    seed: { type: 'string', default: String(sourceDay.seed) },
    period: { type: 'string', default: '50' },
    row: { type: 'string', multiple: true },
    wrong: { type: 'boolean', default: false },
    set: { type: 'string', multiple: true, default: [] },
    kafka: { type: 'boolean', default: false },
  },
})

const isTitle = (text: string): boolean => rows.some(({ title }) => title === text)
const isAsked = (title: string): boolean =>
  values.row?.some(text => (isTitle(text) ? title === text : title.includes(text))) ?? true
const given = await matchConstants({ profile: 'default', set: values.set })
const lines: string[][] = []
const scores = new Map<string, Score>()
for (const { title, constants, agent, mirror } of rows) {
  if (!isAsked(title)) continue
  const day = new Day({
    ...{ hosts: sourceDay.hosts, sessions: Number(values.sessions), hours: Number(values.hours) },
    seed: Number(values.seed),
    conditions: (host, span, random) => ({
      ...usualAgent(host, span, random),
      periodUs: 1000 * Number(values.period),
      ...agent?.(host, span),
    }),
    mirror: { ...goodMirror, ...mirror },
  })
  const inOneProcess = await scoreInputs(day, { ...given, ...constants }, !values.kafka)
  const score = values.kafka ? await onKafka(day, constants, inOneProcess) : inOneProcess
  if (title === polled || title === polledAsSource) scores.set(title, score)
  lines.push(conditionRow(title, score))
  if (values.row !== undefined) console.log(`${title}\n\n${scoreText(score)}\n`)
  if (values.wrong) {
    for (const judged of score.final) if (judged.verdict === 'wrong') console.log(wrongText(judged))
  }
}
console.log(conditionTable(lines))
const [ours, paper] = [polled, polledAsSource].map(title => scores.get(title))
if (ours && paper) console.log(`\n${sourceTables(ours, paper)}`)

async function onKafka(day: Day, constants: Partial<MatchConstants> | undefined, inOneProcess: Score): Promise<Score> {
  const profile = constants === paperProfile ? ['--profile', 'paper'] : []
  const set = values.set.flatMap(setting => ['--set', setting])
  const run = await scoreOnKafka(day, [...profile, ...set])
  console.log(
    `${count(run.published)} records published in ${Math.round(run.publishSeconds)} s, ` +
      `${count(run.told)} of labeled sessions told in ${Math.round(run.labelSeconds)} s`,
  )
  console.log(`${differencesText(run.score, inOneProcess)}\n`)
  return run.score
}
