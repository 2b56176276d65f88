import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Reassembly } from './reassembly.ts'

const pieces = fc.array(fc.record({ offset: fc.nat(60), data: fc.uint8Array({ maxLength: 20 }) }), { maxLength: 30 })

test('the first arrival of each byte stays, whatever the order and the overlaps', () => {
  fc.assert(
    fc.property(pieces, list => {
      const stream = new Reassembly(100)
      const model: (number | undefined)[] = Array(101).fill(undefined)
      for (const { offset, data } of list) {
        assert.equal(stream.insert(offset, data, 0, data.length), true)
        for (const [i, byte] of data.entries()) model[offset + i] ??= byte
      }
      for (let offset = 0; offset < 100; offset++) {
        assert.equal(stream.runEnd(offset), model.indexOf(undefined, offset))
        if (model[offset] !== undefined) assert.equal(stream.bytes[offset], model[offset])
      }
    }),
  )
})

test('room in front moves everything', () => {
  fc.assert(
    fc.property(pieces, fc.nat(20), (list, by) => {
      const stream = new Reassembly(100)
      const shifted = new Reassembly(100)
      for (const { offset, data } of list) {
        stream.insert(offset, data, 0, data.length)
        shifted.insert(offset + by, data, 0, data.length)
      }
      assert.equal(stream.shift(by), true)
      for (let offset = by; offset < 100; offset++) {
        assert.equal(stream.runEnd(offset), shifted.runEnd(offset))
        if (stream.runEnd(offset) > offset) assert.equal(stream.bytes[offset], shifted.bytes[offset])
      }
    }),
  )
})

test('the bounds hold', () => {
  const stream = new Reassembly(10)
  const data = Uint8Array.of(1, 2, 3, 4)
  assert.equal(stream.insert(6, data, 0, 4), true)
  assert.equal(stream.insert(7, data, 0, 4), false)
  assert.equal(stream.insert(-1, data, 0, 4), false)
  assert.equal(stream.shift(1), false)
  assert.equal(stream.runEnd(6), 10)
  assert.ok(stream.bytes.length <= 10)

  const many = new Reassembly(1 << 20)
  let kept = 0
  for (let i = 0; i < 10_000 && many.insert(2 * i, data, 0, 1); i++) kept++
  assert.equal(kept, 4096)
})
