import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import { CompressionTypes } from 'kafkajs'
import { batchOf } from '#core/batch-fixture.ts'
import { codecs, type DeadLetter, type PacketBatch, PacketBatchBuilder, type SocketSnapshot } from '#schemas'
import { kafkaOf, unique, until } from '#shared/bus/kafka-fixture.ts'
import { storeLossMs } from '#shared/trailing-commits.ts'
import { inputTopics, matcherGroup } from '../../matcher/matcher.ts'
import { Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts } from './recorded-hosts.ts'

/** A host of the recording: what is wrong comes among its records. */
const key = 'host-0'
const dayUs = 86_400_000_000

interface Bad {
  what: string
  topic: (typeof inputTopics)[number]
  key?: string
  value: Buffer
  reason: string
  detail?: RegExp
}

const header = { host_id: key, sensor_id: 'bad', run_id: 'bad', seq: 0, until_us: Date.now() * 1000 }
const packets = (more: Partial<PacketBatch> = {}) =>
  codecs.packets.encode(batchOf(['0 udp 4000 > 192.0.2.7:53'], { ...header, ...more }))
const events = (until_us: number) => {
  const message = { host_id: key, run_id: 'bad', seq: 0, source: 'sysmon', complete: false, lost: 0, until_us }
  return codecs['socket-events'].encode({ ...message, events: [], processes: [] })
}
const snapshot = (time_us: number) => {
  const poll = {
    poll_seq: 0,
    kind: 'keyframe',
    time_us,
    monotonic_us: 0,
    duration_us: 0,
    opened: [],
    closed: [],
  } as const
  const message: SocketSnapshot = {
    host_id: key,
    run_id: 'bad',
    seq: 0,
    polls: [{ ...poll, opened: [], closed: [] }],
    processes: [],
  }
  return codecs['socket-snapshots'].encode(message)
}
const host = (updated_us: number) => {
  const rest = { os: 'linux', agent_version: 'bad', poll_period_us: null, boot_id: null }
  return codecs.hosts.encode({ host_id: key, names: [], addresses: [], ...rest, updated_us })
}
/** Bytes in place of those from `at` on. */
const changed = (value: Buffer, at: number, ...bytes: number[]) => {
  const copy = Buffer.from(value)
  copy.set(bytes, at)
  return copy
}
const idBytes = 5
const minusOne = 1
const year1970Us = 1_000_000
const year2100Us = Date.UTC(2100, 0) * 1000
const longId = 'x'.repeat(1_000_000)

const bad: Bad[] = [
  {
    what: 'unknown schema id',
    topic: 'packets',
    value: changed(packets(), 1, 0, 1, 0, 0),
    reason: 'undecodable',
    detail: /schema/,
  },
  { what: 'another wire format', topic: 'packets', value: changed(packets(), 0, 1), reason: 'undecodable' },
  {
    what: 'what a later version appended',
    topic: 'hosts',
    value: Buffer.concat([host(header.until_us), Buffer.of(2, 65)]),
    reason: 'undecodable',
  },
  { what: 'text', topic: 'socket-snapshots', value: Buffer.from('nonsense'), reason: 'undecodable' },
  { what: 'nothing at all', topic: 'socket-events', value: Buffer.alloc(0), reason: 'undecodable' },
  { what: 'random bytes', topic: 'packets', value: randomBytes(5000), reason: 'undecodable' },
  {
    what: 'random bytes behind a good header',
    topic: 'socket-snapshots',
    value: Buffer.concat([snapshot(header.until_us).subarray(0, idBytes), randomBytes(5000)]),
    reason: 'undecodable',
  },
  {
    what: 'a negative length of a text',
    topic: 'packets',
    value: changed(packets(), idBytes, minusOne),
    reason: 'undecodable',
  },
  {
    what: 'a negative count of an array',
    topic: 'socket-events',
    value: changed(events(header.until_us), events(header.until_us).length - 1, minusOne),
    reason: 'undecodable',
  },
  {
    what: 'a length beyond the end',
    topic: 'packets',
    value: changed(packets(), idBytes, 254, 255, 255, 15),
    reason: 'undecodable',
  },
  { what: 'cut off', topic: 'packets', value: packets().subarray(0, 60), reason: 'undecodable' },
  {
    what: 'columns that do not fit each other',
    topic: 'packets',
    value: packets({ packet_time: Buffer.alloc(3) }),
    reason: 'undecodable',
  },
  {
    what: 'a host that speaks for another',
    topic: 'packets',
    value: packets({ host_id: 'host-1' }),
    reason: 'other-host',
  },
  {
    what: 'a host id of 1 MB',
    topic: 'packets',
    key: longId,
    value: packets({ host_id: longId }),
    reason: 'host-id-too-long',
    detail: /1000000/,
  },
  {
    what: 'a host id of 1 MB that nothing compresses',
    topic: 'hosts',
    key: randomBytes(500_000).toString('hex'),
    value: host(0),
    reason: 'host-id-too-long',
  },
  {
    what: 'a host id of 1 MB in the value alone',
    topic: 'packets',
    value: packets({ host_id: longId }),
    reason: 'other-host',
  },
  { what: 'packets of 1970', topic: 'packets', value: packets({ until_us: year1970Us }), reason: 'implausible-time' },
  { what: 'packets of 2100', topic: 'packets', value: packets({ until_us: year2100Us }), reason: 'implausible-time' },
  { what: 'polls of 1970', topic: 'socket-snapshots', value: snapshot(year1970Us), reason: 'implausible-time' },
  { what: 'polls of 2100', topic: 'socket-snapshots', value: snapshot(year2100Us), reason: 'implausible-time' },
  { what: 'events of 1970', topic: 'socket-events', value: events(year1970Us), reason: 'implausible-time' },
  { what: 'events of 2100', topic: 'socket-events', value: events(year2100Us), reason: 'implausible-time' },
  { what: 'a host of 2100', topic: 'hosts', value: host(header.until_us + 30_000 * dayUs), reason: 'implausible-time' },
]

/** The letters so far; reads on until the test is over. */
function readLetters(t: TestContext, { bus }: Pipeline): DeadLetter[] {
  const letters: DeadLetter[] = []
  const stop = new AbortController()
  const reading = (async () => {
    for await (const { records, commit } of bus.subscribe(['dead-letters'], unique('letters'), stop.signal)) {
      for (const { value } of records) letters.push(codecs['dead-letters'].decode(value!))
      await commit()
    }
  })()
  t.after(async () => {
    stop.abort()
    await reading
  })
  return letters
}

/** As a producer that is not ours may: kafkajs takes minutes to find the partition of a key of 1 MB. */
async function publishAnyhow({ stack, bus }: Pipeline, { topic, key: ownKey, value }: Bad): Promise<void> {
  if (ownKey === undefined) return bus.publish(topic, [{ key, value }])
  const producer = kafkaOf(stack.kafka!.brokers).producer()
  await producer.connect()
  // What compresses well gets past the broker's limit.
  await producer.send({ topic, compression: CompressionTypes.ZSTD, messages: [{ partition: 0, key: ownKey, value }] })
  await producer.disconnect()
}

/** Records of the input topics that the group has not committed. */
async function lagOf({ stack }: Pipeline): Promise<number> {
  const admin = kafkaOf(stack.kafka!.brokers).admin()
  await admin.connect()
  try {
    let lag = 0
    for (const topic of inputTopics) {
      const ends = await admin.fetchTopicOffsets(topic)
      const [committed] = await admin.fetchOffsets({ groupId: matcherGroup, topics: [topic] })
      for (const { partition, high } of ends) {
        const offset = Number(committed!.partitions.find(one => one.partition === partition)?.offset ?? -1)
        lag += Number(high) - Math.max(0, offset)
      }
    }
    return lag
  } finally {
    await admin.disconnect()
  }
}

/** Whether a letter holds all of these bytes, or so many of them. */
const isBegin = (part: Uint8Array, of: Buffer, most: number) => of.subarray(0, most).equals(part)

test('each bad record is in dead-letters with its reason; those around it come out right, and the lag goes to 0', async t => {
  const inputs = await recordedHosts(6)
  const expected = await labeledInProcess(inputs)
  const pipeline = await Pipeline.start(t)
  const letters = readLetters(t, pipeline)
  pipeline.startMatcher()
  const every = Math.floor(inputs.length / bad.length)
  for (const [i, one] of bad.entries()) {
    await pipeline.publish(inputs.slice(i * every, (i + 1) * every))
    await publishAnyhow(pipeline, one)
    // A batch of no packets is none: it says that time goes on.
    const tick = new PacketBatchBuilder().build({ ...header, host_id: 'tick', seq: i, lost: 0, names: [], dns: [] })
    await pipeline.bus.publish('packets', [{ key: 'tick', value: codecs.packets.encode(tick) }])
  }
  await pipeline.publish(inputs.slice(bad.length * every))
  await pipeline.finish(t, expected, performance.now())

  await until('every letter is there', () => letters.length >= bad.length)
  assert.equal(letters.length, bad.length)
  for (const { what, topic, key: ownKey = key, value, reason, detail = /./ } of bad) {
    const isOf = (one: DeadLetter) =>
      one.topic === topic && isBegin(one.key!, Buffer.from(ownKey), 4096) && isBegin(one.value!, value, 500_000)
    const letter = letters.find(isOf)
    assert.ok(letter, what)
    assert.deepEqual([letter.reason, letter.step], [reason, 'matcher'], what)
    assert.match(letter.detail ?? '', detail, what)
  }
  const startMs = performance.now()
  let lag = await lagOf(pipeline)
  for (; lag > 0 && performance.now() - startMs < 6 * storeLossMs; lag = await lagOf(pipeline))
    await new Promise(resolve => setTimeout(resolve, 500))
  assert.equal(lag, 0, 'all is committed')
})
