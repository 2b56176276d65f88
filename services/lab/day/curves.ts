/**
 * What the stages of the source design cost: one setting at a time, polls alone, on one host's day of the source's density.
 *
 * `node services/lab/day/curves.ts [--sessions 18178] [--hours 24] [--seed 1]`
 */
import { parseArgs } from 'node:util'
import { defaultConstants, type MatchConstants } from '#core/constants.ts'
import { count, percent, table } from '../../cli/text-table.ts'
import { type Score, tally } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import { Day, goodMirror, sourceDay, usualAgent } from './day.ts'

const minuteUs = 60_000_000
const settings: readonly [title: string, constants: Partial<MatchConstants>][] = [
  ['the defaults', {}],
  ['F searches 1 minute', { portHistoryReachUs: minuteUs }],
  ['F searches 1 hour', { portHistoryReachUs: 60 * minuteUs }],
  ['F searches 6 hours', { portHistoryReachUs: 360 * minuteUs }],
  ['F searches all days', { portHistoryReachUs: Number.POSITIVE_INFINITY }],
  ['F searches all days, by majority', { portHistoryReachUs: Number.POSITIVE_INFINITY, portHistoryShare: 0.5 }],
  ['C takes the last program at a shared end', { remotePortShared: true }],
  ['F alone, 10 minutes', { stages: ['F'] }],
  ['F alone, all days', { stages: ['F'], portHistoryReachUs: Number.POSITIVE_INFINITY }],
  [
    'F alone, all days, by majority',
    { stages: ['F'], portHistoryReachUs: Number.POSITIVE_INFINITY, portHistoryShare: 0.5 },
  ],
  ['C alone', { stages: ['C'] }],
  ['C alone, shared ends too', { stages: ['C'], remotePortShared: true }],
  ['D alone', { stages: ['D'] }],
  ['N alone', { stages: ['N'] }],
]

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: String(Math.round(sourceDay.sessions / sourceDay.hosts)) },
    hours: { type: 'string', default: String(sourceDay.hours) },
    seed: { type: 'string', default: String(sourceDay.seed) },
  },
})

const stages = ['A2', 'B', 'C', 'D', 'F', 'N'] as const

function row(title: string, { final }: Score): string[] {
  const { sessions, labeled, right } = tally(final)
  const cells = stages.map(stage => {
    const { labeled: all, right: good } = tally(final.filter(({ session }) => session.stage === stage))
    return all === 0 ? '-' : `${count(good)} of ${count(all)}`
  })
  return [title, percent(labeled, sessions), percent(right, labeled), ...cells]
}

const rows: string[][] = []
for (const [title, constants] of settings) {
  const day = new Day({
    ...{ hosts: 1, sessions: Number(values.sessions), hours: Number(values.hours), seed: Number(values.seed) },
    conditions: (...of) => ({ ...usualAgent(...of), events: false }),
    mirror: goodMirror,
  })
  rows.push(row(title, await scoreInputs(day, { ...defaultConstants, precisionFloor: 0, ...constants })))
}
const head = ['Setting, no stage abstaining', 'Labeled', 'right', ...stages.map(stage => `${stage} right`)]
console.log(table(head, rows))
