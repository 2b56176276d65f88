import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Batch, Bus } from './bus.ts'

const record = (key: string, text: string) => ({ key, value: Buffer.from(text) })
const texts = (batch: Batch) => batch.records.map(({ value }) => Buffer.from(value!).toString())

/** Reads until `count` records came, committing each batch; answers with their texts. */
async function take(batches: AsyncIterable<Batch>, count: number): Promise<string[]> {
  const seen: string[] = []
  for await (const batch of batches) {
    seen.push(...texts(batch))
    await batch.commit()
    if (seen.length >= count) break
  }
  return seen
}

/** What every bus promises; `create` gives a new one with topics `a` and `b`. */
export function busContract(name: string, create: () => Promise<Bus>): void {
  suite(`bus contract: ${name}`, () => {
    test('a group gets what is published after it subscribed, in order, across its topics', async () => {
      const bus = await create()
      const { signal } = new AbortController()
      const batches = bus.subscribe(['a', 'b'], 'g', signal)
      await bus.publish('a', [record('k', '1'), record('k', '2')])
      await bus.publish('b', [record('k', '3')])
      await bus.publish('a', [record('k', '4')])
      assert.deepEqual(await take(batches, 4), ['1', '2', '3', '4'])
      await bus.close()
    })

    test('keys, tombstones, topics and offsets come through', async () => {
      const bus = await create()
      const batches = bus.subscribe(['a'], 'g', new AbortController().signal)
      await bus.publish('a', [record('x', '1'), { key: 'y', value: null }])
      const seen = []
      for await (const batch of batches) {
        seen.push(...batch.records)
        if (seen.length === 2) break
      }
      assert.deepEqual(
        seen.map(({ topic, key, value, offset }) => [topic, key, value === null, offset]),
        [
          ['a', 'x', false, 0],
          ['a', 'y', true, 1],
        ],
      )
      await bus.close()
    })

    test('every group gets every record', async () => {
      const bus = await create()
      const { signal } = new AbortController()
      const first = bus.subscribe(['a'], 'g1', signal)
      const second = bus.subscribe(['a'], 'g2', signal)
      await bus.publish('a', [record('k', '1')])
      assert.deepEqual(await Promise.all([take(first, 1), take(second, 1)]), [['1'], ['1']])
      await bus.close()
    })

    test('a batch that was not committed comes again', async () => {
      const bus = await create()
      const stopped = new AbortController()
      const batches = bus.subscribe(['a'], 'g', stopped.signal)
      await bus.publish('a', [record('k', '1')])
      for await (const batch of batches) {
        assert.deepEqual(texts(batch), ['1'])
        stopped.abort()
      }
      const again = bus.subscribe(['a'], 'g', new AbortController().signal)
      await bus.publish('a', [record('k', '2')])
      assert.deepEqual(await take(again, 2), ['1', '2'])
      await bus.close()
    })

    test('a slow reader loses nothing', async () => {
      const bus = await create()
      const batches = bus.subscribe(['a'], 'g', new AbortController().signal)
      const all = Array.from({ length: 1000 }, (_, i) => String(i))
      const published = bus.publish(
        'a',
        all.map(text => record('k', text)),
      )
      assert.deepEqual(await take(batches, all.length), all)
      await published
      await bus.close()
    })

    test('an abort ends the subscription, also while it waits', async () => {
      const bus = await create()
      const stopped = new AbortController()
      const batches = bus.subscribe(['a'], 'g', stopped.signal)
      setImmediate(() => stopped.abort())
      for await (const _ of batches) assert.fail('nothing was published')
      await bus.close()
    })

    test('a closed bus refuses to publish', async () => {
      const bus = await create()
      await bus.close()
      await assert.rejects(bus.publish('a', [record('k', '1')]), { code: 'PROCLABEL_BUS' })
    })
  })
}
