import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Batch, Bus, BusRecord } from './bus.ts'

export const textRecord = (key: string, text: string): BusRecord => ({ key, value: Buffer.from(text) })
const records = (key: string, texts: readonly string[]) => texts.map(text => textRecord(key, text))
const textsOf = (batch: Batch) => batch.records.map(({ value }) => Buffer.from(value!).toString())
const numbers = (count: number, from = 0) => Array.from({ length: count }, (_, i) => String(from + i))

/** Reads until `count` records came, committing each batch; answers with their texts. */
async function take(batches: AsyncIterable<Batch>, count: number): Promise<string[]> {
  const seen: string[] = []
  for await (const batch of batches) {
    seen.push(...textsOf(batch))
    await batch.commit()
    if (seen.length >= count) break
  }
  return seen
}

interface World {
  bus: Bus
  a: string
  b: string
  group: string
  signal: AbortSignal
}

/** What every bus promises; `create` gives one on which two topics of the names it is given exist. */
export function busContract(name: string, create: (topics: readonly string[]) => Promise<Bus>): void {
  const promise = (what: string, check: (world: World) => Promise<void>) =>
    test(what, { timeout: 60_000 }, async () => {
      const [a, b, group] = ['a', 'b', 'g'].map(kind => `${kind}-${randomUUID()}`) as [string, string, string]
      const bus = await create([a, b])
      try {
        await check({ bus, a, b, group, signal: new AbortController().signal })
      } finally {
        await bus.close()
      }
    })

  suite(`bus contract: ${name}`, () => {
    promise('a group gets what is published after it subscribed, in order, across its topics', async world => {
      const { bus, a, b, group, signal } = world
      const batches = bus.subscribe([a, b], group, signal)
      await bus.publish(a, records('k', ['1', '2']))
      await sleep(5) // append times are milliseconds
      await bus.publish(b, records('k', ['3']))
      await sleep(5)
      await bus.publish(a, records('k', ['4']))
      assert.deepEqual(await take(batches, 4), ['1', '2', '3', '4'])
    })

    promise('keys, tombstones, topics, offsets and append times come through', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      const from = Date.now()
      await bus.publish(a, [
        { ...textRecord('x', '1'), partitionKey: 'k' },
        { key: 'y', partitionKey: 'k', value: null },
      ])
      const until = Date.now()
      const seen = []
      for await (const batch of batches) {
        seen.push(...batch.records)
        assert.ok(batch.records.every(({ partition }) => partition === batch.partition))
        if (seen.length === 2) break
      }
      assert.deepEqual(
        seen.map(({ topic, key, value, offset }) => [topic, key, value === null, offset]),
        [
          [a, 'x', false, 0],
          [a, 'y', true, 1],
        ],
      )
      for (const { appendMs } of seen) assert.ok(appendMs >= from && appendMs <= until, `${appendMs}`)
    })

    promise('headers come through', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      await bus.publish(a, [
        { ...textRecord('k', 'with'), headers: { one: Buffer.from('1'), two: Buffer.of(0, 255) } },
        textRecord('k', 'without'),
      ])
      const seen = []
      for await (const batch of batches) {
        for (const { headers = {} } of batch.records)
          seen.push(Object.entries(headers).map(([name, bytes]) => [name, Buffer.from(bytes).toString('hex')]))
        if (seen.length === 2) break
      }
      assert.deepEqual(seen, [
        [
          ['one', '31'],
          ['two', '00ff'],
        ],
        [],
      ])
    })

    promise('records that share a partition key stay in order', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      const texts = numbers(20)
      await bus.publish(
        a,
        texts.map(text => ({ ...textRecord(`session ${text}`, text), partitionKey: 'host' })),
      )
      assert.deepEqual(await take(batches, texts.length), texts)
    })

    promise('every group gets every record', async ({ bus, a, group, signal }) => {
      const first = bus.subscribe([a], `${group}-1`, signal)
      const second = bus.subscribe([a], `${group}-2`, signal)
      await bus.publish(a, records('k', ['1']))
      assert.deepEqual(await Promise.all([take(first, 1), take(second, 1)]), [['1'], ['1']])
    })

    promise('a batch that was not committed comes again, one that was does not', async ({ bus, a, group, signal }) => {
      const stopped = new AbortController()
      const batches = bus.subscribe([a], group, stopped.signal)
      await bus.publish(a, records('k', ['1']))
      for await (const batch of batches) {
        if (textsOf(batch)[0] === '2') {
          stopped.abort()
          continue
        }
        await batch.commit()
        await bus.publish(a, records('k', ['2']))
      }
      const again = bus.subscribe([a], group, signal)
      await bus.publish(a, records('k', ['3']))
      assert.deepEqual(await take(again, 2), ['2', '3'])
    })

    promise('a commit says that earlier batches of the partition are done too', async ({ bus, a, group, signal }) => {
      await bus.publish(a, [])
      const batches = bus.subscribe([a], group, signal)
      await bus.publish(a, records('k', ['1']))
      const commits = []
      for await (const batch of batches) {
        commits.push(batch.commit)
        if (commits.length === 3) {
          await commits[1]!()
          break
        }
        await bus.publish(a, records('k', [String(commits.length + 1)]))
      }
      await commits[2]!() // after the loop the partition is no longer this reader's
      assert.deepEqual(await take(bus.subscribe([a], group, signal), 1), ['3'])
    })

    promise('a partition that is sought is read again from the commit', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      await bus.publish(a, records('k', ['1']))
      const seen: string[] = []
      let hasSought = false
      let early: Batch | null = null
      for await (const batch of batches) {
        seen.push(...textsOf(batch))
        if (seen.length === 1) {
          await batch.commit()
          await bus.publish(a, records('k', ['2', '3']))
        } else if (!hasSought && seen.length === 3) {
          early = batch
          hasSought = true
          await batches.seek(batch.partition, 'committed')
          await early.commit() // of before: does nothing
        } else if (seen.length === 5) break
      }
      assert.deepEqual(seen, ['1', '2', '3', '2', '3'])
      assert.deepEqual(await take(bus.subscribe([a], group, signal), 2), ['2', '3'])
    })

    promise('a paused partition is not handed out until it is resumed', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      await bus.publish(a, records('k', ['1']))
      let resumed = false
      for await (const batch of batches) {
        await batch.commit()
        if (textsOf(batch)[0] === '2') break
        batches.pause(batch.partition)
        await bus.publish(a, records('k', ['2']))
        setTimeout(() => {
          resumed = true
          batches.resume(batch.partition)
        }, 300)
      }
      assert.ok(resumed)
    })

    promise(
      'what one reader leaves uncommitted, the next one gets, and is told so',
      async ({ bus, a, group, signal }) => {
        const told: string[] = []
        const listener = (reader: string) => ({
          onAssigned: (partitions: readonly number[]) => told.push(...partitions.map(p => `${reader} has ${p}`)),
          onRevoked: (partitions: readonly number[]) => told.push(...partitions.map(p => `${reader} lost ${p}`)),
        })
        const stopped = new AbortController()
        const first = bus.subscribe([a], group, stopped.signal, listener('first'))
        await bus.publish(a, records('k', numbers(3)))
        let partition = -1
        for await (const batch of first) {
          partition = batch.partition
          if (textsOf(batch).includes('2')) stopped.abort()
        }
        const second = bus.subscribe([a], group, signal, listener('second'))
        assert.deepEqual(await take(second, 3), numbers(3))
        assert.ok(told.indexOf(`first has ${partition}`) < told.indexOf(`second has ${partition}`), told.join(', '))
      },
    )

    promise('of two readers in a group each record goes to one', async ({ bus, a, group, signal }) => {
      const stopped = new AbortController()
      const seen: string[] = []
      const read = async (batches: AsyncIterable<Batch>) => {
        for await (const batch of batches) {
          seen.push(...textsOf(batch))
          await batch.commit()
        }
      }
      const readers = [1, 2].map(() => read(bus.subscribe([a], group, stopped.signal)))
      await sleep(500)
      const all = numbers(200)
      for (const text of all) await bus.publish(a, [textRecord(`k${text}`, text)])
      while (seen.length < all.length) await sleep(20)
      stopped.abort()
      await Promise.all(readers)
      // While the second joined, a batch of the first may have come twice; nothing was published then.
      assert.deepEqual(
        seen.sort((x, y) => Number(x) - Number(y)),
        all,
      )
      assert.ok(!signal.aborted)
    })

    promise('a slow reader loses nothing', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      const all = numbers(1000)
      const published = bus.publish(a, records('k', all))
      const seen: string[] = []
      for await (const batch of batches) {
        await sleep(5)
        seen.push(...textsOf(batch))
        await batch.commit()
        if (seen.length === all.length) break
      }
      assert.deepEqual(seen, all)
      await published
    })

    promise('it can be told how far a reader is', async ({ bus, a, b, group }) => {
      const stopped = new AbortController()
      assert.equal(bus.reader(group), null)
      const batches = bus.subscribe([a, b], group, stopped.signal)
      const before = Date.now()
      await bus.publish(a, records('k', numbers(3)))
      const partition = new Set<number>()
      const lagOf = (topic: string) =>
        bus.reader(group)!.lag.reduce((sum, { records, ...of }) => sum + (of.topic === topic ? records : 0), 0)
      let seen = 0
      for await (const batch of batches) {
        partition.add(batch.partition)
        seen += batch.records.length
        if (seen > 3) break
        if (seen < 3) continue
        const { oldestMs, rebalances, crashes } = bus.reader(group)!
        assert.deepEqual([lagOf(a), lagOf(b), oldestMs], [0, 0, null])
        assert.ok(rebalances > 0)
        assert.deepEqual(crashes, { restarted: 0, final: 0 })
        batches.pause(batch.partition)
        await bus.publish(b, records('k', numbers(2)))
        while (lagOf(b) < 2) await sleep(20)
        const { oldestMs: since, waiting } = bus.reader(group)!
        assert.ok(since !== null && since >= before && since <= Date.now(), `${since}`)
        assert.ok(waiting <= 2)
        batches.resume(batch.partition)
      }
      assert.equal(partition.size, 1)
      stopped.abort()
      while (bus.reader(group) !== null) await sleep(20)
    })

    promise('an abort ends the subscription, also while it waits', async ({ bus, a, group }) => {
      const stopped = new AbortController()
      const batches = bus.subscribe([a], group, stopped.signal)
      setTimeout(() => stopped.abort(), 50)
      for await (const _ of batches) assert.fail('nothing was published')
    })

    promise('closing ends the subscriptions and refuses to publish', async ({ bus, a, group, signal }) => {
      const batches = bus.subscribe([a], group, signal)
      setTimeout(() => void bus.close(), 50)
      for await (const _ of batches) assert.fail('nothing was published')
      await assert.rejects(bus.publish(a, records('k', ['1'])), { code: 'PROCLABEL_BUS', retryable: false })
    })
  })
}
