import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultConstants } from '#core/constants.ts'
import { codecs, type LabeledSession } from '#schemas'
import type { Batch, Bus, Subscription } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { recordedHosts } from '../e2e/faults/recorded-hosts.ts'
import { runMatcherService } from './main.ts'
import { matcherGroup } from './matcher.ts'

/** The values of a metric's series, by the text of their labels, added up over the labels that are not named. */
function valuesOf(text: string, name: string, label: string): Record<string, number> {
  const values: Record<string, number> = {}
  for (const [, labels, value] of text.matchAll(new RegExp(`^proclabel_${name}\\{(.*)\\} (\\S+)$`, 'gm'))) {
    const of = new RegExp(`${label}="([^"]*)"`).exec(labels!)?.[1] ?? ''
    values[of] = (values[of] ?? 0) + Number(value)
  }
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== 0))
}

/** Commits the matcher's batches when it reads on: this bus takes only so many records that are not committed. */
class CommittingBus extends InProcessBus {
  override subscribe(...all: Parameters<Bus['subscribe']>): Subscription {
    const subscription = super.subscribe(...all)
    if (all[1] !== matcherGroup) return subscription
    let last: Batch | undefined
    async function* batches() {
      for await (const batch of subscription) {
        last = batch
        yield { ...batch, commit: async () => {} }
      }
    }
    const resume = (partition: number) => {
      void last?.commit()
      subscription.resume(partition)
    }
    const seek = subscription.seek.bind(subscription)
    const pause = subscription.pause.bind(subscription)
    return Object.assign(batches(), { seek, pause, resume })
  }
}

const countBy = <T>(all: readonly T[], by: (one: T) => string | null): Record<string, number> =>
  Object.fromEntries(Array.from(Map.groupBy(all, by), ([name, some]) => [name, some.length]))

test('what the metrics count is what was read and told', async t => {
  const bus = new CommittingBus()
  const stop = new AbortController()
  t.after(() => stop.abort())
  const metrics = new PrometheusMetrics('matcher', '0')
  const health = new Health()
  const told: LabeledSession[] = []
  const reading = (async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'test', stop.signal)) {
      for (const { value } of batch.records) told.push(codecs['labeled-sessions'].decode(value!))
      await batch.commit()
    }
  })()
  const running = runMatcherService({
    ...{ bus, store: new MemoryStore(), codecs, prepare: () => undefined, constants: defaultConstants, partitions: 1 },
    ...{ log: createLog('matcher', 'silent'), metrics, health, signal: stop.signal },
  })
  const inputs = await recordedHosts(1)
  const again = inputs.find(({ topic }) => topic === 'packets')!
  const damaged = { ...again, value: again.value.subarray(0, 60) }
  const all = [...inputs, again, damaged, { topic: 'packets', key: 'other', value: again.value } as const]
  for (const { topic, key, value } of all) await bus.publish(topic, [{ key, value }])
  await bus.drained()
  const text = await metrics.text()
  const values = (name: string, label = 'topic') => valuesOf(text, name, label)

  assert.deepEqual(
    values('events_consumed_total'),
    countBy(all, ({ topic }) => topic),
  )
  assert.deepEqual(values('dedupe_hits_total'), { packets: 1 })
  assert.deepEqual(values('dlq_messages_total', 'reason'), { undecodable: 1, 'other-host': 1 })
  assert.deepEqual(values('events_produced_total'), { 'dead-letters': 2, 'labeled-sessions': told.length })
  // The recording is of another day.
  const { hosts: _, ...late } = countBy(all.slice(0, -2), ({ topic }) => topic)
  assert.deepEqual(values('late_events_total'), late)

  const closed = told.filter(({ state }) => state === 'closed')
  const ends = [...Map.groupBy(closed, ({ session_id }) => session_id).values()].map(([first]) => first!)
  assert.ok(ends.length > 50)
  assert.ok(ends.some(({ revision }) => revision > 0))
  assert.deepEqual(
    values('sessions_closed_total', 'reason'),
    countBy(ends, ({ end_reason }) => end_reason),
  )
  assert.deepEqual(
    values('sessions_labeled_total', 'stage'),
    countBy(
      ends.filter(({ stage }) => stage !== null),
      ({ stage }) => stage,
    ),
  )
  assert.deepEqual(
    values('sessions_unlabeled_total', 'reason'),
    countBy(
      ends.filter(({ stage }) => stage === null),
      ({ unknown_cause }) => unknown_cause,
    ),
  )
  const revised = Object.values(values('sessions_revised_total', 'stage')).reduce((sum, count) => sum + count, 0)
  assert.equal(revised, closed.length - ends.length)
  assert.deepEqual(values('label_delay_seconds_count', 'service'), { matcher: ends.length })
  const batches = values('batch_size_messages_count', 'service').matcher!
  assert.deepEqual(values('batch_processing_duration_seconds_count', 'stage'), { apply: batches, write: batches })
  assert.deepEqual(values('batch_size_messages_sum', 'service'), { matcher: all.length })
  assert.deepEqual([values('consumer_lag_messages'), values('consumer_lag_seconds', 'service')], [{}, {}])

  stop.abort()
  await Promise.all([running, reading])
})
