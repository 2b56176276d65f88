import { randomUUID } from 'node:crypto'
import { Kafka, logLevel } from 'kafkajs'
import { patchKafkajs } from './kafkajs-patches.ts'

export function kafkaOf(brokers: readonly string[]): Kafka {
  patchKafkajs()
  return new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { retries: 5 } })
}

/** Creates topics that keep append time, as our input topics do. */
export async function createTopics(
  brokers: readonly string[],
  topics: readonly string[],
  partitions: number,
): Promise<void> {
  const admin = kafkaOf(brokers).admin()
  await admin.connect()
  await admin.createTopics({
    topics: topics.map(topic => ({
      topic,
      numPartitions: partitions,
      configEntries: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }],
    })),
    waitForLeaders: true,
  })
  await admin.disconnect()
}

export const unique = (kind: string): string => `${kind}-${randomUUID()}`

/** Waits until `check` holds; fails after a while, saying what it waited for. */
export async function until(what: string, check: () => boolean, withinMs = 30_000): Promise<void> {
  const end = Date.now() + withinMs
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
