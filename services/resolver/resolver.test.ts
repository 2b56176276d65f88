import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { defaultConstants } from '#core/constants.ts'
import { at } from '#core/test-host.ts'
import { codecs, type DeadLetter, type LabeledSession, type Resolution } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { createRandom } from '#shared/mutate.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import type { HostWrite } from '#shared/store/store.ts'
import { Resolver, type ResolverOptions, storedAs } from './resolver.ts'
import { sessionOf, sessionsOf } from './session-fixture.ts'

type Settings = Partial<ResolverOptions>

const optionsOf = (bus: InProcessBus, store: MemoryStore, settings: Settings): ResolverOptions => ({
  ...{ bus, store, constants: defaultConstants, writeEveryMs: 0, commitLagMs: 0 },
  ...settings,
})

const recordOf = (session: LabeledSession): BusRecord => ({
  key: session.session_id,
  partitionKey: session.host_id ?? '',
  value: codecs['labeled-sessions'].encode(session),
})

/** Collects what is published on a topic until the test is over. */
function collect<R>(t: TestContext, bus: InProcessBus, topic: string, decode: (value: Uint8Array) => R): R[] {
  const stop = new AbortController()
  const found: R[] = []
  const read = async () => {
    for await (const batch of bus.subscribe([topic], `test ${topic}`, stop.signal)) {
      for (const { value } of batch.records) found.push(decode(value!))
      await batch.commit()
    }
  }
  const reading = read()
  t.after(async () => {
    stop.abort()
    await reading
  })
  return found
}

const collectResolutions = (t: TestContext, bus: InProcessBus) =>
  collect<Resolution>(t, bus, 'resolutions', value => codecs.resolutions.decode(value))

/** A resolver that has begun to read. */
function start(t: TestContext, bus: InProcessBus, store: MemoryStore, settings: Settings = {}) {
  const resolver = new Resolver(optionsOf(bus, store, settings))
  const stop = new AbortController()
  const running = resolver.run(stop.signal)
  running.catch(() => {})
  t.after(async () => {
    stop.abort()
    await Promise.allSettled([running])
  })
  const drained = () => Promise.race([bus.drained(), running])
  return {
    resolver,
    running,
    async publish(...sessions: LabeledSession[]) {
      await bus.publish('labeled-sessions', sessions.map(recordOf))
      await drained()
    },
    async stop() {
      stop.abort()
      await running
    },
  }
}

/** A resolver that is told nothing looks each second whether something is due. */
const lookMs = 1_500

/** The time of a session that is told so much later. */
const after = (ms: number) => ({ first_us: at(ms), last_us: at(ms + 1_000) })
/** A session that says nothing but the time. */
const clock = (ms: number) => sessionOf(`clock ${ms}`, { ...after(ms), sni: null })

suite('resolver', () => {
  test('what thirty sessions of one host tell answers the session of another, within 30 s of event time', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    const resolutions = collectResolutions(t, bus)
    const { publish, resolver } = start(t, bus, store)
    await publish(sessionOf('first', { sni: null }))
    await publish(...sessionsOf('curl', 30), sessionOf('lost', { revision: 2 }))
    await publish(clock(29_000))
    assert.deepEqual([resolutions, resolver.waiting], [[], 1])
    await publish(clock(30_000))
    assert.deepEqual(
      resolutions.map(({ host_id, session_id, revision, process }) => [host_id, session_id, revision, process]),
      [['pupil', 'lost', 2, 'curl']],
    )
    assert.equal(resolver.waiting, 0)
    await publish(clock(90_000))
    assert.equal(resolutions.length, 1)
  })

  test('and within 30 s of the clock, where no session tells that time goes on', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    const resolutions = collectResolutions(t, bus)
    const nowMs = performance.now.bind(performance)
    let aheadMs = 0
    t.mock.method(performance, 'now', () => nowMs() + aheadMs)
    const { publish, resolver } = start(t, bus, store)
    await publish(sessionOf('first', { sni: null }))
    await publish(sessionOf('lost'), ...sessionsOf('curl', 30))
    aheadMs = 28_000
    await sleep(lookMs)
    assert.deepEqual([resolutions, resolver.waiting], [[], 1])
    aheadMs = 30_000
    await sleep(lookMs)
    assert.deepEqual(
      resolutions.map(({ session_id }) => session_id),
      ['lost'],
    )
  })

  test('the next one over the same store knows what this one learned', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    const resolutions = collectResolutions(t, bus)
    const first = start(t, bus, store)
    await first.publish(...sessionsOf('curl', 29), sessionOf('lost'))
    await first.stop()
    const next = start(t, bus, store)
    await next.publish(sessionOf('last', { process: 'curl' }), clock(40_000))
    assert.deepEqual(
      resolutions.map(({ session_id }) => session_id),
      ['lost'],
    )
  })

  test('two that have one partition at once: who comes second takes over what the other wrote', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    const resolutions = collectResolutions(t, bus)
    const sleeper = start(t, bus, store)
    await sleeper.publish(...sessionsOf('curl', 20))
    const other = new InProcessBus()
    const awake = start(t, other, store)
    await awake.publish(...sessionsOf('curl', 20), ...sessionsOf('fetch', 1), ...sessionsOf('curl', 30).slice(20))
    await sleeper.publish(sessionOf('ignored', { sni: null }))
    await sleeper.publish(...Array.from({ length: 10 }, () => sessionOf('lost')))
    await sleeper.publish(sessionOf('lost'), clock(40_000))
    assert.deepEqual(
      resolutions.map(({ session_id, support }) => [session_id, support]),
      [['lost', 31]],
    )
  })

  test('a record that nobody can read is buried, and the next ones are read', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    const letters = collect<DeadLetter>(t, bus, 'dead-letters', value => codecs['dead-letters'].decode(value))
    const fates: Record<string, number>[] = []
    const { publish, resolver } = start(t, bus, store, { onBatch: (_, counts) => fates.push({ ...counts }) })
    await publish(sessionOf('gone'))
    await bus.publish('labeled-sessions', [{ key: 'x', value: Buffer.from('nonsense') }])
    await bus.publish('labeled-sessions', [{ key: 'gone', value: null }])
    await publish(sessionOf('lost'))
    assert.deepEqual(
      letters.map(({ topic, offset, step, reason }) => [topic, offset, step, reason]),
      [['labeled-sessions', 1, 'resolver', 'wire-format']],
    )
    const total: Record<string, number> = {}
    for (const one of fates) for (const [fate, count] of Object.entries(one)) total[fate] = (total[fate] ?? 0) + count
    assert.deepEqual(total, { applied: 2, 'wire-format': 1, tombstone: 1 })
    assert.equal(resolver.waiting, 1)
  })

  test('a store that is empty again: what the bus still has is read from its beginning', async t => {
    const bus = new InProcessBus()
    const seeks: string[] = []
    const subscribe = bus.subscribe.bind(bus)
    bus.subscribe = (...given) => {
      const subscription = subscribe(...given)
      const seek = subscription.seek.bind(subscription)
      subscription.seek = (partition, to) => {
        seeks.push(to)
        return seek(partition, to)
      }
      return subscription
    }
    const first = start(t, bus, new MemoryStore())
    await first.publish(sessionOf('a'))
    assert.deepEqual(seeks, [])
    await first.stop()
    const next = start(t, bus, new MemoryStore())
    await next.publish(sessionOf('b'))
    assert.deepEqual([seeks, next.resolver.waiting], [['earliest'], 1])
  })

  test('offsets are committed behind the writes, also of a partition that falls silent', async t => {
    const [bus, store] = [new InProcessBus(), new MemoryStore()]
    start(t, bus, store, { writeEveryMs: 300, commitLagMs: 300 })
    await bus.publish('labeled-sessions', [...sessionsOf('curl', 30), sessionOf('lost')].map(recordOf))
    await sleep(100)
    assert.equal((await store.load(storedAs(0))).version, '0')
    const beganMs = performance.now()
    await bus.drained()
    assert.ok(performance.now() - beganMs > 400)
    assert.equal((await store.load(storedAs(0))).version, '1')
  })
})

/** Ends a resolver at one of its steps to the outside, before or after the step was done. */
class Fate {
  stepsLeft = Number.POSITIVE_INFINITY
  diesAfterStep = false

  async step<T>(act: () => Promise<T>): Promise<T> {
    const isLast = this.stepsLeft-- <= 0
    if (isLast && !this.diesAfterStep) throw new Error('killed')
    const result = await act()
    if (isLast) throw new Error('killed')
    return result
  }
}

class MortalStore extends MemoryStore {
  readonly fate = new Fate()
  override save(id: string, write: HostWrite) {
    return this.fate.step(() => super.save(id, write))
  }
}

class MortalBus extends InProcessBus {
  readonly fate: Fate
  constructor(fate: Fate) {
    super()
    this.fate = fate
  }
  override publish(topic: string, records: readonly BusRecord[]) {
    const publish = () => super.publish(topic, records)
    return topic === 'resolutions' ? this.fate.step(publish) : publish()
  }
}

test('resolvers that are killed at any step decide together what one decides that lives', async t => {
  // Each program asks for a name of its own; those that wait come before, among and after those that tell.
  const sessions = Array.from({ length: 12 }, (_, i) => {
    const name = { sni: `site${i}.test`, ...after(i * 20_000) }
    const known = sessionsOf(`p${i}`, i % 3 === 2 ? 29 : 30, name)
    return [sessionOf(`early ${i}`, name), ...known, sessionOf(`late ${i}`, name)]
  }).flat()
  const decidedUnder = async (kills: number, seed: number) => {
    const random = createRandom(seed)
    const store = new MortalStore()
    const bus = new MortalBus(store.fate)
    const resolutions = collectResolutions(t, bus)
    const stop = new AbortController()
    const resolving = (async () => {
      for (let killed = 0; ; killed++) {
        store.fate.stepsLeft = killed === kills ? Number.POSITIVE_INFINITY : random(8)
        store.fate.diesAfterStep = random(2) === 1
        try {
          return await new Resolver(optionsOf(bus, store, {})).run(stop.signal)
        } catch (error) {
          assert.equal((error as Error).message, 'killed')
        }
      }
    })()
    for (const session of [...sessions, clock(300_000), clock(340_000)])
      await bus.publish('labeled-sessions', [recordOf(session)])
    await bus.drained()
    stop.abort()
    await resolving
    return new Map(resolutions.map(({ session_id, revision, process }) => [session_id, `${revision} ${process}`]))
  }
  const expected = await decidedUnder(0, 0)
  assert.equal(expected.size, 16)
  for (let seed = 1; seed <= 10; seed++) assert.deepEqual(await decidedUnder(20, seed), expected, `seed ${seed}`)
})
