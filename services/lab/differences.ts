import type { LabeledSession } from '#schemas'
import type { Score } from './score.ts'

/** Two labelings of the same traffic, compared by the last revision of each session: a line for each of another label or stage. */
export function differences(one: Score, other: Score): string[] {
  const [ours, theirs] = [one, other].map(
    ({ final }) => new Map(final.map(({ session }) => [session.session_id, session])),
  )
  const lines: string[] = []
  for (const id of new Set([...ours!.keys(), ...theirs!.keys()])) {
    const [a, b] = [ours!.get(id), theirs!.get(id)]
    if (saidOf(a) !== saidOf(b)) lines.push(`${endsOf(a ?? b!)}: ${saidOf(a)}, and ${saidOf(b)}`)
  }
  return lines
}

/** The same as text, headed by how many there are. */
export function differencesText(one: Score, other: Score): string {
  const lines = differences(one, other)
  const head = `${lines.length} of ${one.final.length} sessions have another label or stage by the services than in one process`
  return [head, ...lines].join('\n')
}

function saidOf(session: LabeledSession | undefined): string {
  if (session === undefined) return 'not told'
  const { label, stage, unknown_cause } = session
  return label === null ? `no label (${unknown_cause})` : `${stage} ${label.process}:${label.pid}`
}

const endsOf = ({ host_id, proto, local_ip, local_port, remote_ip, remote_port, first_us }: LabeledSession): string =>
  `${new Date(first_us / 1000).toISOString()} ${host_id} ${proto} ${local_ip}:${local_port} ${remote_ip}:${remote_port}`
