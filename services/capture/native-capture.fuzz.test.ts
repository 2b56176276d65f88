import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { capturesDir } from '../shared/captures-dir.ts'
import { InputError } from '../shared/errors.ts'
import { createRandom, mutate } from '../shared/mutate.ts'
import { compareCaptures, monitoredKinds } from './native-capture-fixture.ts'

const SECONDS = Number(process.env.PROCLABEL_FUZZ_SECONDS ?? 10)
const SEED = Number(process.env.PROCLABEL_FUZZ_SEED ?? 1)
const MAX_CAPTURE_BYTES = 100_000

test(`native and portable capture agree on mutated captures (seed ${SEED}, ${SECONDS} s)`, async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const names = readdirSync(join(dir, 'captures')).sort()
  const corpus = names.filter(name => statSync(join(dir, 'captures', name)).size <= MAX_CAPTURE_BYTES)
  const random = createRandom(SEED)
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-fuzz-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'mutated')
  const end = performance.now() + SECONDS * 1000
  let cases = 0
  for (; performance.now() < end; cases++) {
    const name = corpus[random(corpus.length)]!
    writeFileSync(path, mutate(readFileSync(join(dir, 'captures', name)), random))
    const monitored = monitoredKinds[random(monitoredKinds.length)]!
    await compareCaptures(path, monitored, 1 + random(64)).catch(error => {
      if (!(error instanceof InputError)) throw new Error(`case ${cases}, from ${name}, ${monitored}`, { cause: error })
    })
  }
  t.diagnostic(`${cases} cases`)
  assert.ok(cases > 0)
})
