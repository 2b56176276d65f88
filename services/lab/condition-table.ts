import { count, percent, table } from '../cli/text-table.ts'
import { type Judged, type Score, tally } from './score.ts'

const head = ['', 'Sessions', 'Labeled live', 'right', 'Labeled at last', 'right ', 'Wrong of confidence ≥ 0.99']

/** One row a condition: how many sessions got a label, and how many of the labels are right. */
export const conditionTable = (rows: string[][]): string => table(head, rows)

export function conditionRow(title: string, { live, final }: Score): string[] {
  const [before, after] = [tally(live), tally(final)]
  const sure = final.filter(isSure)
  const wrong = sure.filter(({ verdict }) => verdict === 'wrong').length
  return [
    title,
    count(after.sessions),
    percent(before.labeled, before.sessions),
    percent(before.right, before.labeled),
    percent(after.labeled, after.sessions),
    percent(after.right, after.labeled),
    `${count(wrong)} of ${count(sure.length)}`,
  ]
}

/** Stage A states no confidence: its labels count as sure. */
function isSure({ session, verdict }: Judged): boolean {
  return verdict !== 'unlabeled' && (session.stage === 'A' || (session.confidence ?? 0) >= 0.99)
}
