import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import type { BusRecord } from './bus/bus.ts'
import { InProcessBus } from './bus/in-process.ts'
import { ProclabelError } from './errors.ts'
import { Outgoing, type OutgoingOptions } from './outgoing.ts'
import { Spool } from './spool.ts'
import { createLog, numbered, numberOf, temporaryFolder } from './spool-fixture.ts'

const mib = 1024 * 1024
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

type Fate = 'taken' | 'refused' | 'answer-lost'

/** A bus that keeps what it takes, and takes it as `fate` says. */
class FailingBus {
  readonly got: { topic: string; key: string; number: number }[] = []
  calls = 0
  atOnce = 0
  mostAtOnce = 0
  fate: (topic: string, records: readonly BusRecord[]) => Fate | Promise<Fate> = () => 'taken'

  async publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    this.calls++
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.atOnce)
    const fate = await this.fate(topic, records)
    this.atOnce--
    if (fate !== 'refused')
      for (const record of records) this.got.push({ topic, key: record.key, number: numberOf(record) })
    if (fate !== 'taken') throw new ProclabelError('PROCLABEL_BUS', fate, { retryable: true })
  }

  /** What a reader makes of a topic's records who skips, for each key, numbers that are not higher than the last. */
  read(topic: string): Map<string, number[]> {
    const byKey = new Map<string, number[]>()
    for (const record of this.got) {
      if (record.topic !== topic) continue
      const numbers = byKey.get(record.key) ?? []
      byKey.set(record.key, numbers)
      if (record.number > (numbers.at(-1) ?? -1)) numbers.push(record.number)
    }
    return byKey
  }
}

const openSpool = (folder: string, maxBytes = mib, whenFull: 'drop-oldest' | 'refuse-newest' = 'refuse-newest') =>
  Spool.open({ folder, maxBytes, whenFull, log: createLog() })

const createOutgoing = (bus: FailingBus, spool: Spool | null, more: Partial<OutgoingOptions> = {}) => {
  const log = createLog()
  return { log, outgoing: new Outgoing({ bus, spool, log, patienceMs: 40, ...more }) }
}

const sendAll = (outgoing: Outgoing, numbers: readonly number[], bytes = 32) =>
  numbers.filter(number => {
    const { topic, key, value } = numbered(number, bytes)
    return outgoing.send(topic, key, value)
  })

/** That of each topic and key all of these numbers came, in order, whatever was repeated. */
function assertGot(bus: FailingBus, numbers: readonly number[]) {
  for (const topic of ['hosts', 'packets']) {
    const expected = new Map<string, number[]>()
    for (const number of numbers) {
      const record = numbered(number)
      if (record.topic !== topic) continue
      expected.set(record.key, [...(expected.get(record.key) ?? []), number])
    }
    assert.deepEqual(new Map([...bus.read(topic)].sort()), new Map([...expected].sort()))
  }
}

async function until(isSo: () => boolean, ms = 5000) {
  for (const end = performance.now() + ms; !isSo(); await sleep(5))
    assert.ok(performance.now() < end, `not so after ${ms} ms`)
}

test('while the bus is well, nothing touches the disk, and many records go in one call', async t => {
  const bus = new FailingBus()
  const { outgoing, log } = createOutgoing(bus, await openSpool(temporaryFolder(t)))
  sendAll(outgoing, range(0, 1000))
  await outgoing.drained()
  assertGot(bus, range(0, 1000))
  assert.ok(bus.calls < 10, `${bus.calls} calls`)
  const { published, spooledTotal, queuedBytes, queuedRecords, dropped } = outgoing.statistics
  assert.deepEqual(
    { published, spooledTotal, queuedBytes, queuedRecords, dropped },
    { published: { hosts: 334, packets: 666 }, spooledTotal: 0, queuedBytes: 0, queuedRecords: 0, dropped: {} },
  )
  assert.deepEqual(log.lines, [])
  await outgoing.close(0)
})

test('while the bus is away records go to disk; when it is back they go out in order, before what is new', async t => {
  const bus = new FailingBus()
  const { outgoing, log } = createOutgoing(bus, await openSpool(temporaryFolder(t)))
  let isAway = true
  bus.fate = () => (isAway ? 'refused' : 'taken')
  sendAll(outgoing, range(0, 300))
  await until(() => outgoing.statistics.spooledRecords === 300)
  assert.equal(outgoing.isBusAway, true)
  sendAll(outgoing, range(300, 400))
  await until(() => outgoing.statistics.spooledRecords === 400)
  isAway = false
  sendAll(outgoing, range(400, 500))
  await outgoing.drained()
  assert.equal(outgoing.isBusAway, false)
  assertGot(bus, range(0, 500))
  assert.equal(bus.got.length, 500, 'nothing twice: no answer was lost')
  assert.equal(bus.mostAtOnce, 1)
  assert.deepEqual(
    log.lines.map(line => line.split(/[;{]/)[0]!.trim()),
    ['the bus does not take records', 'the bus takes records again'],
  )
  await outgoing.close(0)
})

test('a slow bus: what it was given is on disk too after a while, and is not given again when it answers', async t => {
  const bus = new FailingBus()
  const answer = Promise.withResolvers<Fate>()
  bus.fate = () => (bus.calls === 1 ? answer.promise : 'taken')
  const { outgoing } = createOutgoing(bus, await openSpool(temporaryFolder(t)))
  sendAll(outgoing, range(1, 3))
  await sleep(1)
  sendAll(outgoing, range(3, 6))
  await until(() => outgoing.statistics.spooledRecords === 5)
  answer.resolve('taken')
  await outgoing.drained()
  assert.deepEqual(bus.got.map(({ number }) => number).sort(), range(1, 6))
  await outgoing.close(0)
})

test('a bus that hangs costs the sender nothing: memory, then disk, then counted drops', async t => {
  const bus = new FailingBus()
  bus.fate = () => new Promise(() => {})
  const { outgoing, log } = createOutgoing(bus, await openSpool(temporaryFolder(t), 256 * 1024), {
    maxQueueBytes: 128 * 1024,
  })
  let taken = 0
  for (let i = 0; i < 2000; i += 10) {
    const before = performance.now()
    taken += sendAll(outgoing, range(i, i + 10), 1000).length
    assert.ok(performance.now() - before < 50, 'send does not wait')
    assert.ok(outgoing.statistics.queuedBytes <= 128 * 1024)
    await sleep(1)
  }
  const { queuedRecords, spooledRecords, dropped } = outgoing.statistics
  assert.ok(taken < 500 && taken > 250, String(taken))
  const { 'spool-full': spoolFull = 0, 'queue-full': queueFull = 0, ...others } = dropped
  assert.equal(spoolFull + queueFull, 2000 - taken)
  assert.ok(spoolFull > 1000)
  assert.deepEqual(others, {})
  assert.ok(queuedRecords + spooledRecords >= taken)
  assert.equal(log.lines.length, 1, log.lines.join('\n'))
  await outgoing.close(0)
})

test('what is not published at the end is in the spool, and goes first in the next run', async t => {
  const folder = temporaryFolder(t)
  const bus = new FailingBus()
  bus.fate = () => 'refused'
  const first = createOutgoing(bus, await openSpool(folder), { patienceMs: 60_000 }).outgoing
  sendAll(first, range(0, 100))
  await first.close(10)
  assert.deepEqual(first.statistics.dropped, {})
  assert.equal(first.send('packets', 'k', null), false)
  bus.fate = () => 'taken'
  const second = createOutgoing(bus, await openSpool(folder)).outgoing
  sendAll(second, range(100, 200))
  await second.close(5000)
  assertGot(bus, range(0, 200))
})

test('without a spool, and with one that cannot be written, memory is the bound and drops are counted', async t => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'file'), '')
  for (const spool of [null, await openSpool(join(folder, 'file', 'no'))]) {
    const bus = new FailingBus()
    let isAway = true
    bus.fate = () => (isAway ? 'refused' : 'taken')
    const { outgoing, log } = createOutgoing(bus, spool, { maxQueueBytes: 64 * 1024 })
    await sleep(100)
    const taken: number[] = []
    for (const i of range(0, 1000)) taken.push(...sendAll(outgoing, [i], 100))
    await sleep(100)
    assert.deepEqual(outgoing.statistics.dropped, {
      [spool ? 'disk-error' : 'queue-full']: 1000 - taken.length,
    })
    isAway = false
    await outgoing.drained()
    assertGot(bus, taken)
    assert.equal(log.lines.filter(line => line.startsWith('records are dropped')).length, 1)
    await outgoing.close(0)
  }
})

test('a record that the bus never accepts is dropped and counted; those around it go on', async t => {
  const bus = new FailingBus()
  const refusesFive = {
    publish: async (topic: string, records: readonly BusRecord[]) => {
      if (records.some(record => numberOf(record) === 5)) throw new ProclabelError('PROCLABEL_RECORD', 'too large')
      await bus.publish(topic, records)
    },
  }
  const log = createLog()
  const outgoing = new Outgoing({ bus: refusesFive, spool: await openSpool(temporaryFolder(t)), log })
  sendAll(outgoing, range(0, 50))
  await outgoing.drained()
  assertGot(
    bus,
    range(0, 50).filter(number => number !== 5),
  )
  assert.deepEqual(outgoing.statistics.dropped, { 'not-accepted': 1 })
  assert.match(log.lines.join(), /does not accept a record.*'host-0'/s)
  await outgoing.close(0)
})

test('over the in-process bus, whose publish waits for its readers', async t => {
  const bus = new InProcessBus()
  const stop = new AbortController()
  const batches = bus.subscribe(['hosts', 'packets'], 'g', stop.signal)
  const outgoing = new Outgoing({ bus, spool: await openSpool(temporaryFolder(t)), log: createLog(), patienceMs: 20 })
  sendAll(outgoing, range(0, 500))
  const numbers: number[] = []
  for await (const batch of batches) {
    numbers.push(...batch.records.map(numberOf))
    await sleep(5)
    await batch.commit()
    if (numbers.length >= 500) break
  }
  await outgoing.drained()
  assert.deepEqual(
    [...numbers].sort((a, b) => a - b),
    range(0, 500),
  )
  await outgoing.close(0)
  await bus.close()
})

test('property: refusals, lost answers, slow answers and runs that end at any moment lose and reorder nothing', async t => {
  const step = fc.record({
    send: fc.integer({ min: 0, max: 40 }),
    fates: fc.array(fc.constantFrom<Fate | 'slow'>('taken', 'taken', 'refused', 'answer-lost', 'slow'), {
      maxLength: 4,
    }),
    waitMs: fc.integer({ min: 0, max: 15 }),
    endsRun: fc.boolean(),
  })
  const run = async (steps: { send: number; fates: (Fate | 'slow')[]; waitMs: number; endsRun: boolean }[]) => {
    const folder = temporaryFolder(t)
    const bus = new FailingBus()
    let fates: (Fate | 'slow')[] = []
    bus.fate = async () => {
      const fate = fates.shift() ?? 'taken'
      if (fate === 'slow') await sleep(12)
      return fate === 'slow' ? 'taken' : fate
    }
    const start = async () =>
      createOutgoing(bus, await openSpool(folder, 64 * 1024), { patienceMs: 4, maxQueueBytes: 16 * 1024 }).outgoing
    let outgoing = await start()
    let next = 0
    const sent: number[] = []
    for (const { send, fates: more, waitMs, endsRun } of steps) {
      fates = [...more]
      sent.push(...sendAll(outgoing, range(next, next + send)))
      next += send
      await sleep(waitMs)
      if (!endsRun) continue
      await outgoing.close(0)
      outgoing = await start()
    }
    fates = []
    await outgoing.drained()
    await outgoing.close(0)
    assertGot(bus, sent)
    assert.deepEqual(outgoing.statistics.dropped, {})
    assert.equal(bus.mostAtOnce <= 1 + steps.length, true)
  }
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 8 }), run), { numRuns: 40 })
})
