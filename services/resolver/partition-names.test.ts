import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { wilsonLowerBound } from '#core/confidence.ts'
import { defaultConstants, paperProfile } from '#core/constants.ts'
import { at } from '#core/test-host.ts'
import type { LabeledSession, Resolution } from '#schemas'
import { pack, unpack } from '#shared/store/packed-state.ts'
import { PartitionNames } from './partition-names.ts'
import { sessionOf, sessionsOf } from './session-fixture.ts'

const laterUs = at(10 * 86_400_000)

/** A partition that was shown these sessions; asked over itself alone. */
function shown(sessions: readonly LabeledSession[], names = new PartitionNames(defaultConstants)): PartitionNames {
  for (const session of sessions) names.observe(session, laterUs, [names])
  return names
}

const told = (resolutions: readonly Resolution[]) =>
  resolutions.map(({ session_id, process, support, share }) => [session_id, process, support, share])
const resolved = (...sessions: LabeledSession[]) => {
  const names = shown(sessions)
  return told(names.resolve([names]))
}

suite('what is decided', () => {
  test('a program that thirty sessions of any host name is the label, on the revision that was seen', () => {
    const names = shown([...sessionsOf('curl', 30), sessionOf('lost', { revision: 3 })])
    const [resolution, ...more] = names.resolve([names])
    assert.deepEqual(more, [])
    assert.deepEqual(resolution, {
      ...{ host_id: 'pupil', session_id: 'lost', revision: 3, stage: 'N' },
      ...{ process: 'curl', pid: null, process_start_us: null, confidence: null, support: 30, share: 1 },
      reason: 'one program asks for the server name',
    })
    assert.deepEqual(names.resolve([names]), [], 'it waits no longer')
  })

  test('not with fewer, nor when programs disagree', () => {
    assert.deepEqual(resolved(...sessionsOf('curl', 29), sessionOf('lost')), [])
    assert.deepEqual(resolved(...sessionsOf('curl', 30), ...sessionsOf('wget', 6), sessionOf('lost')), [])
    const [one] = resolved(...sessionsOf('curl', 34), ...sessionsOf('wget', 6), sessionOf('lost'))
    assert.deepEqual(one, ['lost', 'curl', 40, 0.85])
  })

  test('what comes later is used for who waits', () => {
    const names = shown([sessionOf('lost'), ...sessionsOf('curl', 29)])
    assert.deepEqual(names.resolve([names]), [])
    shown([sessionOf('last', { process: 'curl' })], names)
    assert.deepEqual(told(names.resolve([names])), [['lost', 'curl', 30, 1]])
  })

  for (const [what, more] of [
    ['goes on', { state: 'open' }],
    ['is final', { label_final: true }],
    ['was opened by others', { direction: 'in' }],
    ['tells no name', { sni: null }],
    ['nobody owned', { unknown_cause: 'no-socket' }],
    ['several may own', { unknown_cause: 'ambiguous' }],
    ['is of no monitored host', { host_id: null }],
  ] as const) {
    test(`a session that ${what} is left alone`, () => {
      assert.deepEqual(resolved(...sessionsOf('curl', 30), sessionOf('lost', more)), [])
    })
  }

  test('nor one that was labeled meanwhile, or is gone', () => {
    const found = sessionOf('lost', { process: 'wget', revision: 1, host_id: 'pupil' })
    assert.deepEqual(resolved(...sessionsOf('curl', 30), sessionOf('lost'), found), [])
    const names = shown([...sessionsOf('curl', 30), sessionOf('lost')])
    names.forget('lost')
    assert.deepEqual(names.resolve([names]), [])
  })

  test('nor any with a profile that has no stage N', () => {
    const names = new PartitionNames({ ...defaultConstants, ...paperProfile })
    shown([...sessionsOf('curl', 30), sessionOf('lost')], names)
    assert.deepEqual(names.resolve([names]), [])
  })

  test('a session waits for as long as its label may change', () => {
    const names = shown([sessionOf('lost'), sessionOf('other', { last_us: at(86_400_001) })])
    assert.equal(names.waiting, 2)
    names.resolve([names])
    assert.equal(names.waiting, 0)
  })

  test('a time that was not yet when the record was taken in does not count', () => {
    const names = new PartitionNames(defaultConstants)
    names.observe(sessionOf('lost', { last_us: laterUs }), at(2_000), [names])
    assert.equal(names.nowUs, at(2_000))
  })

  test('too many that wait: the oldest is given up, and counted', () => {
    const names = new PartitionNames(defaultConstants)
    const one = sessionOf('')
    for (let i = 0; i <= 50_000; i++) names.observe({ ...one, session_id: `${i}` }, laterUs, [names])
    assert.deepEqual([names.waiting, names.givenUp], [50_000, 1])
    shown(sessionsOf('curl', 30), names)
    assert.equal(names.resolve([names])[0]!.session_id, '1')
  })
})

suite('what is learned', () => {
  test('each session teaches once, however often it is told', () => {
    const [session] = sessionsOf('curl', 1)
    const often = Array.from({ length: 30 }, (_, revision) => ({ ...session!, revision }))
    assert.deepEqual(resolved(...often, sessionOf('lost')), [])
  })

  test('only stage A teaches, when it is final or the session is closed', () => {
    for (const [more, count] of [
      [{ stage: 'N' }, 0],
      [{ state: 'open', label_final: false }, 0],
      [{ state: 'open' }, 1],
      [{ label_final: false }, 1],
    ] as const) {
      const found = resolved(...sessionsOf('curl', 30, more), sessionOf('lost'))
      assert.equal(found.length, count, JSON.stringify(more))
    }
  })

  test('several partitions answer as one, and one that was taken away no longer', () => {
    const [a, b] = [new PartitionNames(defaultConstants), new PartitionNames(defaultConstants)]
    for (const session of sessionsOf('curl', 20)) a.observe(session, laterUs, [a, b])
    for (const session of sessionsOf('curl', 10))
      b.observe({ ...session, session_id: `b ${session.session_id}` }, laterUs, [a, b])
    b.observe(sessionOf('lost'), laterUs, [a, b])
    assert.deepEqual(b.resolve([b]), [])
    assert.deepEqual(told(b.resolve([a, b])), [['lost', 'curl', 30, 1]])
  })

  test('its state can be packed and had back', () => {
    const names = shown([...sessionsOf('curl', 400), sessionOf('lost', { last_us: at(1_500) })])
    const copy = new PartitionNames(defaultConstants)
    copy.restore(unpack(pack(names.state())) as ReturnType<PartitionNames['state']>)
    assert.deepEqual([copy.nowUs, copy.waiting], [at(1_500), 1])
    for (const one of [names, copy]) shown([...sessionsOf('curl', 400), ...sessionsOf('wget', 3)], one)
    assert.deepEqual(unpack(pack(copy.state())), unpack(pack(names.state())))
    assert.deepEqual(copy.resolve([copy]), names.resolve([names]))
  })
})

suite('how good it is', () => {
  test('what would have been said of sessions that stage A knows is the confidence', () => {
    // The first thirty have nobody to tell them.
    const names = shown([...sessionsOf('curl', 330), ...sessionsOf('wget', 6), sessionOf('lost')])
    const [resolution] = names.resolve([names])
    assert.equal(resolution!.confidence, wilsonLowerBound(300, 306))
  })

  test('it counts what all partitions saw', () => {
    const [a, b] = [shown(sessionsOf('curl', 200)), shown(sessionsOf('curl', 200))]
    b.observe(sessionOf('lost'), laterUs, [a, b])
    assert.equal(b.resolve([a, b])[0]!.confidence, wilsonLowerBound(340, 340))
  })

  test('too often wrong, it says nothing', () => {
    const wrong = Array.from({ length: 100 }, (_, i) => {
      const more = { sni: `site${i}.test` }
      return [...sessionsOf(`p${i}`, 30, more), ...sessionsOf(`q${i}`, 5, more)]
    })
    const names = shown([...wrong.flat(), ...sessionsOf('curl', 30), sessionOf('lost')])
    assert.deepEqual(names.resolve([names]), [])
  })
})
