import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { sharedStack } from '../../e2e/stack/shared-stack.ts'
import type { Batch, ConsumedRecord } from './bus.ts'
import { textRecord } from './contract.ts'
import { KafkaBus } from './kafka.ts'
import { createTopics, unique, until } from './kafka-fixture.ts'

const partitions = 12
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
let stack: Awaited<ReturnType<typeof sharedStack>>
before(async () => {
  stack = await sharedStack({ kafka: true })
})
after(() => stack.stop())

/** A member of a group that remembers what it was told and given. */
class MemberUnderTest {
  readonly owned = new Set<number>()
  readonly seen: ConsumedRecord[] = []
  readonly #stopped = new AbortController()
  readonly #reading: Promise<void>

  constructor(bus: KafkaBus, topics: readonly string[], group: string, work: (batch: Batch) => Promise<void>) {
    const subscription = bus.subscribe(topics, group, this.#stopped.signal, {
      onAssigned: assigned => {
        for (const partition of assigned) this.owned.add(partition)
      },
      onRevoked: revoked => {
        for (const partition of revoked) this.owned.delete(partition)
      },
    })
    this.#reading = this.#read(subscription, work)
  }

  async #read(batches: AsyncIterable<Batch>, work: (batch: Batch) => Promise<void>): Promise<void> {
    for await (const batch of batches) {
      assert.ok(this.owned.has(batch.partition))
      this.seen.push(...batch.records)
      await work(batch)
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#reading
  }
}

async function world(topicCount: number) {
  const topics = numbers(topicCount).map(i => unique(`t${i}`))
  await createTopics(stack.brokers, topics, partitions)
  const bus = new KafkaBus({
    brokers: stack.brokers,
    clientId: 'groups',
    times: { sessionMs: 6000, rebalanceMs: 10_000 },
  })
  return { bus, topics, group: unique('g') }
}

test('1, 2, 3, 5 and 7 members: partition p of every topic goes to one of them, evenly, and each record comes once', async () => {
  const { bus, topics, group } = await world(3)
  const members: MemberUnderTest[] = []
  const isSettled = (count: number) => {
    const owned = members.map(member => member.owned.size)
    const all = new Set(members.flatMap(member => [...member.owned]))
    const share = Math.floor(partitions / count)
    return all.size === partitions && owned.every(size => size === share || size === share + 1)
  }
  let published = 0
  for (const count of [1, 2, 3, 5, 7]) {
    while (members.length < count) members.push(new MemberUnderTest(bus, topics, group, batch => batch.commit()))
    await until(`${count} members share ${partitions} partitions`, () => isSettled(count))
    const from = members.map(member => member.seen.length)
    for (const topic of topics)
      await bus.publish(
        topic,
        numbers(100).map(i => textRecord(`host ${i}`, `${published + i}`)),
      )
    published += 100
    const fresh = () => members.flatMap((member, i) => member.seen.slice(from[i]))
    await until('all records came', () => fresh().length >= 300)
    assert.equal(new Set(fresh().map(({ topic, value }) => `${topic} ${value}`)).size, 300)
    assert.equal(fresh().length, 300)
    // All of a host, whatever the topic, is with one member.
    const readers = new Map<string, Set<number>>()
    for (const [i, member] of members.entries())
      for (const { key } of member.seen.slice(from[i])) readers.set(key, (readers.get(key) ?? new Set()).add(i))
    assert.equal(readers.size, 100)
    assert.ok([...readers.values()].every(({ size }) => size === 1))
  }
  await Promise.all(members.map(member => member.stop()))
  await bus.close()
})

test('who keeps a partition in a rebalance reads on; who gets one begins at the commit', async () => {
  const { bus, topics, group } = await world(1)
  const hosts = numbers(40).map(i => `host ${i}`)
  // Commits nothing: what is read twice would show.
  const first = new MemberUnderTest(bus, topics, group, async () => {})
  await bus.publish(
    topics[0]!,
    hosts.map(host => textRecord(host, 'before')),
  )
  await until('the first has read all', () => first.seen.length === hosts.length)
  const second = new MemberUnderTest(bus, topics, group, async () => {})
  await until('they share', () => first.owned.size === 6 && second.owned.size === 6)
  await bus.publish(
    topics[0]!,
    hosts.map(host => textRecord(host, 'after')),
  )
  const moved =
    hosts.length - new Set(first.seen.filter(({ partition }) => first.owned.has(partition)).map(r => r.key)).size
  await until('the second has read what moved', () => second.seen.length >= 2 * moved)
  await until('the first has read the rest', () => first.seen.length >= hosts.length + (hosts.length - moved))
  await sleep(500)
  assert.ok(moved > 0 && moved < hosts.length)
  assert.equal(second.seen.length, 2 * moved)
  assert.equal(first.seen.length, hosts.length + (hosts.length - moved))
  await first.stop()
  await until('the second has all', () => second.owned.size === partitions)
  await second.stop()
  await bus.close()
})

test('a reader that works longer than the session lasts stays a member, and may commit', async () => {
  const { bus, topics, group } = await world(1)
  const told: string[] = []
  const stopped = new AbortController()
  const batches = bus.subscribe(topics, group, stopped.signal, {
    onAssigned: assigned => told.push(`has ${assigned.length}`),
    onRevoked: revoked => told.push(`lost ${revoked.length}`),
  })
  await bus.publish(topics[0]!, [textRecord('k', '1')])
  let isSecond = false
  for await (const batch of batches) {
    if (isSecond) break
    isSecond = true
    await sleep(9000)
    await batch.commit()
    await bus.publish(topics[0]!, [textRecord('k', '2')])
  }
  assert.deepEqual(told, [`has ${partitions}`])
  const again = bus.subscribe(topics, group, stopped.signal)
  for await (const batch of again) {
    assert.equal(String(batch.records[0]!.value), '2')
    break
  }
  await bus.close()
})

test('who gets a partition after another sought its earliest record begins there, though nothing was committed since', async () => {
  const { bus, topics, group } = await world(2)
  const stopped = new AbortController()
  const texts = ({ records }: Batch) => records.map(({ topic, value }) => `${topics.indexOf(topic)} ${value}`)
  for (const topic of topics) await bus.publish(topic, [textRecord('k', 'old')])
  let seen: string[] = []
  for await (const batch of bus.subscribe(topics, group, stopped.signal)) {
    seen.push(...texts(batch))
    await batch.commit()
    if (seen.length === 2) break
  }
  await bus.publish(topics[0]!, [textRecord('k', 'new')])
  const batches = bus.subscribe(topics, group, stopped.signal)
  for await (const batch of batches) {
    assert.deepEqual(texts(batch), ['0 new'])
    assert.equal(await batches.seek(batch.partition, 'earliest'), true)
    break
  }
  seen = []
  for await (const batch of bus.subscribe(topics, group, stopped.signal)) {
    seen.push(...texts(batch))
    if (seen.length === 3) break
  }
  assert.deepEqual(seen.sort(), ['0 new', '0 old', '1 old'])
  assert.equal(await batches.seek(0, 'earliest'), false)
  await bus.close()
})
