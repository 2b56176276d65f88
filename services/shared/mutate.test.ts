import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRandom, mutate } from './mutate.ts'

/** Mutations of the same bytes by one seed, as many as asked for. */
function mutations(seed: number, count: number): Buffer[] {
  const random = createRandom(seed)
  const original = Buffer.from('what the decoders are given, more than sixty-four bytes of it: 0123456789')
  return Array.from({ length: count }, () => Buffer.from(mutate(original, random)))
}

test('a seed gives the same numbers on every machine, evenly below the limit', () => {
  const random = createRandom(1)
  // mulberry32 of seed 1 begins so.
  assert.deepEqual(
    Array.from({ length: 3 }, () => random(2 ** 32)),
    [2693262067, 11749833, 2265367787],
  )
  const counts = new Array(10).fill(0)
  for (let i = 0; i < 10_000; i++) counts[random(10)]++
  assert.ok(
    counts.every(count => count > 800 && count < 1200),
    `${counts}`,
  )
})

test('the same seed makes the same mutations, another one others', () => {
  assert.deepEqual(mutations(7, 50), mutations(7, 50))
  assert.notDeepEqual(mutations(7, 50), mutations(8, 50))
})

test('bytes are changed, lost, repeated, cut and packed; the original is left as it is', () => {
  const original = Buffer.alloc(100, 'x')
  const random = createRandom(3)
  const seen = { same: 0, changed: 0, shorter: 0, longer: 0, gzip: 0 }
  for (let i = 0; i < 1000; i++) {
    const bytes = Buffer.from(mutate(original, random))
    if (bytes[0] === 0x1f && bytes[1] === 0x8b) seen.gzip++
    else if (bytes.equals(original)) seen.same++
    else if (bytes.length === 100) seen.changed++
    else seen[bytes.length < 100 ? 'shorter' : 'longer']++
  }
  for (const [kind, count] of Object.entries(seen))
    assert.ok(kind === 'same' ? count < 50 : count > 50, JSON.stringify(seen))
  assert.deepEqual(original, Buffer.alloc(100, 'x'))
})

test('nothing is no obstacle', () => {
  const random = createRandom(1)
  for (let i = 0; i < 100; i++) assert.ok(mutate(Buffer.of(), random).length < 40)
})
