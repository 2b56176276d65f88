import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ConsumedRecord } from './bus.ts'
import { MergedPartition } from './strands.ts'

const record = (topic: string, offset: number, appendMs: number): ConsumedRecord => ({
  key: 'k',
  value: Buffer.from(`${topic}${offset}`),
  topic,
  partition: 0,
  offset,
  appendMs,
})
/** A log from its append times, and what a fetch of `count` records from `from` brings. */
const logOf = (topic: string, times: readonly number[]) => times.map((time, offset) => record(topic, offset, time))
const fetchOf = (log: readonly ConsumedRecord[], from: number, count: number) => ({
  fromOffset: from,
  nextOffset: Math.min(log.length, from + count),
  endOffset: log.length,
  records: log.slice(from, from + count),
})
const names = (records: readonly ConsumedRecord[]) => records.map(({ value }) => String(value)).join(' ')

test('two topics are merged by append time, equal times in the order of the topics', () => {
  const merged = new MergedPartition(['a', 'b'], 1000)
  merged.strands[1]!.add(fetchOf(logOf('b', [1, 2, 5]), 0, 9))
  assert.equal(names(merged.take(9, 0)), '') // nothing is known of a
  merged.strands[0]!.add(fetchOf(logOf('a', [2, 3, 9]), 0, 9))
  assert.equal(names(merged.take(9, 0)), 'b0 a0 b1 a1 b2 a2')
})

test('a topic whose records are on the way holds the other back, a topic without any does not', () => {
  const merged = new MergedPartition(['a', 'b'], 1000)
  const [a, b] = [logOf('a', [1, 4]), logOf('b', [2, 3])]
  merged.strands[0]!.add(fetchOf(a, 0, 1))
  merged.strands[1]!.add(fetchOf(b, 0, 2))
  assert.equal(names(merged.take(9, 0)), 'a0')
  merged.strands[0]!.add(fetchOf(a, 1, 1))
  assert.equal(names(merged.take(1, 0)), 'b0')
  assert.equal(names(merged.take(9, 0)), 'b1 a1')
})

test('nobody is held back for longer than the limit', () => {
  const merged = new MergedPartition(['a', 'b'], 1000)
  merged.strands[1]!.add(fetchOf(logOf('b', [1, 2]), 0, 9))
  assert.equal(names(merged.take(9, 500)), '')
  assert.equal(names(merged.take(9, 1499)), '')
  assert.equal(names(merged.take(9, 1500)), 'b0 b1')
})

test('a batch ends once it has so many bytes, with one record at least', () => {
  const merged = new MergedPartition(['a'], 1000)
  const log = logOf('a', [1, 2, 3, 4]).map(one => ({ ...one, value: Buffer.alloc(1000) }))
  merged.strands[0]!.add(fetchOf(log, 0, 9))
  const taken = [1, 2000, 9000].map(mostBytes => merged.take(9, 0, mostBytes).length)
  assert.deepEqual(taken, [1, 2, 1])
})

test('what is fetched twice is handed out once, and what retention took away is told', () => {
  const merged = new MergedPartition(['a'], 0)
  const [strand] = merged.strands
  const log = logOf('a', [1, 2, 3, 4, 5, 6])
  assert.equal(strand!.add(fetchOf(log, 1, 2)), 0)
  assert.equal(strand!.add(fetchOf(log, 0, 4)), 0)
  assert.equal(names(merged.take(9, 0)), 'a1 a2 a3')
  assert.equal(strand!.handedOut, 4)
  assert.equal(strand!.add(fetchOf(log, 5, 1)), 1)
  assert.equal(names(merged.take(9, 0)), 'a5')
})

test('a reset forgets what waits and goes on where it is told', () => {
  const merged = new MergedPartition(['a'], 0)
  const [strand] = merged.strands
  const log = logOf('a', [1, 2, 3])
  strand!.add(fetchOf(log, 0, 3))
  assert.equal(names(merged.take(2, 0)), 'a0 a1')
  strand!.reset(1)
  assert.equal(strand!.bytes, 0)
  assert.equal(names(merged.take(9, 0)), '')
  strand!.add(fetchOf(log, 1, 2))
  assert.equal(names(merged.take(9, 0)), 'a1 a2')
})

test('any fetches of any logs come out as one merge of the whole would', () => {
  const times = fc.array(fc.nat(20)).map(list => list.sort((x, y) => x - y))
  const steps = fc.array(fc.record({ topic: fc.nat(2), count: fc.nat(4), take: fc.nat(5) }), { maxLength: 60 })
  fc.assert(
    fc.property(times, times, times, steps, (a, b, c, plan) => {
      const logs = [logOf('a', a), logOf('b', b), logOf('c', c)]
      const expected = logs
        .flat()
        .sort(
          (x, y) =>
            x.appendMs - y.appendMs ||
            (x.topic < y.topic ? -1 : 1) * Number(x.topic !== y.topic) ||
            x.offset - y.offset,
        )
      const merged = new MergedPartition(['a', 'b', 'c'], Number.POSITIVE_INFINITY)
      const seen: ConsumedRecord[] = []
      const everything = [0, 1, 2].flatMap(topic => [{ topic, count: 99, take: 0 }])
      for (const { topic, count, take } of [...plan, ...everything]) {
        const strand = merged.strands[topic]!
        strand.add(fetchOf(logs[topic]!, strand.position ?? 0, count))
        seen.push(...merged.take(take, 0))
      }
      seen.push(...merged.take(999, 0))
      assert.equal(names(seen), names(expected))
      assert.deepEqual(
        merged.strands.map(({ bytes }) => bytes),
        [0, 0, 0],
      )
    }),
  )
})

test('a strand tells what was not handed out: here, and in the log behind it', () => {
  const merged = new MergedPartition(['a'], 1000)
  const [strand] = merged.strands
  const told = () => [strand!.lag, strand!.waiting, strand!.oldestMs]
  assert.deepEqual(told(), [0, 0, null])
  const log = logOf('a', [10, 20, 30, 40])
  strand!.add(fetchOf(log, 0, 2))
  assert.deepEqual(told(), [4, 2, 10])
  merged.take(1, 0)
  assert.deepEqual(told(), [3, 1, 20])
  merged.take(1, 0)
  assert.deepEqual(told(), [2, 0, 20])
  strand!.add({ ...fetchOf(log, 2, 1), nextOffset: 4 }) // the last offset is a hole
  assert.deepEqual(told(), [2, 1, 30])
  merged.take(1, 0)
  assert.deepEqual(told(), [0, 0, null])
})
