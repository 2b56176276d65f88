import { type Columns, fromColumns, fromShared, toColumns, toShared } from './columns.ts'
import type { Judgement, SessionState } from './session.ts'
import { joinRows, splitRows } from './session-rows.ts'

export type SessionColumns = ReturnType<typeof toSessionColumns>

/** The states of many sessions as a few long columns: a host has thousands, and is written down often. */
export function toSessionColumns(sessions: readonly SessionState[]) {
  const columns: Partial<Columns<SessionState>> = toColumns(sessions)
  const { counts = [], judgement = [], toldJudgement = [], ...rest } = columns
  const judgements = toShared<Judgement>([...judgement, ...toldJudgement])
  const { evidence = [], ...others }: Partial<Columns<Judgement>> = toColumns(judgements.objects)
  const shared = toShared(evidence)
  return {
    rest,
    counts: joinRows(counts),
    judgementOf: judgements.places,
    judgements: others,
    evidenceOf: shared.places,
    evidence: toColumns(shared.objects),
  }
}

export function fromSessionColumns(columns: SessionColumns): SessionState[] {
  const { rest, counts, judgementOf, judgements, evidenceOf } = columns
  const evidence = fromShared({ objects: fromColumns(columns.evidence), places: evidenceOf })
  const objects = fromColumns({ ...judgements, evidence } as Columns<Judgement>)
  const all = fromShared({ objects, places: judgementOf })
  const rows = splitRows(counts)
  const [judgement, toldJudgement] = [all.slice(0, rows.length), all.slice(rows.length)]
  return fromColumns({ ...rest, counts: rows, judgement, toldJudgement } as Columns<SessionState>)
}
