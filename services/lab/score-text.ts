import { count, percent, table } from '../cli/text-table.ts'
import { calibration, type Judged, lengthClass, type Score, type Tally, tally, wilson } from './score.ts'

/** The share of a whole with its interval of 95 % confidence. */
function share(part: number, whole: number): string {
  if (whole === 0) return '-'
  const [low, high] = wilson(part, whole)
  return `${percent(part, whole)} (${(100 * low).toFixed(2)} to ${(100 * high).toFixed(2)})`
}

export const scoreHead = [
  '',
  'Sessions',
  'Labeled',
  'Right',
  'Completeness, 95 % interval',
  'Accuracy of labels, 95 % interval',
]

export const scoreRow = (title: string, { sessions, labeled, right }: Tally): string[] => [
  title,
  count(sessions),
  count(labeled),
  count(right),
  share(labeled, sessions),
  share(right, labeled),
]

/** Rows of judged sessions by a class, the largest first. */
export function scoreRowsBy(judged: readonly Judged[], classOf: (one: Judged) => string): string[][] {
  const classes = [...Map.groupBy(judged, classOf)]
  return classes.sort((a, b) => b[1].length - a[1].length).map(([title, list]) => scoreRow(title, tally(list)))
}

/** The score as text. */
export function scoreText(score: Score): string {
  const { live, final, untold, unseen } = score
  const labeled = final.filter(({ verdict }) => verdict !== 'unlabeled')
  const unlabeled = final.filter(({ verdict }) => verdict === 'unlabeled')
  const parts = [
    table(scoreHead, [scoreRow('when they ended', tally(live)), scoreRow('by their last revision', tally(final))]),
    `sessions without truth ${count(untold)}, truth without a session ${count(unseen)}; neither is counted above`,
    section('By stage', labeled, ({ session }) => session.stage ?? ''),
    section('By protocol', final, ({ session }) => session.proto),
    section('By length', final, ({ session }) => lengthClass(session)),
    thresholds(final),
    calibrationText(final),
    causesText(unlabeled),
  ]
  return parts.filter(part => part !== '').join('\n\n')
}

const section = (title: string, judged: readonly Judged[], classOf: (one: Judged) => string): string =>
  judged.length === 0 ? '' : table([title, ...scoreHead.slice(1)], scoreRowsBy(judged, classOf))

/** What accuracy is had at what completeness, when labels below a confidence are left out; stage A states none and always stays. */
function thresholds(judged: readonly Judged[]): string {
  const rows = [1, 0.999, 0.99, 0.95, 0.9, 0.8, 0].map(least => {
    const kept = judged.filter(({ session, verdict }) => {
      if (verdict === 'unlabeled') return false
      return session.stage === 'A' || (session.confidence ?? 0) >= least
    })
    const { labeled, right } = tally(kept)
    const title = least === 1 ? 'stage A alone' : least === 0 ? 'all labels' : `confidence of ${least} and more`
    return [title, share(labeled, judged.length), share(right, labeled)]
  })
  return table(['Labels kept', 'Completeness', 'Accuracy'], rows)
}

const calibrationHead = ['Confidence', 'Labels', 'Stated on average', 'Right, 95 % interval']

function calibrationText(judged: readonly Judged[]): string {
  const rows = calibrationRows(judged)
  return rows.length === 0 ? '' : table(calibrationHead, rows)
}

/** By what labels state: how often they are right. Stage A, and the others as long as they have not been tried often enough, state nothing. */
function calibrationRows(judged: readonly Judged[]): string[][] {
  const silent = judged.filter(({ session, verdict }) => verdict !== 'unlabeled' && session.confidence === null)
  const [direct, untried] = [true, false].map(isDirect =>
    tally(silent.filter(({ session }) => (session.stage === 'A') === isDirect)),
  )
  const stated = calibration(judged).map(({ from, labels, stated, right }) => [
    `${from} and more`,
    count(labels),
    `${(100 * stated).toFixed(2)} %`,
    share(right, labels),
  ])
  const rowOf = (title: string, { labeled, right }: Tally) =>
    labeled === 0 ? [] : [[title, count(labeled), '-', share(right, labeled)]]
  return [...rowOf('stage A', direct!), ...stated, ...rowOf('none stated', untried!)]
}

/** The same for several scores, each with its title. */
export const calibrationTable = (scores: readonly (readonly [title: string, judged: readonly Judged[]])[]): string =>
  table(
    ['', ...calibrationHead],
    scores.flatMap(([title, judged]) => calibrationRows(judged).map((row, i) => [i === 0 ? title : '', ...row])),
  )

function causesText(unlabeled: readonly Judged[]): string {
  const causes = Map.groupBy(unlabeled, ({ session }) => session.unknown_cause ?? 'not judged')
  const rows = [...causes].sort((a, b) => b[1].length - a[1].length).map(([cause, list]) => [cause, count(list.length)])
  return rows.length === 0 ? '' : table(['Without a label because', 'Sessions'], rows)
}

/** A wrong label in a line: what was said, on what evidence, and who it was. */
export function wrongText({ session, truth }: Judged): string {
  const { host_id, proto, local_ip, local_port, remote_ip, remote_port, first_us, stage, label, confidence } = session
  const said = `${label!.process}${label!.pid === null ? '' : `:${label!.pid}`}`
  const truly = truth.owners.map(({ process, pid }) => `${process}${pid === null ? '' : `:${pid}`}`).join(' or ')
  const { reason, ...rest } = session.evidence
  const ends = `${host_id} ${proto} ${local_ip}:${local_port} ${remote_ip}:${remote_port}`
  const when = new Date(first_us / 1000).toISOString()
  return `${when} ${ends}: ${stage} said ${said}${confidence === null ? '' : ` at ${confidence.toFixed(3)}`}, truly ${truly}; ${reason} ${JSON.stringify(rest)}`
}
