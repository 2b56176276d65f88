import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { loadNative, type NativeAddon } from '#native'
import { FrameDecoder } from '../../core/decode/frame.ts'
import { Packet } from '../../core/decode/packet.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { InputError } from '../../shared/errors.ts'
import { createRandom, mutate } from '../../shared/mutate.ts'
import { openCapture } from './open-capture.ts'

const SECONDS = Number(process.env.PROCLABEL_FUZZ_SECONDS ?? 5)
const SEED = Number(process.env.PROCLABEL_FUZZ_SEED ?? 1)
const MAX_CAPTURE_BYTES = 100_000
/** A case takes a few milliseconds; one that takes this long would not end for a larger file. */
const MAX_CASE_MS = 5000

async function readAndDecode(path: string): Promise<void> {
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  let frames = 0
  const source = await openCapture(path)
  try {
    for await (const block of source.blocks()) {
      for (let i = 0; i < block.count; i++) {
        const start = block.offset[i]!
        const end = start + block.captured[i]!
        assert.ok(start >= 0 && end <= block.data.length && block.wireLength[i]! >= block.captured[i]!)
        packet.timeUs = block.timeUs[i]!
        packet.wireLength = block.wireLength[i]!
        const reason = decoder.decode(block.data, start, end, block.linkType[i]!, packet)
        assert.ok(reason !== 'ok' || packet.payloadOffset + packet.payloadCaptured <= end)
        frames++
      }
    }
  } finally {
    await source.close()
  }
  assert.equal(source.statistics().read, frames)
}

/** All that a reader tells of a file. */
async function readWhole(path: string, native: NativeAddon | null) {
  const source = await openCapture(path, native)
  const blocks: unknown[] = []
  try {
    for await (const { count, offset, captured, wireLength, timeUs, linkType } of source.blocks()) {
      const rows = [offset, captured, wireLength, timeUs, linkType].map(column => column.slice(0, count))
      blocks.push({ rows, dropped: source.statistics().dropped })
    }
  } finally {
    await source.close()
  }
  return { blocks, statistics: source.statistics() }
}

test('every capture is the same read in C++ and in TypeScript', async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  for (const name of readdirSync(join(dir, 'captures'))) {
    const path = join(dir, 'captures', name)
    assert.deepEqual(await readWhole(path, loadNative()), await readWhole(path, null), name)
  }
})

test(`mutated captures are read without a crash or a hang (seed ${SEED}, ${SECONDS} s)`, async t => {
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
    const began = performance.now()
    try {
      await readAndDecode(path)
      assert.deepEqual(await readWhole(path, loadNative()), await readWhole(path, null))
    } catch (error) {
      if (!(error instanceof InputError)) throw new Error(`case ${cases}, from ${name}`, { cause: error })
    }
    assert.ok(performance.now() - began < MAX_CASE_MS, `case ${cases}, from ${name}, took too long`)
  }
  t.diagnostic(`${cases} cases`)
  assert.ok(cases > 0)
})

test('every prefix of real frames is decoded without an exception', async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const decoder = new FrameDecoder(() => {})
  const packet = new Packet()
  for (const name of readdirSync(join(dir, 'captures'))) {
    if (statSync(join(dir, 'captures', name)).size > 20_000) continue
    const source = await openCapture(join(dir, 'captures', name))
    for await (const block of source.blocks()) {
      for (let i = 0; i < block.count; i++) {
        packet.wireLength = block.wireLength[i]!
        const start = block.offset[i]!
        for (let length = Math.min(200, block.captured[i]!); length >= 0; length--) {
          // The frame alone in its buffer: a read beyond its end would find nothing.
          const reason = decoder.decode(block.data.slice(start, start + length), 0, length, block.linkType[i]!, packet)
          assert.ok(reason !== 'ok' || packet.payloadOffset + packet.payloadCaptured <= length)
        }
      }
    }
    await source.close()
  }
})
