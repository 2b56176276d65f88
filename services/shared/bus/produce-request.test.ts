import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import fc from 'fast-check'
import kafkajs from 'kafkajs'
import { registerCodecs } from './codecs.ts'
import { encodeProduce, type ProduceArguments } from './produce-request.ts'

const require = createRequire(import.meta.url)
const byKafkajs = require('kafkajs/src/protocol/requests/produce/v7/request') as (args: object) => {
  encode: () => Promise<{ buffer: Buffer }>
}
const Long = require('kafkajs/src/utils/long')
const zstd = (type: number, buffer: Buffer): Promise<Buffer> =>
  require('kafkajs/src/protocol/message/compression').lookupCodec(type).compress({ buffer })

const bytes = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array)),
)
const message = fc.record({
  key: fc.option(bytes),
  value: fc.option(fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array))),
  headers: fc.dictionary(fc.string({ minLength: 1 }), fc.oneof(bytes, fc.array(bytes)), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
  timestamp: fc.integer({ min: 1_700_000_000_000, max: 1_700_000_100_000 }).map(String),
})
const batch = fc.record({
  partition: fc.nat(100),
  firstSequence: fc.nat(2 ** 31 - 1),
  messages: fc.array(message, { minLength: 1, maxLength: 20 }),
})
const request = fc.record({
  acks: fc.constantFrom(-1, 1),
  timeout: fc.nat(60_000),
  transactionalId: fc.constantFrom(null, 'tränsaction'),
  producerId: fc.bigInt({ min: -1n, max: 2n ** 63n - 1n }).map(id => Long.fromValue(id)),
  producerEpoch: fc.nat(32_767),
  topicData: fc.array(
    fc.record({ topic: fc.string({ maxLength: 50 }), partitions: fc.array(batch, { maxLength: 5 }) }),
    {
      maxLength: 3,
    },
  ),
})

/** kafkajs sorts the times of a batch; ours counts from the first record's, so they are given in order. */
function inOrder<A extends Pick<ProduceArguments, 'topicData'>>(args: A): A {
  const topicData = args.topicData.map(({ topic, partitions }) => ({
    topic,
    partitions: partitions.map(part => {
      const times = part.messages.map(({ timestamp }) => timestamp!).sort()
      return { ...part, messages: part.messages.map((one, i) => ({ ...one, timestamp: times[i]! })) }
    }),
  }))
  return { ...args, topicData }
}

for (const [name, compression] of [
  ['none', kafkajs.CompressionTypes.None],
  ['zstd', kafkajs.CompressionTypes.ZSTD],
] as const) {
  test(`requests are byte for byte those of kafkajs, compression ${name}`, async () => {
    registerCodecs()
    await fc.assert(
      fc.asyncProperty(request, async made => {
        const args = { ...inOrder(made), compression }
        const { buffer } = await byKafkajs(args).encode()
        assert.deepEqual(await encodeProduce(args, zstd), buffer)
      }),
    )
  })
}

test('a record that does not compress has room to grow', async () => {
  registerCodecs()
  const value = randomBytes(900_000)
  const topicData = [{ topic: 't', partitions: [{ partition: 0, firstSequence: 0, messages: [{ key: '', value }] }] }]
  const args = { acks: -1, timeout: 1, compression: kafkajs.CompressionTypes.ZSTD, topicData }
  assert.ok((await encodeProduce(args, zstd)).length > value.length)
})
