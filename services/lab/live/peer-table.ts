import { count, percent, table } from '../../cli/text-table.ts'
import { type Judged, type Tally, tally } from '../score.ts'
import { tallyPeer } from './peers.ts'
import type { LabRecord } from './run.ts'
import { hosts } from './switch.ts'

const shown = ['events and polls', 'polls alone']

/** Us and the others on the sessions of the host where they ran; `judged` by the title of the condition. */
export function peerTable(
  lab: LabRecord,
  judged: readonly (readonly [title: string, all: readonly Judged[]])[],
): string {
  const ours = new Map(judged.map(([title, all]) => [title, all.filter(({ session }) => session.host_id === hosts[0])]))
  const cpu = (share: number) => `${(100 * share).toFixed(1)} %`
  const row = (name: string, { sessions, labeled, right }: Tally, cpuShare: number) => [
    ...[name, count(sessions), percent(labeled, sessions), percent(right, labeled), cpu(cpuShare)],
  ]
  const agentShare = new Map(lab.load.agents).get(hosts[0])!
  const titles = shown.filter(title => ours.has(title))
  const sessions = ours.get(titles[0]!) ?? []
  const rows = titles.map(title => row(`proclabel, ${title}`, tally(ours.get(title)!), agentShare))
  for (const { name, answers, cpuShare } of lab.peers) {
    if (answers) rows.push(row(name, tallyPeer(answers, sessions), cpuShare))
    else rows.push([name, '-', 'names no process for a flow', '-', cpu(cpuShare)])
  }
  return table(['On one host', 'Sessions', 'Labeled', 'right', 'CPU of a core'], rows)
}
