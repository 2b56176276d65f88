import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EventClock } from './event-clock.ts'

const noon = 1_700_000_000_000_000
const minute = 60_000_000

/** Shows the times to a new clock, and answers with what it said after each. */
function clockAfter(...timesUs: number[]): (number | null)[] {
  const clock = new EventClock()
  return timesUs.map(timeUs => {
    clock.observe(timeUs)
    return clock.nowUs
  })
}

test('there is no time before the first packet; then it is the newest packet’s', () => {
  assert.equal(new EventClock().nowUs, null)
  assert.deepEqual(clockAfter(noon, noon + 5, noon + 3, noon + 6), [noon, noon + 5, noon + 5, noon + 6])
})

test('a minute is no jump', () => {
  assert.deepEqual(clockAfter(noon, noon + minute), [noon, noon + minute])
  assert.deepEqual(clockAfter(noon, noon - minute), [noon, noon])
})

for (const [name, there] of [
  ['forward', noon + 3600 * 1_000_000],
  ['back', noon - 3600 * 1_000_000],
] as const) {
  test(`a jump ${name} is taken when the next packet is there too`, () => {
    assert.deepEqual(clockAfter(noon, there, there + 1), [noon, noon, there + 1])
  })

  test(`one damaged time ${name} moves nothing, however often there is one`, () => {
    const times = [noon, there, noon + 1, there, noon + 2, there]
    assert.deepEqual(clockAfter(...times), [noon, noon, noon + 1, noon + 1, noon + 2, noon + 2])
  })
}

test('two damaged times on different sides do not confirm each other', () => {
  assert.deepEqual(clockAfter(noon, noon + 2 * minute, noon - 2 * minute, noon + 1), [noon, noon, noon, noon + 1])
})

test('packets of one capture in any order, none a minute late: the clock is the newest of them', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(minute), { minLength: 1 }), delays => {
      const times = delays.map((delayUs, i) => noon + i * 1000 + delayUs / 2)
      assert.equal(clockAfter(...times).at(-1), Math.max(...times))
    }),
  )
})
