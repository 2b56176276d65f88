import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryLimit } from './memory-limit.ts'

const mebibyte = 1024 * 1024

test('memory is given back when the limit is passed, once; if that helps all goes on', () => {
  const limit = new MemoryLimit(100 * mebibyte)
  assert.equal(limit.mustGiveBack(100 * mebibyte, 0), false)
  assert.equal(limit.mustGiveBack(101 * mebibyte, 1_000), true)
  assert.equal(limit.mustGiveBack(101 * mebibyte, 2_000), false)
  assert.equal(limit.mustGiveBack(99 * mebibyte, 3_000), false)
  assert.equal(limit.mustGiveBack(101 * mebibyte, 20_000), true)
})

test('twenty seconds above the limit end the process, with a sentence that says what it takes', () => {
  const limit = new MemoryLimit(100 * mebibyte)
  limit.mustGiveBack(120 * mebibyte, 1_000)
  limit.mustGiveBack(120 * mebibyte, 20_999)
  assert.throws(() => limit.mustGiveBack(120.5 * mebibyte, 21_000), {
    code: 'PROCLABEL_MEMORY',
    message: /^the agent takes 121 MiB, more than --max-memory 100, .* to be started again$/,
  })
})
