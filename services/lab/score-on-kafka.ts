import { setTimeout as sleep } from 'node:timers/promises'
import { codecs, type Topic } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique } from '#shared/bus/kafka-fixture.ts'
import { Services } from '../e2e/lab/services.ts'
import { startStack } from '../e2e/stack/stack.ts'
import type { Score } from './score.ts'
import { type Recorded, scorerOf } from './score-inputs.ts'

const partitions = 6
/** Records of one publish at most. */
const maxRecords = 500
/** The resolver looks every 30 s: nothing for so long means that all is told. */
const quietMs = 75_000

export interface KafkaRun {
  score: Score
  /** From the first record published to the last one told. */
  seconds: number
  /** Of `labeled-sessions`. */
  told: number
}

/**
 * What `scoreInputs` does, by the services: a Kafka and a Redis of its own, two matchers and a resolver as their commands
 * start them, `matcherArgs` given to the matchers. The records are published in their order, as fast as Kafka takes them.
 */
export async function scoreOnKafka(recorded: Recorded, matcherArgs: readonly string[] = []): Promise<KafkaRun> {
  await using parts = new AsyncDisposableStack()
  const stack = await startStack({ kafka: true, redis: true })
  parts.defer(() => stack.stop())
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  await services.prepare(partitions)
  const shared = ['--partitions', String(partitions)]
  const matcher = () => services.start('matcher', [...shared, ...matcherArgs], 'reading')
  await Promise.all([matcher(), matcher(), services.start('resolver', shared, 'reading')])

  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'lab', security: {} })
  parts.defer(() => bus.close())
  const scorer = scorerOf(recorded)
  const stop = new AbortController()
  let [told, toldMs] = [0, performance.now()]
  const read = async () => {
    for await (const { records, commit } of bus.subscribe(['labeled-sessions'], unique('lab'), stop.signal)) {
      for (const { value } of records) scorer.add(codecs['labeled-sessions'].decode(value!))
      told += records.length
      toldMs = performance.now()
      await commit()
    }
  }
  const reading = read()
  parts.defer(async () => {
    stop.abort()
    await reading
  })

  const startMs = performance.now()
  await publish(bus, recorded)
  const publishedMs = performance.now()
  while (performance.now() - Math.max(toldMs, publishedMs) < quietMs) await sleep(1000)
  await services.stopAll()
  return { score: scorer.score(), seconds: (toldMs - startMs) / 1000, told }
}

/** Readers go by the order in which the broker took the records of all topics: each publish ends before the next. */
async function publish(bus: KafkaBus, recorded: Recorded): Promise<void> {
  let topic: Topic = 'hosts'
  let waiting: BusRecord[] = []
  const flush = async () => {
    if (waiting.length > 0) await bus.publish(topic, waiting)
    waiting = []
  }
  for (const { topic: to, key, value } of recorded.inputs()) {
    if (to !== topic || waiting.length === maxRecords) await flush()
    topic = to
    waiting.push({ key, value })
  }
  await flush()
}
