import type { Topic } from '#schemas'
import type { Headers } from '#shared/bus/bus.ts'
import type { KafkaBus } from '#shared/bus/kafka.ts'
import { unique } from '#shared/bus/kafka-fixture.ts'
import type { RecordedInput } from '../../embedded/recording-fixture.ts'
import type { Services } from './services.ts'

export interface ReadRecord {
  partition: number
  input: RecordedInput
  headers: Headers | undefined
}

/** How many records topics hold by now. */
export async function countRecords(services: Services, topics: readonly Topic[]): Promise<number> {
  const ends = await services.withAdmin(admin => Promise.all(topics.map(topic => admin.fetchTopicOffsets(topic))))
  return ends.flat().reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0)
}

/** All that topics hold by now, each partition in the order in which a matcher is to read it. */
export async function* eachRecord(
  services: Services,
  bus: KafkaBus,
  topics: readonly Topic[],
): AsyncGenerator<ReadRecord> {
  let left = await countRecords(services, topics)
  if (left === 0) return
  const stop = new AbortController()
  for await (const batch of bus.subscribe(topics, unique('proof'), stop.signal)) {
    for (const { topic, key, value, headers } of batch.records)
      yield { partition: batch.partition, input: { topic: topic as Topic, key, value: value as Buffer }, headers }
    left -= batch.records.length
    if (left <= 0) break
  }
}

/** The same, partitions one after the other. */
export async function readTopics(services: Services, bus: KafkaBus, topics: readonly Topic[]): Promise<ReadRecord[]> {
  const found: ReadRecord[] = []
  for await (const record of eachRecord(services, bus, topics)) found.push(record)
  return found.sort((a, b) => a.partition - b.partition)
}
