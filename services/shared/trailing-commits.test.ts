import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { until } from './bus/kafka-fixture.ts'
import { TrailingCommits } from './trailing-commits.ts'

/** Batches by number, and those that were committed. */
function batches() {
  const committed: number[] = []
  const batch = (number: number) => ({ partition: 0, records: [], commit: async () => void committed.push(number) })
  return { committed, batch }
}

test('without a lag a batch is committed when asked', async () => {
  const { committed, batch } = batches()
  const commits = new TrailingCommits(0, () => true)
  commits.add(batch(1))
  commits.add(batch(2))
  await commits.commit()
  assert.deepEqual(committed, [2])
})

test('with a lag the newest that is old enough is committed, also where no other batch comes', async () => {
  const { committed, batch } = batches()
  const commits = new TrailingCommits(50, () => true)
  commits.add(batch(1))
  commits.add(batch(2))
  await commits.commit()
  assert.equal(committed.length, 0)
  await sleep(20)
  commits.add(batch(3))
  await until('a commit', () => committed.at(-1) === 3, 2_000)
  assert.deepEqual(committed, committed.toSorted(), 'never backwards')
})

test('what the store may have lost is not committed', async () => {
  const { committed, batch } = batches()
  let isKept = true
  const commits = new TrailingCommits(10, () => isKept)
  commits.add(batch(1))
  isKept = false
  await sleep(40)
  await commits.commit()
  assert.deepEqual(committed, [])
})
