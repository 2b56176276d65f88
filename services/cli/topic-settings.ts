import { type Topic, topics } from '#schemas'

export interface TopicShape {
  partitions: number
  replication: number
}

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** Sessions may be judged again for a day, and a lost store is rebuilt from what is here. */
const inputRetention = { 'cleanup.policy': 'delete', 'retention.ms': String(dayMs) }
/** Readers merge the topics by the time at which the broker took a record: no host's clock decides. */
const appendTime = { 'message.timestamp.type': 'LogAppendTime' }
/** The broker compresses what producers do not: small records of many keys gain nothing one by one. */
const zstd = { 'compression.type': 'zstd' }

/** What a record may be at most is for producers to decide: a keyframe of 50,000 sockets has 0.6 MB compressed. */
const largeRecords = { 'max.message.bytes': String(17 << 20) }

/** What each topic has apart from the broker's defaults. */
const settings: Record<Topic, Record<string, string>> = {
  hosts: { ...appendTime, 'cleanup.policy': 'compact' },
  'socket-snapshots': { ...appendTime, ...zstd, ...inputRetention, ...largeRecords },
  'socket-events': { ...appendTime, ...zstd, ...inputRetention },
  packets: { ...appendTime, ...zstd, ...inputRetention },
  resolutions: { ...appendTime, ...inputRetention },
  'labeled-sessions': {
    ...appendTime,
    ...zstd,
    'cleanup.policy': 'compact,delete',
    'retention.ms': String(30 * dayMs),
  },
  'dead-letters': { ...appendTime, ...zstd, 'cleanup.policy': 'delete', 'retention.ms': String(14 * dayMs) },
}

export const topicNames = Object.keys(topics) as Topic[]

/** With three replicas, one broker may be away without a record being refused, and none is acknowledged by one alone. */
export const topicSettings = (topic: Topic, { replication }: TopicShape): Record<string, string> => ({
  ...settings[topic],
  'min.insync.replicas': String(Math.max(1, replication - 1)),
})
