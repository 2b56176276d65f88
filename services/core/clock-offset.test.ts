import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ClockOffset } from './clock-offset.ts'
import { defaultConstants } from './constants.ts'
import { HostClocks } from './host-clocks.ts'

const second = 1_000_000
const minute = 60 * second
const start = 1_700_000_000 * second

const exact = (us: number, clock = 'etw') => ({ lowUs: us, highUs: us, clock })

describe('the offset of a clock', () => {
  test('is unknown without pairs', () => {
    assert.equal(new HostClocks(defaultConstants).offsetUs('etw', start), null)
  })

  test('is told by one pair, whichever of session and socket comes first', () => {
    for (const sessionFirst of [true, false]) {
      const clocks = new HostClocks(defaultConstants)
      if (sessionFirst) clocks.addSession('t', start)
      clocks.addBirth('t', exact(start - 11.45 * second))
      if (!sessionFirst) clocks.addSession('t', start)
      assert.equal(clocks.offsetUs('etw', start), -11.45 * second)
      assert.equal(clocks.toCapture('etw', start - 11.45 * second), start)
    }
  })

  test('is not told by the same 5-tuple from another time', () => {
    const clocks = new HostClocks(defaultConstants)
    clocks.addSession('t', start)
    clocks.addBirth('t', exact(start + 31 * second))
    assert.equal(clocks.offsetUs('etw', start), null)
  })

  test('each source has its own', () => {
    const clocks = new HostClocks(defaultConstants)
    clocks.addSession('t', start)
    clocks.addBirth('t', exact(start + second, 'sysmon'))
    clocks.addBirth('t', exact(start - second, 'etw'))
    assert.deepEqual([...clocks.offsets()].sort(), [
      ['etw', -second],
      ['sysmon', second],
    ])
  })

  test('whole seconds and polls narrow it down together', () => {
    const clocks = new HostClocks(defaultConstants)
    // The host is 0.3 s ahead; its log cuts the fraction off.
    for (let i = 0; i < 40; i++) {
      const firstUs = start + i * 1.37 * second
      const loggedUs = Math.floor((firstUs + 0.3 * second) / second) * second
      clocks.addSession(`t${i}`, firstUs)
      clocks.addBirth(`t${i}`, { lowUs: loggedUs, highUs: loggedUs + second, clock: 'security' })
    }
    const offsetUs = clocks.offsetUs('security', start)!
    assert.ok(Math.abs(offsetUs - 0.3 * second) < 0.06 * second, String(offsetUs))
  })

  test('a port used again every five seconds does not fool it', () => {
    const clocks = new HostClocks(defaultConstants)
    for (let i = 0; i < 4; i++) clocks.addSession('again', start + i * 5 * second)
    for (let i = 0; i < 4; i++) clocks.addBirth('again', exact(start + i * 5 * second + second))
    assert.equal(clocks.offsetUs('etw', start), second)
  })

  test('where the log left one of them out, any other pair decides', () => {
    const clocks = new HostClocks(defaultConstants)
    for (let i = 0; i < 4; i++) clocks.addSession('again', start + i * 5 * second)
    for (let i = 0; i < 3; i++) clocks.addBirth('again', exact(start + i * 5 * second + second))
    assert.equal(clocks.offsetUs('etw', start), null)
    clocks.addSession('other', start)
    clocks.addBirth('other', exact(start + second))
    assert.equal(clocks.offsetUs('etw', start), second)
  })

  test('pairs that contradict each other tell nothing', () => {
    const clocks = new HostClocks(defaultConstants)
    clocks.addSession('again', start)
    clocks.addSession('again', start + 5 * second)
    clocks.addBirth('again', exact(start + 7 * second))
    assert.equal(clocks.offsetUs('etw', start), null)
  })

  test('of two pairs that contradict each other, the one of clocks that agree is believed', () => {
    const clocks = new HostClocks(defaultConstants)
    clocks.addSession('again', start)
    clocks.addSession('again', start + 5 * second)
    clocks.addBirth('again', exact(start + 5 * second))
    assert.equal(clocks.offsetUs('etw', start), 0)
  })

  test('a stepped clock is followed in the next window, and the old one stays as it was', () => {
    const offset = new ClockOffset(defaultConstants)
    for (let i = 0; i < 10; i++) offset.add(`a${i}`, start + i * second, 0, 0)
    for (let i = 0; i < 10; i++) offset.add(`b${i}`, start + 6 * minute + i * second, 3 * second, 3 * second)
    assert.equal(offset.at(start)?.offsetUs, 0)
    assert.equal(offset.at(start + 6 * minute)?.offsetUs, 3 * second)
    assert.equal(offset.at(start + 60 * minute)?.offsetUs, 3 * second)
  })

  test('one pair does not overrule a window of many', () => {
    const offset = new ClockOffset(defaultConstants)
    for (let i = 0; i < 10; i++) offset.add(`a${i}`, start + i * second, 0, 0)
    offset.add('b', start + 6 * minute, 9 * second, 9 * second)
    assert.equal(offset.at(start + 6 * minute)?.offsetUs, 0)
  })

  test('a change is reported once', () => {
    const clocks = new HostClocks(defaultConstants)
    clocks.addSession('t', start)
    clocks.addBirth('t', exact(start + second))
    assert.deepEqual(clocks.takeChanged(), { fromUs: 0, toUs: Number.POSITIVE_INFINITY })
    assert.equal(clocks.takeChanged(), null)
    clocks.addSession('u', start + second)
    clocks.addBirth('u', exact(start + 2 * second + 10_000))
    assert.equal(clocks.takeChanged(), null, 'a change of milliseconds is none')
  })
})

test('the true offset is found among polls, whatever a third of wrong pairs says', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: -25 * second, max: 25 * second }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 280 * second }), fc.integer({ min: 0, max: 50_000 })), {
        minLength: 20,
        maxLength: 40,
      }),
      fc.array(fc.integer({ min: -29 * second, max: 29 * second }), { maxLength: 8 }),
      (trueUs, right, wrong) => {
        const offset = new ClockOffset(defaultConstants)
        // A poll period of 50 ms around the truth; where in it the birth lies is chance.
        for (const [i, [atUs, phaseUs]] of right.entries()) {
          offset.add(`r${i}`, start - (start % (5 * minute)) + atUs, trueUs - phaseUs, trueUs - phaseUs + 50_000)
        }
        for (const [i, wrongUs] of wrong.entries()) {
          offset.add(`w${i}`, start - (start % (5 * minute)) + i * second, wrongUs, wrongUs + 50_000)
        }
        const found = offset.at(start)
        assert.ok(found && Math.abs(found.offsetUs - trueUs) <= 75_000, `${found?.offsetUs} for ${trueUs}`)
      },
    ),
  )
})
