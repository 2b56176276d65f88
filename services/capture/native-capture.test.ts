import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { capturesDir } from '../shared/captures-dir.ts'
import { compareCaptures } from './native-capture-fixture.ts'

/** Names are looked for between blocks, so short blocks take other ways than long ones. */
for (const [monitored, frames] of [
  ['bare', 4096],
  ['hosts', 5],
  ['hosts-only', 64],
] as const)
  test(`native and portable capture agree on every capture: ${monitored}, blocks of ${frames} frames`, async t => {
    const dir = capturesDir()
    if (dir === null) return t.skip('no captures')
    for (const name of readdirSync(path.join(dir, 'captures')))
      await compareCaptures(path.join(dir, 'captures', name), monitored, frames).catch(error => {
        throw new Error(name, { cause: error })
      })
  })
