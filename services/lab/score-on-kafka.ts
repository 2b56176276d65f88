import kafkajs, { type TopicMessages } from 'kafkajs'
import { kafkaOf } from '#shared/bus/kafka-fixture.ts'
import { topicNames, topicSettings } from '../cli/topic-settings.ts'
import type { Services } from '../e2e/lab/services.ts'
import { inputTopics } from '../matcher/matcher.ts'
import { KafkaPipeline, partitions } from './kafka-pipeline.ts'
import type { Score } from './score.ts'
import type { Recorded, TimedInput } from './score-inputs.ts'

/** Of one request: kafkajs sorts them in quadratic time. */
const maxRecords = 1000

export interface KafkaRun {
  score: Score
  /** Records that agents and sensor published, and how long it took to make and publish them. */
  published: number
  publishSeconds: number
  /** Records of `labeled-sessions`, and how long the services took from their start to the last of them. */
  told: number
  labelSeconds: number
}

/**
 * What `scoreInputs` does, by the services, `matcherArgs` given to the matchers. Kafka holds all of the inputs, at the times at
 * which they were taken in, when the services start: they read them as they would read them again after the loss of their
 * state, as fast as they can.
 */
export async function scoreOnKafka(
  recorded: Recorded<TimedInput>,
  matcherArgs: readonly string[] = [],
): Promise<KafkaRun> {
  const pipeline = await KafkaPipeline.start(makeTopics)
  try {
    const publishMs = performance.now()
    const published = await publish(pipeline.brokers, recorded.inputs())
    const labelMs = performance.now()
    await pipeline.startLabeling(matcherArgs)
    const toldMs = await pipeline.untilTold()
    const [publishSeconds, labelSeconds] = [(labelMs - publishMs) / 1000, (toldMs - labelMs) / 1000]
    const { score, told } = await pipeline.score(recorded.truth())
    await pipeline.services.stopAll()
    return { score, published, publishSeconds, told, labelSeconds }
  } finally {
    await pipeline.stop()
  }
}

/** As `topics apply` makes them, but that the input topics keep the times that records bring, and records of any time. */
async function makeTopics(services: Services): Promise<void> {
  const asGiven = { 'message.timestamp.type': 'CreateTime', 'retention.ms': '-1' }
  const isInput = (topic: string) => inputTopics.some(input => input === topic)
  const topics = topicNames.map(topic => {
    const settings = { ...topicSettings(topic, { partitions, replication: 1 }), ...(isInput(topic) && asGiven) }
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
    return { topic, numPartitions: partitions, replicationFactor: 1, configEntries }
  })
  await services.withAdmin(admin => admin.createTopics({ topics, waitForLeaders: true }))
}

/** Answers with the number of records. */
async function publish(brokers: readonly string[], inputs: Iterable<TimedInput>): Promise<number> {
  const createPartitioner = kafkajs.Partitioners.DefaultPartitioner
  const producer = kafkaOf(brokers).producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner })
  await producer.connect()
  let published = 0
  let waiting: TimedInput[] = []
  const flush = async () => {
    const topicMessages: TopicMessages[] = Array.from(
      Map.groupBy(waiting, ({ topic }) => topic),
      ([topic, list]) => ({
        topic,
        messages: list.map(({ key, value, takenInUs }) => ({
          key,
          value,
          timestamp: String(Math.floor(takenInUs / 1000)),
        })),
      }),
    )
    await producer.sendBatch({ acks: -1, topicMessages })
    published += waiting.length
    waiting = []
  }
  for (const input of inputs) {
    waiting.push(input)
    if (waiting.length === maxRecords) await flush()
  }
  if (waiting.length > 0) await flush()
  await producer.disconnect()
  return published
}
