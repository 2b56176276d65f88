import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { CompressionTypes } from 'kafkajs'
import { sharedStack } from '../../e2e/stack/shared-stack.ts'
import type { ConsumedRecord } from './bus.ts'
import { textRecord } from './contract.ts'
import { KafkaBus } from './kafka.ts'
import { createTopics, kafkaOf, unique } from './kafka-fixture.ts'

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i)
let stack: Awaited<ReturnType<typeof sharedStack>>
let bus: KafkaBus
before(async () => {
  stack = await sharedStack({ kafka: true })
  bus = new KafkaBus({ brokers: stack.brokers, clientId: 'order' })
})
after(async () => {
  await bus.close()
  await stack.stop()
})

async function read(topics: readonly string[], count: number): Promise<ConsumedRecord[]> {
  const seen: ConsumedRecord[] = []
  for await (const batch of bus.subscribe(topics, unique('g'), new AbortController().signal)) {
    seen.push(...batch.records)
    if (seen.length >= count) break
  }
  return seen
}

test('partitions are those that every Kafka client computes', async () => {
  const topic = unique('t')
  await createTopics([...stack.brokers], [topic], 48)
  // murmur2 of Kafka's own tests, without its sign, modulo the partitions.
  const hashes = { '21': -973932308, foobar: -790332482, 'a-little-bit-long-string': -985981536, abc: 479470107 }
  await bus.publish(
    topic,
    Object.keys(hashes).map(key => textRecord(key, 'x')),
  )
  const seen = await read([topic], 4)
  for (const [key, hash] of Object.entries(hashes))
    assert.equal(seen.find(record => record.key === key)?.partition, (hash & 0x7fffffff) % 48, key)
})

test('a backlog of several topics is handed out in the order it was appended, however uneven they are', async () => {
  const topics = [unique('sockets'), unique('packets')]
  await createTopics(stack.brokers, topics, 2)
  const text = 'x'.repeat(2000)
  for (const step of numbers(60)) {
    const host = `host ${step % 5}`
    await bus.publish(topics[0]!, [textRecord(host, `${step}`)])
    await bus.publish(
      topics[1]!,
      numbers(60).map(i => textRecord(host, `${step} ${i} ${text}`)),
    )
  }
  const seen = await read(topics, 60 * 61)
  assert.equal(seen.length, 60 * 61)
  const last = new Map<number, number>()
  for (const { partition, appendMs } of seen) {
    assert.ok(appendMs >= (last.get(partition) ?? 0), `partition ${partition} went back in time`)
    last.set(partition, appendMs)
  }
  for (const topic of topics)
    for (const partition of [0, 1]) {
      const offsets = seen.filter(r => r.topic === topic && r.partition === partition).map(({ offset }) => offset)
      assert.deepEqual(offsets, numbers(offsets.length))
    }
})

test('large publishes are split, in order; what no broker would take, and what this one does not, is refused for good', async () => {
  const topic = unique('t')
  await createTopics(stack.brokers, [topic], 1)
  const value = (i: number) => Buffer.concat([Buffer.from(`${i} `), Buffer.alloc(300_000, i)])
  await bus.publish(
    topic,
    numbers(30).map(i => ({ key: 'k', value: value(i) })),
  )
  const seen = await read([topic], 30)
  assert.deepEqual(
    seen.map(record => String(record.value!.subarray(0, 2)).trim()),
    numbers(30).map(String),
  )
  const refused = { code: 'PROCLABEL_RECORD', retryable: false }
  await assert.rejects(bus.publish(topic, [{ key: 'k', value: Buffer.alloc((16 << 20) + 1) }]), refused)
  await assert.rejects(bus.publish(topic, [{ key: 'k', value: randomBytes(2_000_000) }]), refused)
  const aboutKey = { ...refused, message: `${topic}: a key of 256 bytes; at most 255 can be sent` }
  await assert.rejects(bus.publish(topic, [{ key: 'ü'.repeat(128), value: Buffer.alloc(1) }]), aboutKey)
  await assert.rejects(bus.publish(topic, [{ key: 'k', partitionKey: 'x'.repeat(256), value: null }]), aboutKey)
  await bus.publish(topic, [{ key: 'k', value: Buffer.alloc(8_000_000) }])
  assert.equal((await read([topic], 31)).at(-1)!.value!.length, 8_000_000, 'it is the compressed size that counts')
})

test('records of other producers are read whatever they compress with, and without keys', async () => {
  const topic = unique('t')
  await createTopics(stack.brokers, [topic], 1)
  const producer = kafkaOf(stack.brokers).producer()
  await producer.connect()
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP, CompressionTypes.ZSTD])
    await producer.send({ topic, compression, messages: [{ key: null, value: `${compression}` }] })
  await producer.disconnect()
  assert.deepEqual(
    (await read([topic], 3)).map(({ key, value }) => [key, String(value)]),
    [
      ['', '0'],
      ['', '1'],
      ['', '4'],
    ],
  )
})
