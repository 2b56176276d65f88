import type { Topic } from '#schemas'
import type { Headers } from '#shared/bus/bus.ts'
import type { KafkaBus } from '#shared/bus/kafka.ts'
import { unique } from '#shared/bus/kafka-fixture.ts'
import type { RecordedInput } from '../../embedded/recording-fixture.ts'
import type { Services } from './services.ts'

/** All that topics hold by now, partitions one after the other, each in the order in which a matcher is to read it. */
export async function readTopics(
  services: Services,
  bus: KafkaBus,
  topics: readonly Topic[],
): Promise<{ partition: number; input: RecordedInput; headers: Headers | undefined }[]> {
  const ends = await services.withAdmin(admin => Promise.all(topics.map(topic => admin.fetchTopicOffsets(topic))))
  let left = ends.flat().reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0)
  const found: Awaited<ReturnType<typeof readTopics>> = []
  const stop = new AbortController()
  for await (const batch of bus.subscribe(topics, unique('proof'), stop.signal)) {
    for (const { topic, key, value, headers } of batch.records)
      found.push({ partition: batch.partition, input: { topic: topic as Topic, key, value: value as Buffer }, headers })
    left -= batch.records.length
    if (left <= 0) break
  }
  return found.sort((a, b) => a.partition - b.partition)
}
