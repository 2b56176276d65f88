import assert from 'node:assert/strict'
import { test } from 'node:test'
import { progressLine } from './progress.ts'

test('the progress line tells bar, packets, packets a second and the time left', () => {
  assert.equal(
    progressLine(1_500_000, 250, 1000, 3),
    `[${'#'.repeat(8)}${'.'.repeat(22)}] 25 %  1,500,000 packets, 500,000 packets/s, 9 s left`,
  )
  assert.match(progressLine(10, 1, 1000, 1), /, 16 min 39 s left$/)
  assert.match(progressLine(10, 1, 10_000, 1), /, 2 h 46 min left$/)
})

test('nothing read yet: no time left; all read, or more than was there at the start: 100 %', () => {
  assert.match(progressLine(0, 0, 1000, 1), /^\[\.{30}\] 0 % {2}0 packets, 0 packets\/s$/)
  assert.match(progressLine(5, 1200, 1000, 1), /^\[#{30}\] 100 % .*, 0 s left$/)
})

test('standard input has no known length', () => {
  assert.equal(progressLine(1000, 5_000_000, null, 2), '1,000 packets, 500 packets/s')
})
