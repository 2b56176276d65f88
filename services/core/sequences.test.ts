import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Sequences } from './sequences.ts'

test('a message that overtook others leaves their places open, once', () => {
  const sequences = new Sequences()
  const kinds = [5, 6, 9, 7, 7, 9, 8, 10].map(seq => sequences.take('sensor', 'run', seq))
  assert.deepEqual(kinds, [
    { kind: 'first' },
    { kind: 'next' },
    { kind: 'gap', missing: 2 },
    { kind: 'late' },
    { kind: 'repeated' },
    { kind: 'repeated' },
    { kind: 'late' },
    { kind: 'next' },
  ])
})

test('a run begins anywhere, and messages just before its first count too', () => {
  const sequences = new Sequences()
  assert.deepEqual(sequences.take('sensor', 'run', 100), { kind: 'first' })
  assert.deepEqual(sequences.take('sensor', 'run', 99), { kind: 'late' })
  assert.deepEqual(sequences.take('sensor', 'run', 10), { kind: 'repeated' })
  assert.deepEqual(sequences.take('other sensor', 'run', 0), { kind: 'first' })
})

test('a new run of a source that is known is told from the first of another source', () => {
  const sequences = new Sequences()
  assert.deepEqual(sequences.take('sensor', 'run', 0), { kind: 'first' })
  assert.deepEqual(sequences.take('sensor', 'next run', 0), { kind: 'new-run' })
  assert.deepEqual(sequences.take('sensor', 'run', 1), { kind: 'next' }, 'what was on its way of the old one')
  assert.deepEqual(sequences.take('sensor', 'next run', 1), { kind: 'next' })
  assert.deepEqual(sequences.take('other', 'next run', 0), { kind: 'first' })
})

test('a jump of millions costs bounded memory', () => {
  const sequences = new Sequences()
  sequences.take('sensor', 'run', 0)
  assert.deepEqual(sequences.take('sensor', 'run', 50_000_000), { kind: 'gap', missing: 49_999_999 })
  assert.ok(sequences.state().get('sensor/run')!.missing.size <= 1024)
  assert.deepEqual(sequences.take('sensor', 'run', 49_999_999), { kind: 'late' })
})

test('whatever the order and however often, each number counts once', () => {
  const arrivals = fc.array(fc.nat(30), { maxLength: 100 }).map(more => [15, ...more])
  fc.assert(
    fc.property(arrivals, seqs => {
      const sequences = new Sequences()
      const counted = seqs.filter(seq => sequences.take('sensor', 'run', seq).kind !== 'repeated')
      assert.deepEqual(
        counted.toSorted((a, b) => a - b),
        [...new Set(seqs)].sort((a, b) => a - b),
      )
    }),
  )
})
