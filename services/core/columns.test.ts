import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deserialize, serialize } from 'node:v8'
import fc from 'fast-check'
import { fromColumns, fromShared, toColumns, toShared } from './columns.ts'

const packed = <T>(data: T): T => deserialize(serialize(data))

test('objects come back from their columns, in order, also none at all', () => {
  const one = fc.record(
    { number: fc.double(), text: fc.string(), missing: fc.constant(null) },
    { noNullPrototype: true },
  )
  fc.assert(fc.property(fc.array(one), list => assert.deepEqual(fromColumns(packed(toColumns(list))), list)))
})

test('an object in several places is one object again; a place without is null', () => {
  const [a, b] = [{ name: 'a' }, { name: 'b' }]
  const list = fromShared(packed(toShared([a, null, b, a])))
  assert.deepEqual(list, [a, null, b, a])
  assert.equal(list[0], list[3])
})
