/**
 * `npm run lab`: the live lab, then its recording under all conditions, a row each.
 *
 * `npm run lab -- [--seconds 300] [--at-once 4] [--seed 1] [--events ebpf] [--out FOLDER | --from FOLDER]
 * [--row TEXT] [--wrong] [--peers] [--kafka]`: `--from` takes a recording that an earlier run left in its `--out`; `--row` runs the rows whose
 * title holds the text and prints their whole score, `--wrong` every wrong label too; `--peers` runs other programs of the
 * kind on one of the hosts and scores them on the same traffic. `--kafka` has the services label, live: agents, capture, two
 * matchers and a resolver, and in a second row one process, the same records. Needs root.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { defaultConstants } from '#core/constants.ts'
import { conditionRow, conditionTable } from '../condition-table.ts'
import { differencesText } from '../differences.ts'
import type { Judged } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import { calibrationTable, scoreText, wrongText } from '../score-text.ts'
import { conditions } from './conditions.ts'
import { loadText, readLoad } from './load.ts'
import { runLabOnKafka } from './on-kafka.ts'
import { peerTable } from './peer-table.ts'
import { Recording, readTruth } from './recording.ts'
import { contradictions, type LabOptions, type LabRecord, runLab } from './run.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '300' },
    'at-once': { type: 'string', default: '4' },
    seed: { type: 'string', default: '1' },
    events: { type: 'string', default: 'ebpf' },
    out: { type: 'string' },
    from: { type: 'string' },
    row: { type: 'string' },
    wrong: { type: 'boolean', default: false },
    peers: { type: 'boolean', default: false },
    kafka: { type: 'boolean', default: false },
  },
})

const optionsFor = (folder: string): LabOptions => {
  const { seconds, seed, events, peers } = values
  return { folder, seconds: Number(seconds), seed: Number(seed), events, peers, atOnce: Number(values['at-once']) }
}

async function run(folder: string): Promise<LabRecord> {
  const lab = await runLab(optionsFor(folder))
  console.log(`${runsText(lab)}\n`)
  return lab
}

async function runOnKafka(folder: string): Promise<void> {
  const { lab, onKafka, inOneProcess } = await runLabOnKafka(optionsFor(folder))
  console.log(`${runsText(lab)}\n`)
  if (values.wrong) for (const one of onKafka.final) if (one.verdict === 'wrong') console.log(wrongText(one))
  console.log(`${differencesText(onKafka, inOneProcess)}\n`)
  const rows = [
    conditionRow('the services, live', onKafka),
    conditionRow('one process, the same records', inOneProcess),
  ]
  console.log(conditionTable(rows))
}

/** What ran, and what did not go as it was to. */
function runsText(lab: LabRecord): string {
  const { runs, truth, missing } = lab
  const byKind = Map.groupBy(runs, ({ kind }) => kind)
  const kinds = [...byKind].map(([kind, list]) => `${list.length} ${kind}`).sort()
  const failed = runs.filter(({ problem }) => problem !== null)
  const problems = failed.map(({ host, kind, problem }) => `${kind} on ${host} did not succeed: ${problem}`)
  const said = runs.reduce((sum, { told }) => sum + told.length, 0)
  const seen = `${truth.length} connections and exchanges seen by the witness`
  const against = contradictions(lab)
  const leftOut = Object.entries(missing).map(([tool, why]) => `left out, since it could not be had: ${tool} (${why})`)
  return [
    ...leftOut,
    `${runs.length} programs: ${kinds.join(', ')}`,
    `${seen}; ${said} of them told by the programs themselves, otherwise ${against.length}`,
    ...against,
    ...problems,
  ].join('\n')
}

async function labelRecording(folder: string): Promise<void> {
  const lab = values.from === undefined ? await run(folder) : null
  const recording = await Recording.open({ capture: `${folder}/capture.pcap`, sockets: `${folder}/sockets` })
  const truth = readTruth(folder)
  console.log(`${loadText(readLoad(folder), recording.paces)}\n`)
  const rows: string[][] = []
  const judged: [title: string, judged: Judged[]][] = []
  for (const condition of conditions) {
    const { title, constants } = condition
    if (values.row !== undefined && !title.includes(values.row)) continue
    const recorded = { truth: () => truth, inputs: () => recording.inputs(condition) }
    const score = await scoreInputs(recorded, { ...defaultConstants, ...constants })
    rows.push(conditionRow(title, score))
    if (values.row !== undefined) console.log(`${title}\n\n${scoreText(score)}\n`)
    judged.push([title, score.final])
    if (values.wrong) for (const one of score.final) if (one.verdict === 'wrong') console.log(wrongText(one))
  }
  console.log(`${conditionTable(rows)}\n\n${calibrationTable(judged)}`)
  if (lab && values.peers) console.log(`\n${peerTable(lab, judged)}`)
}

const folder = values.from ?? values.out ?? mkdtempSync(path.join(tmpdir(), 'proclabel-lab-'))
mkdirSync(folder, { recursive: true })
try {
  if (values.kafka) await runOnKafka(folder)
  else await labelRecording(folder)
} finally {
  if (values.from === undefined && values.out === undefined) rmSync(folder, { recursive: true })
}
