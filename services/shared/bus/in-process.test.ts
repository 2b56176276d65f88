import assert from 'node:assert/strict'
import { test } from 'node:test'
import { busContract } from './contract.ts'
import { InProcessBus } from './in-process.ts'

busContract('in-process', async () => new InProcessBus())

test('publish waits while a reader is behind, and goes on when it commits', async () => {
  const bus = new InProcessBus()
  const batches = bus.subscribe(['a'], 'g', new AbortController().signal)
  let published = false
  const records = Array.from({ length: 100 }, (_, i) => ({ key: 'k', value: Buffer.from([i]) }))
  const publishing = bus.publish('a', records).then(() => {
    published = true
  })
  await new Promise(setImmediate)
  assert.equal(published, false)
  let seen = 0
  for await (const batch of batches) {
    seen += batch.records.length
    await batch.commit()
    if (seen === 100) break
  }
  await publishing
  await bus.drained()
})
