import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { InOrder } from './in-order.ts'

/** What comes out at each message, for messages that are their number. */
const taken = (order: InOrder<number>, ...numbers: number[]) => numbers.map(seq => order.take('run', seq, seq))

test('what has overtaken others waits for them; what comes after its turn does not', () => {
  const order = new InOrder<number>()
  assert.deepEqual(taken(order, 7, 8, 10, 11, 9, 12, 3, 9), [[7], [8], [], [], [9, 10, 11], [12], [3], [9]])
  assert.deepEqual(order.take('other run', 20, 20), [20])
})

test('the first of a run may be overtaken too; where reading begins in the midst of a run nothing is waited for', () => {
  assert.deepEqual(taken(new InOrder(), 2, 0, 1, 3), [[], [0], [1, 2], [3]])
  assert.deepEqual(taken(new InOrder(), 5, 4, 6), [[5], [4], [6]])
})

test('what does not come is given up when so many wait for it, and at the end', () => {
  const order = new InOrder<number>()
  assert.deepEqual(taken(order, 0, 2, 3, 5, 4, 3), [[0], [], [], [], [], []])
  assert.deepEqual(taken(order, 8, 6), [[2, 3, 4, 5, 8], [6]])
  assert.deepEqual(taken(order, 10, 9, 12), [[], [9, 10], []])
  assert.deepEqual(order.releaseAll(), [12])
  assert.deepEqual(order.releaseAll(), [])
  assert.deepEqual(taken(order, 13), [[13]])
})

test('a restored one goes on as the other would', () => {
  const order = new InOrder<number>()
  taken(order, 0, 2)
  const copy = new InOrder<number>()
  copy.restore(structuredClone(order.state()))
  assert.deepEqual(taken(copy, 1), [[1, 2]])
})

test('any order: nothing is lost, nothing made up, and a few places apart all come out in order', () => {
  const distances = fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(distances, distances => {
      const numbers = distances.map((distance, i) => ({ seq: i, key: i * 50 + distance })).sort((a, b) => a.key - b.key)
      const order = new InOrder<number>()
      const out = [...taken(order, ...numbers.map(({ seq }) => seq)).flat(), ...order.releaseAll()]
      assert.deepEqual(
        out,
        distances.map((_, i) => i),
      )
    }),
  )
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 60 }), numbers => {
      const order = new InOrder<number>()
      const out = [...taken(order, ...numbers).flat(), ...order.releaseAll()]
      assert.deepEqual([...new Set(out)].sort(), [...new Set(numbers)].sort())
      assert.ok(out.length <= numbers.length)
    }),
  )
})
