/**
 * Recorded Windows hosts: labels from one event log, truth from the other, a row for each set of captures.
 *
 * `node services/lab/windows.ts [--wrong]`: the captures are found by PROCLABEL_CAPTURES. `--wrong` prints every wrong label.
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { capturesDir } from '#shared/captures-dir.ts'
import { count, percent, table } from '../cli/text-table.ts'
import { labelWithLog, readTruthSets, type TruthCapture, type TruthKind, truthKinds } from '../embedded/test-truth.ts'
import { type Judged, Scorer, tally, wilson } from './score.ts'
import { wrongText } from './score-text.ts'
import { type TruthLine, TruthTable } from './truth-line.ts'

/** The logs' clocks are up to 12 s off the capture's; a 5-tuple is used once within that. */
const slackUs = 15_000_000

/** How Sysmon calls a process whose start it did not see. */
const unnamed = /^(<|&lt;)unknown process/

/** What one kind of event says of the ends of a capture's sessions. */
function* truthOf({ sessions }: TruthCapture, kind: TruthKind): Generator<TruthLine> {
  for (const { proto, a, a_port, b, b_port, first_ts, last_ts, labelled, owners } of sessions) {
    if (!labelled) continue
    for (const { side, host, pid, image } of owners) {
      const file = image[kind]
      if (file === undefined || unnamed.test(file)) continue
      const [local, remote] =
        side === 'a'
          ? [
              { ip: a, port: a_port },
              { ip: b, port: b_port },
            ]
          : [
              { ip: b, port: b_port },
              { ip: a, port: a_port },
            ]
      yield {
        ...{ host_id: host, proto, local_ip: local.ip, local_port: local.port },
        ...{ remote_ip: remote.ip, remote_port: remote.port },
        ...{ first_us: Math.round(Number(first_ts) * 1e6), last_us: Math.round(Number(last_ts) * 1e6) },
        owners: [{ process: file.split('\\').at(-1)!, pid }],
      }
    }
  }
}

const { values } = parseArgs({ options: { wrong: { type: 'boolean', default: false } } })
const captures = capturesDir()
if (captures === null) {
  process.stderr.write('no captures: set PROCLABEL_CAPTURES to their folder\n')
  process.exit(2)
}

for (const [used, judge] of [
  ['sysmon', 'security'],
  ['security', 'sysmon'],
] as const) {
  const rows: string[][] = []
  const all: Judged[] = []
  const add = (title: string, judged: readonly Judged[]) => {
    const { sessions, labeled, right } = tally(judged)
    const [low, high] = wilson(right, labeled).map(bound => (100 * bound).toFixed(2))
    rows.push([
      title,
      count(sessions),
      percent(labeled, sessions),
      percent(right, labeled),
      labeled === 0 ? '' : `${low} to ${high}`,
    ])
  }
  for (const set of readTruthSets(path.join(captures, 'process_truth'))) {
    const judged: Judged[] = []
    for (const capture of set.captures) {
      const truth = new TruthTable(slackUs)
      for (const line of truthOf(capture, truthKinds[judge])) truth.add(line)
      const scorer = new Scorer(truth)
      for (const session of await labelWithLog(capture.file, set.log, used)) scorer.add(session)
      judged.push(...scorer.score().final)
    }
    add(set.name, judged)
    all.push(...judged)
  }
  add('all', all)
  const head = [`${used} labels, ${judge} judges`, 'Sessions', 'Labeled', 'right', '95 % interval']
  console.log(`${table(head, rows)}\n`)
  if (values.wrong) for (const one of all) if (one.verdict === 'wrong') console.log(wrongText(one))
}
