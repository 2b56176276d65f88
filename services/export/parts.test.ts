import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { sessionOf } from '#shared/session-fixture.ts'
import { Balance, planParts, type Shares } from './parts.ts'
import { selects } from './selection.ts'

const shares: Shares = [0.6, 0.2, 0.2]
const label = (process: string) => ({ ...sessionOf().label!, process })

const anySession = fc
  .record({
    host: fc.nat({ max: 5 }),
    peer: fc.nat({ max: 5 }),
    port: fc.nat({ max: 3 }),
    second: fc.nat({ max: 1000 }),
  })
  .map(({ host, peer, port, second }) =>
    sessionOf({
      ...{ host_id: `h${host}`, local_ip: `10.0.0.${host}`, local_port: 1000 + port },
      ...{ remote_ip: `10.0.0.${peer}`, remote_port: 80, first_us: second * 1e6 },
    }),
  )

for (const by of ['time', 'host'] as const) {
  test(`split by ${by}: no 5-tuple in two parts, in neither direction, and each part holds what it should`, () => {
    fc.assert(
      fc.property(fc.array(anySession, { minLength: 1, maxLength: 60 }), sessions => {
        const plan = planParts(by, shares)
        for (const session of sessions) plan.count(session)
        for (const session of sessions) plan.place(session)
        const parts = sessions
          .map(session => ({ session, part: plan.partOf(session) }))
          .filter(({ part }) => part !== null)
        const tuples = Map.groupBy(parts, ({ session: { local_ip, local_port, remote_ip, remote_port } }) =>
          [`${local_ip}:${local_port}`, `${remote_ip}:${remote_port}`].sort().join(),
        )
        for (const [tuple, found] of tuples) assert.equal(new Set(found.map(({ part }) => part)).size, 1, tuple)
        const of = (name: string) => parts.filter(({ part }) => part === name).map(({ session }) => session)
        if (by === 'host') {
          const hosts = Map.groupBy(parts, ({ session }) => session.host_id)
          for (const [host, found] of hosts) assert.equal(new Set(found.map(({ part }) => part)).size, 1, host!)
        } else {
          const times = ['train', 'validation', 'test'].map(name => of(name).map(({ first_us }) => first_us))
          assert.ok(Math.max(...times[0]!) < Math.min(...times[1]!, ...times[2]!))
          assert.ok(Math.max(...times[1]!) < Math.min(...times[2]!))
        }
      }),
    )
  })
}

test('parts have the shares that were asked for when nothing has to be left out', () => {
  const sessions = Array.from({ length: 100 }, (_, i) =>
    sessionOf({ local_port: i + 1, host_id: `h${i % 10}`, first_us: (i * 37) % 100 }),
  )
  for (const by of ['time', 'host'] as const) {
    const plan = planParts(by, shares)
    for (const session of sessions) plan.count(session)
    for (const session of sessions) plan.place(session)
    const counts = Map.groupBy(sessions, session => plan.partOf(session))
    assert.deepEqual(
      [counts.get('train')!.length, counts.get('validation')!.length, counts.get('test')!.length],
      [60, 20, 20],
    )
  }
})

test('balanced: at most so many of each process, the same ones every time', () => {
  const sessions = Array.from({ length: 60 }, (_, i) =>
    sessionOf({ session_id: `s${i}`, label: i < 40 ? label('a') : i < 55 ? label('b') : null }),
  )
  const kept = (of: typeof sessions) => {
    const balance = new Balance(10)
    for (const session of of) balance.count(session)
    return of.filter(session => balance.keeps(session))
  }
  const found = kept(sessions)
  const counts = Map.groupBy(found, ({ label }) => label?.process ?? '')
  assert.deepEqual([counts.get('a')!.length, counts.get('b')!.length, counts.get('')!.length], [10, 10, 5])
  const ids = (of: typeof sessions) => of.map(({ session_id }) => session_id).sort()
  assert.deepEqual(ids(kept(sessions.toReversed())), ids(found))
})

test('what is selected: by stage, least confidence and time of the first packet', () => {
  const all = { minConfidence: null, stages: null, sinceUs: null, untilUs: null }
  const inferred = sessionOf({ stage: 'B', confidence: 0.9, first_us: 100 })
  const unknown = sessionOf({ stage: null, label: null, confidence: null, first_us: 100 })
  const direct = sessionOf({ first_us: 100 })
  const chosen = (selection: Partial<typeof all> | object) =>
    [direct, inferred, unknown].map(session => selects({ ...all, ...selection })(session))
  assert.deepEqual(chosen({}), [true, true, true])
  assert.deepEqual(chosen({ minConfidence: 0.9 }), [true, true, false])
  assert.deepEqual(chosen({ minConfidence: 0.91 }), [true, false, false])
  assert.deepEqual(chosen({ stages: ['B'] }), [false, true, false])
  assert.deepEqual(chosen({ sinceUs: 100, untilUs: 101 }), [true, true, true])
  assert.deepEqual(chosen({ sinceUs: 101 }), [false, false, false])
  assert.deepEqual(chosen({ untilUs: 100 }), [false, false, false])
})
