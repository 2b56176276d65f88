import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { defaultConstants } from '#core/constants.ts'
import { pythonTools } from '../deploy/tools.ts'
import { Day, goodMirror } from '../lab/day/day.ts'
import { scoreInputs } from '../lab/score-inputs.ts'

const run = promisify(execFile)
const fileOf = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'proclabel-baseline-'))
after(() => rmSync(folder, { recursive: true }))

test('the baseline classifier learns from an exported dataset as it is', async () => {
  const conditions = () => ({ events: true, lostShare: 0, periodUs: 50_000, downs: [], offsetUs: 0, driftPpm: 0 })
  const day = new Day({ hosts: 3, sessions: 4000, hours: 1, seed: 1, conditions, mirror: goodMirror })
  const { final } = await scoreInputs(day, defaultConstants)
  const [sessions, dataset] = [join(folder, 'labeled.jsonl'), join(folder, 'dataset')]
  writeFileSync(sessions, final.map(({ session }) => `${JSON.stringify(session)}\n`).join(''))
  const split = ['--split', 'time', '--shares', '0.6,0.1,0.3', '--stages', 'A']
  await run(process.execPath, [fileOf('../cli/main.ts'), 'export', sessions, '--out', dataset, ...split])
  const python = join(await pythonTools('duckdb==2.0.0', 'scikit-learn==1.9.1'), 'python')
  const { stdout } = await run(python, [fileOf('../export/baseline/classify.py'), dataset])
  const found = JSON.parse(stdout)
  assert.ok(found.train > 2000 && found.test > 600 && found.processes > 5, stdout)
  assert.ok(found.macro_f1 > 3 * found.macro_f1_of_the_most_frequent, stdout)
})
