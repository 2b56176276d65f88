import kafkajs, { type Admin, type ITopicMetadata } from 'kafkajs'
import type { Topic } from '#schemas'
import { InputError, ProclabelError } from '#shared/errors.ts'
import type { Registration, Registry } from '#shared/registry.ts'
import { schemaText, subjectOf } from '#shared/registry-codecs.ts'
import { type TopicShape, topicNames, topicSettings } from './topic-settings.ts'

export interface AppliedTopic {
  topic: Topic
  did: 'created' | 'configured' | 'unchanged'
  /** Copies of each partition, the fewest that one has. */
  replication: number
}
export interface AppliedSchema {
  subject: string
  id: number
  did: Registration
}

/**
 * Makes the topics be as they should; those that are so are left alone. Throws PROCLABEL_TOPICS, before anything is
 * changed, when a topic has another number of partitions, or when there are fewer brokers than copies. Copies of a topic
 * that is there stay as many as they are.
 */
export async function applyTopics(admin: Admin, shape: TopicShape): Promise<AppliedTopic[]> {
  const there = new Set(await admin.listTopics())
  const existing = topicNames.filter(topic => there.has(topic))
  const found = existing.length > 0 ? (await admin.fetchTopicMetadata({ topics: [...existing] })).topics : []
  checkPartitions(found, shape)
  const copies = new Map(
    found.map(({ name, partitions }) => [name, Math.min(...partitions.map(({ replicas }) => replicas.length))]),
  )
  const missing = topicNames.filter(topic => !there.has(topic))
  if (missing.length > 0) {
    const { brokers } = await admin.describeCluster()
    if (brokers.length < shape.replication) throw tooFewBrokers(brokers.length, shape)
    await admin.createTopics({
      waitForLeaders: true,
      topics: missing.map(topic => ({
        topic,
        numPartitions: shape.partitions,
        replicationFactor: shape.replication,
        configEntries: Object.entries(topicSettings(topic, shape)).map(([name, value]) => ({ name, value })),
      })),
    })
  }
  const configured = await configure(admin, existing, shape)
  return topicNames.map(topic => ({
    topic,
    did: there.has(topic) ? (configured.has(topic) ? 'configured' : 'unchanged') : 'created',
    replication: copies.get(topic) ?? shape.replication,
  }))
}

function checkPartitions(topics: readonly ITopicMetadata[], { partitions }: TopicShape): void {
  const others = topics.filter(topic => topic.partitions.length !== partitions)
  if (others.length === 0) return
  const found = others.map(({ name, partitions: has }) => `${name} has ${has.length} partitions`).join(', ')
  const todo =
    'the count decides which partition holds a host, so it cannot change under way: give --partitions as it is, or stop ' +
    'all services, let the matchers read to the end, delete all topics, and apply again'
  throw new InputError('PROCLABEL_TOPICS', `${found}, not ${partitions}; ${todo}`)
}

const tooFewBrokers = (brokers: number, { replication }: TopicShape): InputError =>
  new InputError(
    'PROCLABEL_TOPICS',
    `${replication} copies of each partition need as many brokers, and there ${brokers === 1 ? 'is' : 'are'} ${brokers}: ` +
      `give --replication ${brokers}, or start more brokers`,
  )

/** Sets what differs; the other settings that somebody gave a topic stay. Answers with the topics that were changed. */
async function configure(admin: Admin, existing: readonly Topic[], shape: TopicShape): Promise<ReadonlySet<Topic>> {
  const changed = new Set<Topic>()
  if (existing.length === 0) return changed
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: existing.map(name => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
  })
  for (const { resourceName, configEntries } of resources) {
    const topic = resourceName as Topic
    const now = new Map(configEntries.map(({ configName, configValue }) => [configName, configValue]))
    const wanted = topicSettings(topic, shape)
    if (Object.entries(wanted).every(([name, value]) => now.get(name) === value)) continue
    // The request replaces all of the topic's own settings: those that are not ours are sent along.
    const own = configEntries.filter(({ configSource }) => Number(configSource) === topicSource)
    const kept = Object.fromEntries(own.map(({ configName, configValue }) => [configName, configValue]))
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: kafkajs.ConfigResourceTypes.TOPIC,
          name: topic,
          configEntries: Object.entries({ ...kept, ...wanted }).map(([name, value]) => ({ name, value })),
        },
      ],
    })
    changed.add(topic)
  }
  return changed
}

/** Kafka's ConfigSource of what was set for one topic. */
const topicSource = 1

/** Registers every topic's schema; those that are registered are left alone. */
export async function applySchemas(registry: Registry): Promise<AppliedSchema[]> {
  const applied: AppliedSchema[] = []
  for (const topic of topicNames) {
    const subject = subjectOf(topic)
    applied.push({ subject, ...(await registry.register(subject, schemaText(topic))) })
  }
  return applied
}

/** A failure of kafkajs as ours: its message says what the broker answered. */
export const kafkaProblem = (error: unknown): ProclabelError =>
  error instanceof ProclabelError
    ? error
    : new ProclabelError('PROCLABEL_BUS', `Kafka: ${(error as Error).message}`, { retryable: true, cause: error })
