import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { defaultConstants } from '#core/constants.ts'
import { conditionRow, conditionTable } from '../condition-table.ts'
import { type Judged, tally, wilson } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import { wrongText } from '../score-text.ts'
import { conditions } from './conditions.ts'
import { Recording } from './recording.ts'
import { contradictions, runLab } from './run.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')
const skip = canMakeNamespaces ? false : 'needs root and iproute2'

/** The targets, in shares: of sessions that have a label, of labels that are right. */
const aim = { labeled: 0.9995, right: 0.999 }

/** What was measured does not speak against a target: that lies within the interval of 95 %, or is surpassed. */
function assertReached(what: string, part: number, whole: number, target: number): void {
  const [, high] = wilson(part, whole)
  assert.ok(high >= target, `${what}: ${part} of ${whole}, at most ${high}, where ${target} is aimed at`)
}

const wrongOf = (judged: readonly Judged[]) => judged.filter(({ verdict }) => verdict === 'wrong').map(wrongText)

test('real programs on seven hosts: their sessions get labels, and the right ones', { skip }, async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-lab-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const lab = await runLab({ folder, seconds: 30, atOnce: 3, seed: 1, events: 'ebpf' })
  const { truth, runs } = lab
  t.diagnostic(`${runs.length} programs, ${truth.length} connections and exchanges`)
  for (const { kind, problem } of runs) if (problem !== null) t.diagnostic(`${kind}: ${problem}`)
  assert.ok(truth.length > 100, `${truth.length} connections and exchanges`)
  assert.deepEqual(contradictions(lab), [], 'programs and witness say the same')

  const recording = await Recording.open(lab)
  const rows: string[][] = []
  for (const condition of conditions) {
    const recorded = { truth: () => truth, inputs: () => recording.inputs(condition) }
    const score = await scoreInputs(recorded, { ...defaultConstants, ...condition.constants })
    rows.push(conditionRow(condition.title, score))
    const { sessions, labeled, right } = tally(score.final)
    for (const line of wrongOf(score.final)) t.diagnostic(`${condition.title}: ${line}`)
    assert.ok(sessions >= 0.9 * truth.length, `${condition.title}: ${sessions} sessions of ${truth.length}`)
    if (condition.seesAll) {
      assertReached(`labels, ${condition.title}`, labeled, sessions, aim.labeled)
      assertReached(`right labels, ${condition.title}`, right, labeled, aim.right)
    }
  }
  for (const line of conditionTable(rows).split('\n')) t.diagnostic(line)
})
