import { count, percent, table } from '../../cli/text-table.ts'
import { type Judged, type Score, tally } from '../score.ts'
import { programs } from './programs.ts'

/** What the source reports of its 24 hours. It does not say how many labels were right. */
const source = { live: 0.9017, final: 0.998, sessions: 127_245 }
/** Programs that the source names; its shares are of all sessions: with those of the others they make its match rate. */
const named = programs.slice(0, 10)
const others = '105 others'
const unlabeled = 'no label'

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
  const classOf = (name: string) => (named.some(program => program.name === name) ? name : others)
  const byClass = ({ final }: Score) =>
    Map.groupBy(final, ({ session }) => (session.label ? classOf(session.label.process) : unlabeled))
  const [our, theirs] = [byClass(ours), byClass(paper)]
  const truly = Map.groupBy(ours.final, ({ truth }) => classOf(truth.owners[0]!.process))
  const shares: [string, number][] = named.map(({ name, share }) => [name, share])
  shares.push([others, source.final - shares.reduce((sum, [, share]) => sum + share, 0)], [unlabeled, 1 - source.final])
  const cells = (list: readonly Judged[] = [], { final }: Score) => {
    const { labeled, right } = tally(list)
    return [percent(list.length, final.length), labeled === 0 ? '-' : percent(right, labeled)]
  }
  return table(
    ['Process', 'Source', 'Truly', 'Its matching', 'right', 'Ours', 'right '],
    shares.map(([name, share]) => [
      name,
      percent(share, 1),
      percent(truly.get(name)?.length ?? 0, ours.final.length),
      ...cells(theirs.get(name), paper),
      ...cells(our.get(name), ours),
    ]),
  )
}
