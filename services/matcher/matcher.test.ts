import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { batchOf } from '#core/batch-fixture.ts'
import { defaultConstants } from '#core/constants.ts'
import { sessionTimes } from '#core/session-table.ts'
import { at } from '#core/test-host.ts'
import { codecs, type DeadLetter, type LabeledSession, type PacketBatch } from '#schemas'
import type { ConsumedRecord } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import type { HostWrite, Store, Version } from '#shared/store/store.ts'
import { host as loggedHost } from '../agent/log-fixture.ts'
import { Matcher, type MatcherOptions, withinProcess } from './matcher.ts'

/** A matcher on a real bus and store that has begun to read, and what it published. */
function start(
  t: TestContext,
  store: Store = new MemoryStore(),
  bus = new InProcessBus(),
  more: Partial<MatcherOptions> = {},
) {
  const matcher = new Matcher({
    bus,
    store,
    constants: defaultConstants,
    provisional: false,
    ...withinProcess,
    codecs,
    persistent: true,
    ...more,
  })
  const stop = new AbortController()
  const running = matcher.run(stop.signal)
  running.catch(() => {})
  const sessions: LabeledSession[] = []
  const read = async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'test', stop.signal)) {
      for (const { value } of batch.records) sessions.push(codecs['labeled-sessions'].decode(value!))
      await batch.commit()
    }
  }
  const reading = read()
  t.after(async () => {
    stop.abort()
    await Promise.allSettled([running, reading])
  })
  // A matcher that stopped reads no more, and would be waited for in vain.
  const drained = () => Promise.race([bus.drained(), running])
  return {
    bus,
    matcher,
    sessions,
    running,
    /** Publishes and waits until all has been read. */
    async publish(topic: string, ...values: (Uint8Array | null)[]) {
      await bus.publish(
        topic,
        values.map(value => ({ key: 'host', value })),
      )
      await drained()
    },
    /** Ends the input; the sessions that came out of all of it. */
    async finish() {
      await matcher.end()
      await matcher.finish()
      await drained()
      return sessions
    },
  }
}

const udp = (ms: number, port: number) => `${ms} udp ${port} > 192.0.2.7:53`
const packets = (batch: PacketBatch) => codecs.packets.encode(batch)
const numbered = (seq: number, port: number, more: Partial<PacketBatch> = {}) =>
  packets(batchOf([udp(seq, port)], { seq, ...more }))

/** What matters of sessions here. */
const told = (sessions: readonly LabeledSession[]) =>
  sessions.map(({ local_port, packets_out, capture_gap }) => [local_port, packets_out, capture_gap])

suite('repeated and missing batches', () => {
  test('a batch that comes again changes nothing', async t => {
    const { publish, finish, matcher } = start(t)
    await publish('packets', numbered(0, 1000), numbered(1, 1000))
    await publish('packets', numbered(0, 1000), numbered(1, 1000), numbered(2, 2000))
    assert.deepEqual(told(await finish()), [
      [1000, 2, false],
      [2000, 1, false],
    ])
    assert.deepEqual(matcher.records, { applied: 3, repeated: 2 })
  })

  test('nor when it comes to the next matcher over the same store', async t => {
    const store = new MemoryStore()
    await start(t, store).publish('packets', numbered(0, 1000))
    const next = start(t, store)
    await next.publish('packets', numbered(0, 1000))
    assert.deepEqual(next.matcher.records, { repeated: 1 })
  })

  test('a gap in the sequence marks what was open, and nothing that begins after', async t => {
    const { publish, finish } = start(t)
    await publish('packets', numbered(5, 1000), numbered(6, 2000), numbered(8, 3000))
    assert.deepEqual(told(await finish()), [
      [1000, 1, true],
      [2000, 1, true],
      [3000, 1, false],
    ])
  })

  test('so does what the sensor says it lost', async t => {
    const { publish, finish } = start(t)
    await publish('packets', numbered(0, 1000), numbered(1, 2000, { lost: 3 }))
    assert.deepEqual(told(await finish()), [
      [1000, 1, true],
      [2000, 1, false],
    ])
  })

  test('every sensor counts for itself', async t => {
    const { publish, finish, matcher } = start(t)
    await publish('packets', numbered(7, 1000), numbered(0, 2000, { sensor_id: 'other' }))
    assert.ok((await finish()).every(({ capture_gap }) => !capture_gap))
    assert.deepEqual(matcher.records, { applied: 2 })
  })

  test('a sensor that begins anew marks what was open, once; its numbers begin anew', async t => {
    const { publish, finish, matcher } = start(t)
    const anew = { run_id: 'next' }
    await publish('packets', numbered(0, 1000), numbered(0, 2000, anew), numbered(1, 3000, anew))
    assert.deepEqual(told(await finish()), [
      [1000, 1, true],
      [2000, 1, false],
      [3000, 1, false],
    ])
    assert.deepEqual(matcher.records, { applied: 3 })
  })
})

suite('a partition that the store does not know', () => {
  const cut = (sessions: readonly LabeledSession[]) =>
    sessions.map(({ host_id, truncated_start }) => [host_id, truncated_start])
  const of = (host_id: string, seq: number) => ({ key: host_id, value: numbered(seq, 1000, { host_id }) })
  /** A bus that has lost its first packets, as retention does it: nobody read them. */
  async function shortBus() {
    const bus = new InProcessBus()
    await bus.publish('packets', [of('host', 0)])
    return bus
  }

  test('on a new system no session is cut', async t => {
    const { publish, finish } = start(t)
    await publish('packets', numbered(0, 1000))
    assert.deepEqual(cut(await finish()), [['host', false]])
  })

  test('where earlier packets are gone, those that may have begun with them are', async t => {
    const { publish, finish } = start(t, new MemoryStore(), await shortBus())
    await publish('hosts', codecs.hosts.encode({ ...loggedHost, host_id: 'host' }))
    await publish('packets', numbered(1, 1000))
    assert.deepEqual(cut(await finish()), [['host', true]])
  })

  test('the next matcher knows of it, for hosts that nobody read yet, and not for ever', async t => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() })
    const store = new MemoryStore()
    const first = start(t, store, await shortBus())
    await first.publish('packets', numbered(1, 1000))
    const { bus, finish } = start(t, store, await shortBus())
    await bus.publish('packets', [of('second', 0)])
    await bus.drained()
    t.mock.timers.tick(sessionTimes.tcpIdleUs / 1000)
    await bus.publish('packets', [of('third', 0)])
    await bus.drained()
    assert.deepEqual(cut(await finish()).slice(-2), [
      ['second', true],
      ['third', false],
    ])
  })
})

suite('records that cannot be used', () => {
  test('are counted, and the records behind them are applied', async t => {
    const { publish, finish, matcher } = start(t)
    const cut = numbered(1, 1000).subarray(0, 60)
    await publish('packets', numbered(0, 1000), Buffer.of(), Buffer.of(0, 0, 0, 0, 9, 1), cut, null)
    for (const topic of ['hosts', 'socket-snapshots', 'socket-events']) await publish(topic, Buffer.from('nonsense'))
    await publish('packets', numbered(1, 1000))
    assert.deepEqual(matcher.records, { applied: 2, undecodable: 6, tombstone: 1 })
    assert.deepEqual(told(await finish()), [[1000, 2, false]])
  })

  test('a batch whose columns do not fit each other is a gap', async t => {
    const { publish, finish, matcher } = start(t)
    await publish('packets', numbered(0, 1000), numbered(1, 1000, { packet_time: Buffer.alloc(3) }), numbered(2, 2000))
    assert.deepEqual(matcher.records, { applied: 2, undecodable: 1 })
    assert.deepEqual(told(await finish()), [
      [1000, 1, true],
      [2000, 1, false],
    ])
  })
})

test('where hosts must sign, what is not signed is buried with its reason; sensors sign nothing', async t => {
  const seen: string[] = []
  const hostKeys = {
    forgeries: async <R extends ConsumedRecord>(records: readonly R[]) => {
      for (const { topic } of records) seen.push(topic)
      const unsigned = records.filter(({ headers, topic }) => topic === 'hosts' && !headers?.signed)
      return new Map(unsigned.map(record => [record, { reason: 'unsigned', detail: 'no header' } as const]))
    },
  }
  const { publish, finish, matcher, bus } = start(t, undefined, undefined, { hostKeys })
  const letters: DeadLetter[] = []
  const stop = new AbortController()
  t.after(() => stop.abort())
  const reading = (async () => {
    for await (const batch of bus.subscribe(['dead-letters'], 'letters', stop.signal)) {
      for (const { value } of batch.records) letters.push(codecs['dead-letters'].decode(value!))
      await batch.commit()
      break
    }
  })()
  const host = codecs.hosts.encode({ ...loggedHost, host_id: 'host' })
  await publish('packets', numbered(0, 1000))
  await bus.publish('hosts', [
    { key: 'host', value: host },
    { key: 'host', value: null },
    { key: 'host', value: host, headers: { signed: Buffer.of(1) } },
  ])
  await reading
  await finish()
  assert.deepEqual(seen, ['packets', 'hosts', 'hosts', 'hosts'])
  assert.deepEqual(matcher.records, { applied: 2, unsigned: 2 })
  assert.deepEqual(
    letters.map(({ topic, offset, step, reason, detail }) => [topic, offset, step, reason, detail]),
    [
      ['hosts', 0, 'matcher', 'unsigned', 'no header'],
      ['hosts', 1, 'matcher', 'unsigned', 'no header'],
    ],
  )
})

suite('the store', () => {
  test('a matcher that wakes up after another has gone on loads what the other has written: nothing counts twice', async t => {
    const store = new MemoryStore()
    const sleeper = start(t, store)
    await sleeper.publish('packets', numbered(0, 1000))
    const other = start(t, store)
    await other.publish('packets', numbered(0, 1000), numbered(1, 1000))
    await sleeper.publish('packets', numbered(1, 1000), numbered(2, 1000))
    assert.deepEqual(
      [other.matcher.records, sleeper.matcher.records],
      [
        { repeated: 1, applied: 1 },
        { applied: 2, repeated: 1 },
      ],
    )
    assert.deepEqual(told(await sleeper.finish()), [[1000, 3, false]])
  })

  test('a store that may have lost writes: the copy is dropped, and what was not committed is read again, the batch at hand too', async t => {
    class LosingStore extends MemoryStore {
      override epoch: number = 0
    }
    const store = new LosingStore()
    const { publish, finish, matcher } = start(t, store)
    store.epoch = 1
    await publish('packets', numbered(0, 1000))
    await publish('packets', numbered(1, 1000))
    store.epoch = 2
    await publish('packets', numbered(2, 1000))
    assert.deepEqual(told(await finish()), [[1000, 3, false]])
    assert.equal(matcher.records.applied, 3)
  })

  test('a store that loses its last writes while a batch is under way: those are read again, and the batch', async t => {
    /** Comes back, when it is to save once more, as it was after its first writes. */
    class ForgetfulStore extends MemoryStore {
      override epoch: number = 0
      readonly writes: [string, HostWrite][] = []
      keeps: number | null = null

      override async save(hostId: string, write: HostWrite): Promise<Version | null> {
        if (this.keeps !== null) {
          const kept = this.writes.splice(0).slice(0, this.keeps)
          this.keeps = null
          this.epoch++
          await super.close()
          for (const [host, { ...before }] of kept) await this.save(host, before)
        }
        const version = await super.save(hostId, write)
        if (version !== null) this.writes.push([hostId, write])
        return version
      }
    }
    const store = new ForgetfulStore()
    const { bus, matcher, sessions } = start(t, store, undefined, { commitLagMs: 60_000 })
    const publish = async (seq: number, applied: number) => {
      await bus.publish('packets', [{ key: 'host', value: numbered(seq, 1000) }])
      while (matcher.records.applied !== applied) await sleep(1)
    }
    await publish(0, 1)
    const keeps = store.writes.length
    await publish(1, 2)
    store.keeps = keeps
    await publish(2, 4)
    await publish(3, 5)
    await matcher.end()
    await matcher.finish()
    while (sessions.length === 0) await sleep(1)
    assert.deepEqual(told(sessions), [[1000, 4, false]])
  })

  test('what is published was in the store before, and leaves it after; at the end in portions', async t => {
    const outboxes: number[] = []
    class NotingStore extends MemoryStore {
      override save(hostId: string, write: HostWrite) {
        outboxes.push(write.outbox.length)
        return super.save(hostId, write)
      }
    }
    const store = new NotingStore()
    const { publish, finish } = start(t, store)
    const flows = Array.from({ length: 1500 }, (_, i) => udp(i, i))
    await publish('packets', packets(batchOf(flows, { until_us: at(5_000) })))
    const sessions = await finish()
    assert.deepEqual(
      sessions.map(({ local_port }) => local_port),
      Array.from(flows, (_, i) => i),
    )
    assert.equal(
      outboxes.reduce((sum, count) => sum + count),
      1500,
    )
    assert.ok(Math.max(...outboxes) < 1000, `${outboxes}`)
    assert.deepEqual(await store.outbox('host'), [])
  })

  test('what the bus did not take stays in the store', async t => {
    const store = new MemoryStore()
    const { publish, matcher, bus } = start(t, store)
    await publish('packets', numbered(0, 1000))
    await bus.close()
    await assert.rejects(matcher.end(), { code: 'PROCLABEL_BUS' })
    const [record, ...more] = await store.outbox('host')
    assert.equal(more.length, 0)
    const session = codecs['labeled-sessions'].decode(record!.value)
    assert.equal(record!.id, `${session.session_id}/${session.revision}`)
    assert.deepEqual([record!.topic, record!.key, session.local_port], ['labeled-sessions', session.session_id, 1000])
  })
})
