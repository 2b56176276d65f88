import { count, percent, table } from '../../cli/text-table.ts'
import { type Judged, type Score, tally } from '../score.ts'
import { programs } from './programs.ts'

/** What the source reports of its 24 hours: shares of sessions that got a label. It does not say how many labels were right. */
const source = { live: 0.9017, final: 0.998, sessions: 127_245 }
/** Programs that the source names, and the share of its labels that each has; the others have 8.04 % together. */
const named = programs.slice(0, 10)
const others = '105 others'

/** The source's tables beside ours and beside its matching on the same day, with what it could not report: how many labels are right. */
export function sourceTables(ours: Score, paper: Score): string {
  return [rates(ours, paper), stages(ours, paper), distribution(ours, paper)].join('\n\n')
}

function rates(ours: Score, paper: Score): string {
  const cells = (judged: readonly Judged[]) => {
    const { sessions, labeled, right } = tally(judged)
    return [percent(labeled, sessions), percent(right, labeled)]
  }
  const share = (part: number) => `${(100 * part).toFixed(2)} %`
  return table(
    ['Match rate', 'Source', 'Its matching', 'right', 'Ours', 'right '],
    [
      ['live', share(source.live), ...cells(paper.live), ...cells(ours.live)],
      ['after post-processing', share(source.final), ...cells(paper.final), ...cells(ours.final)],
      ['sessions', count(source.sessions), count(paper.final.length), '', count(ours.final.length), ''],
    ],
  )
}

function stages(ours: Score, paper: Score): string {
  const [our, theirs] = [ours, paper].map(({ final }) => Map.groupBy(final, ({ session }) => session.stage ?? 'none'))
  const names = (['A', 'A2', 'B', 'C', 'D', 'F', 'N', 'none'] as const).filter(
    name => our!.has(name) || theirs!.has(name),
  )
  const cells = (judged: readonly Judged[] = []) => {
    const { labeled, right } = tally(judged)
    return [count(judged.length), labeled === 0 ? '-' : percent(right, labeled)]
  }
  return table(
    ['Stage', 'Its matching', 'right', 'Ours', 'right '],
    names.map(name => [name, ...cells(theirs!.get(name)), ...cells(our!.get(name))]),
  )
}

function distribution(ours: Score, paper: Score): string {
  const classOf = (name: string | undefined) => (named.some(program => program.name === name) ? name! : others)
  const labeled = ({ final }: Score) => final.filter(({ verdict }) => verdict !== 'unlabeled')
  const [our, theirs] = [labeled(ours), labeled(paper)]
  const shares: [string, number][] = named.map(({ name, share }) => [name, share])
  shares.push([others, 1 - shares.reduce((sum, [, share]) => sum + share, 0)])
  const cells = (judged: readonly Judged[], name: string) => {
    const list = judged.filter(({ session }) => classOf(session.label?.process) === name)
    return [percent(list.length, judged.length), percent(tally(list).right, list.length)]
  }
  const truly = ours.final.map(({ truth }) => truth.owners[0]!.process)
  return table(
    ['Process', 'Source', 'Truly', 'Its matching', 'right', 'Ours', 'right '],
    shares.map(([name, share]) => [
      name,
      `${(100 * share).toFixed(2)} %`,
      percent(truly.filter(process => classOf(process) === name).length, truly.length),
      ...cells(theirs, name),
      ...cells(our, name),
    ]),
  )
}
