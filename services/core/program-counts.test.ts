import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Label } from '#schemas'
import { ProgramCounts } from './program-counts.ts'

const program = (process: string, path: string | null = null): Label => ({
  process,
  pid: null,
  process_start_us: null,
  path,
  service: null,
  container_id: null,
  pod: null,
  container_image: null,
  parent: null,
})
const create = () => new ProgramCounts(100, 1_000, 16)

test('several tables answer as one that has counted all', () => {
  const sighting = fc.record({
    table: fc.nat(3),
    process: fc.constantFrom('a', 'b', 'c'),
    path: fc.constantFrom('x', 'y'),
  })
  fc.assert(
    fc.property(fc.array(sighting, { maxLength: 40 }), fc.constantFrom(0.5, 0.8, 1), (sightings, share) => {
      const whole = create()
      const parts = Array.from({ length: 4 }, create)
      for (const { table, process, path } of sightings) {
        whole.add('key', program(process, path), 0)
        parts[table]!.add('key', program(process, path), 0)
      }
      const found = ProgramCounts.dominantOver(parts, 'key', 0, 5, share, 'why')
      // At a share of one half there may be two of them.
      if (share === 0.5 && found?.share === 0.5) return
      assert.deepEqual(found, whole.dominant('key', 0, 5, share, 'why'))
    }),
  )
})

test('what differs between tables is not claimed', () => {
  const [one, other] = [create(), create()]
  one.add('key', program('curl', '/usr/bin/curl'), 0)
  other.add('key', program('curl', '/opt/curl'), 0)
  const found = ProgramCounts.dominantOver([one, other], 'key', 0, 2, 1, 'why')
  assert.deepEqual(found, { label: program('curl'), reason: 'why', support: 2, share: 1 })
})

test('a table whose entry is too old does not count', () => {
  const [old, young] = [create(), create()]
  old.add('key', program('curl'), 0)
  young.add('key', program('curl'), 900)
  assert.equal(ProgramCounts.dominantOver([old, young], 'key', 1_500, 2, 1, 'why'), null)
  assert.equal(ProgramCounts.dominantOver([old, young], 'key', 1_000, 2, 1, 'why')?.support, 2)
  assert.equal(ProgramCounts.dominantOver([], 'key', 0, 0, 1, 'why'), null)
})
