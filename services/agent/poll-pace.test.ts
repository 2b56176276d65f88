import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PollPace } from './poll-pace.ts'

test('polls are rare while events tell everything, and frequent for a minute after some were lost', () => {
  const pace = new PollPace({ periodMs: 50, calmPeriodMs: 500 })
  assert.equal(pace.slots(false, 0), 1)
  assert.equal(pace.slots(true, 0), 10)
  pace.lostEvents(1_000)
  assert.equal(pace.slots(true, 60_999), 1)
  assert.equal(pace.slots(true, 61_000), 10)
})

test('without a calm period events change nothing', () => {
  assert.equal(new PollPace({ periodMs: 50 }).slots(true, 0), 1)
})

test('polls take no more than their share of the processor', () => {
  const pace = new PollPace({ periodMs: 50, calmPeriodMs: 500, maxCpuShare: 0.1 })
  pace.polled(4)
  assert.equal(pace.slots(false, 0), 1)
  const slots = [6, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30, 30].map(costMs => {
    pace.polled(costMs)
    return pace.slots(false, 0)
  })
  assert.deepEqual([slots[0], slots.at(-1)], [1, 8]) // 30 ms in 400
  assert.equal(pace.slots(true, 0), 10)
  for (let i = 0; i < 20; i++) pace.polled(2)
  assert.equal(pace.slots(false, 0), 1)
})
