import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { entryWords, FiveTupleTable, ownWords } from './five-tuple-table.ts'

/** Two addresses of four words, both ports in one word, the protocol. */
type Tuple = readonly [first: number[], second: number[], ports: number, protocol: number]

const find = (table: FiveTupleTable, [first, second, ports, protocol]: Tuple): number =>
  table.find(Int32Array.of(...first, ...second), 0, 4, ports, protocol)
const add = (table: FiveTupleTable, [first, second, ports, protocol]: Tuple): number =>
  table.add(Int32Array.of(...first, ...second), 0, 4, ports, protocol)
const numbered = (i: number): Tuple => [[0, 0, 0xffff, i], [0, 0, 0xffff, ~i], i << 16, 6]

test('every part of a 5-tuple tells it from another, the order of its ends too', () => {
  const base: Tuple = [[1, 2, 3, 4], [5, 6, 7, 8], 9, 6]
  const table = new FiveTupleTable()
  const entry = add(table, base)
  assert.equal(find(table, base), entry)
  const words = [...base[0], ...base[1]]
  const others = words.map((_, i): Tuple => {
    const changed = words.with(i, -1)
    return [changed.slice(0, 4), changed.slice(4), base[2], base[3]]
  })
  for (const other of [...others, [base[1], base[0], 9, 6], [...base.slice(0, 2), 8, 6], [...base.slice(0, 3), 17]])
    assert.equal(find(table, other as Tuple), -1, JSON.stringify(other))
})

test('the words may lie anywhere in what is looked up', () => {
  const table = new FiveTupleTable()
  const words = Int32Array.of(99, 5, 6, 7, 8, 1, 2, 3, 4)
  const entry = table.add(words, 5, 1, 9, 6)
  assert.equal(find(table, [[1, 2, 3, 4], [5, 6, 7, 8], 9, 6]), entry)
  const at = entry * entryWords
  assert.deepEqual([...table.entries.subarray(at, at + ownWords)], [1, 2, 3, 4, 5, 6, 7, 8, 9, 6])
})

test('a table grown far beyond its first size keeps every number and what its owner wrote there', () => {
  const table = new FiveTupleTable()
  const count = 10_000
  for (let i = 0; i < count; i++) {
    const entry = add(table, numbered(i))
    table.entries[entry * entryWords + ownWords] = i
  }
  for (let i = 0; i < count; i++) assert.equal(table.entries[find(table, numbered(i)) * entryWords + ownWords], i)
  assert.equal(table.size, count)
})

test('numbers that were given back are given out again, so that they stay small', () => {
  const table = new FiveTupleTable()
  const entries = Array.from({ length: 100 }, (_, i) => add(table, numbered(i)))
  for (const entry of entries.slice(40, 60)) table.remove(entry)
  assert.equal(table.size, 80)
  const again = Array.from({ length: 20 }, (_, i) => add(table, numbered(1000 + i)))
  assert.deepEqual(again.toSorted(), entries.slice(40, 60))
})

test('any adds and removes leave what a Map would hold', () => {
  // Few 5-tuples, so that they come and go often; many at a time, so that they meet in slots and the table grows.
  const step = fc.record({ tuple: fc.nat(4000), count: fc.integer({ min: 1, max: 600 }), remove: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), steps => {
      const table = new FiveTupleTable()
      const model = new Map<number, number>()
      for (const { tuple, count, remove } of steps)
        for (let i = tuple; i < tuple + count; i++) {
          const entry = model.get(i)
          if (remove && entry !== undefined) {
            table.remove(entry)
            model.delete(i)
          } else if (!remove && entry === undefined) model.set(i, add(table, numbered(i)))
        }
      assert.equal(table.size, model.size)
      assert.equal(new Set(model.values()).size, model.size)
      for (let i = 0; i < 4600; i++) assert.equal(find(table, numbered(i)), model.get(i) ?? -1)
    }),
    { numRuns: 60 },
  )
})
