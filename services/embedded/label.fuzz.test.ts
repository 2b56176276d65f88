import assert from 'node:assert/strict'
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { defaultConstants } from '#core/constants.ts'
import { capturesDir } from '#shared/captures-dir.ts'
import { InputError } from '#shared/errors.ts'
import { createRandom, mutate } from '#shared/mutate.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { labelCapture } from './label.ts'
import { compareBare } from './label-bare-fixture.ts'
import { openSocketLogs, type SocketLogs } from './socket-logs.ts'

const seconds = Number(process.env.PROCLABEL_FUZZ_SECONDS ?? 5)
const seed = Number(process.env.PROCLABEL_FUZZ_SEED ?? 1)
/** A case takes some milliseconds; one that takes this long would not end for a larger file. */
const maxCaseMs = 5000

/** Labels one file; answers with the packets of all sessions, and the packets that should be in them. */
async function label(path: string, logs: SocketLogs | null): Promise<{ counted: number; decoded: number }> {
  const packets = await openCapture(path)
  let counted = 0
  try {
    const { frames } = await labelCapture({
      packets,
      logs,
      constants: defaultConstants,
      sensorId: 'fuzz',
      sink: session => {
        counted += session.packets_in + session.packets_out
      },
    })
    return { counted, decoded: frames.ok ?? 0 }
  } finally {
    await packets.close()
  }
}

test(`mutated captures are labeled whole, each packet in one session (seed ${seed}, ${seconds} s)`, async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const random = createRandom(seed)
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-fuzz-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'mutated')
  const bare = globSync(join(dir, 'captures', '*')).sort()
  const logged = globSync(join(dir, 'process_truth', '*', '*.{cap,pcapng}')).sort()
  const end = performance.now() + seconds * 1000
  let cases = 0
  for (; performance.now() < end; cases++) {
    const withLog = random(4) === 0
    const corpus = withLog ? logged : bare
    const file = corpus[random(corpus.length)]!
    const logs = withLog ? await openSocketLogs([join(dirname(file), 'host-log.jsonl.gz')], null) : null
    writeFileSync(path, mutate(readFileSync(file), random))
    const began = performance.now()
    try {
      const { counted, decoded } = await label(path, logs)
      // A later fragment that waited for its first is in a session, but was not decoded at once.
      assert.ok(counted >= decoded, `${counted} packets in sessions, ${decoded} decoded`)
      if (logs === null) {
        assert.ok(counted <= decoded * 2)
        await compareBare(() => openCapture(path))
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw new Error(`case ${cases}, from ${file}`, { cause: error })
    }
    assert.ok(performance.now() - began < maxCaseMs, `case ${cases}, from ${file}, took too long`)
  }
  t.diagnostic(`${cases} cases`)
  assert.ok(cases > 0)
})
