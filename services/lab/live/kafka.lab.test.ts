import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { conditionRow, conditionTable } from '../condition-table.ts'
import { differences } from '../differences.ts'
import { tally, wilson } from '../score.ts'
import { wrongText } from '../score-text.ts'
import { runLabOnKafka } from './on-kafka.ts'
import { contradictions } from './run.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')
const skip = canMakeNamespaces ? false : 'needs root and iproute2'

/** The targets, in shares: of sessions that have a label, of labels that are right. */
const aim = { labeled: 0.9995, right: 0.999 }

test('the services label seven hosts live as one process labels the same records, and rightly', { skip }, async t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-lab-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const { lab, onKafka, inOneProcess } = await runLabOnKafka({
    ...{ folder, seconds: 10, atOnce: 2, seed: 2, events: 'ebpf' },
  })
  const rows = [conditionRow('the services, live', onKafka), conditionRow('one process', inOneProcess)]
  for (const line of conditionTable(rows).split('\n')) t.diagnostic(line)
  assert.deepEqual(contradictions(lab), [], 'programs and witness say the same')
  const { final } = onKafka
  assert.ok(lab.truth.length > 100 && final.length >= 0.9 * lab.truth.length, `${final.length} of ${lab.truth.length}`)
  assert.deepEqual(differences(onKafka, inOneProcess), [])
  for (const judged of final) if (judged.verdict === 'wrong') t.diagnostic(wrongText(judged))
  const { sessions, labeled, right } = tally(final)
  assert.ok(wilson(labeled, sessions)[1] >= aim.labeled, `${labeled} of ${sessions} have a label`)
  assert.ok(wilson(right, labeled)[1] >= aim.right, `${right} of ${labeled} labels are right`)
})
