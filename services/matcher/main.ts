import type { MatchConstants } from '#core/constants.ts'
import type { LabeledSession } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import { measuredBus } from '#shared/bus/measured-bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { watchReader } from '#shared/reader-watch.ts'
import { consumerMetrics, type MatcherMetrics, matcherMetrics, publishMetrics } from '#shared/service-metrics.ts'
import type { Store } from '#shared/store/store.ts'
import { storeLossMs } from '#shared/trailing-commits.ts'
import type { PlausibleTimes } from './host-copy.ts'
import { inputTopics, Matcher, type MatcherOptions, matcherGroup } from './matcher.ts'
import { SilentAgents } from './silent-agents.ts'

const unknownCauses: readonly NonNullable<LabeledSession['unknown_cause']>[] = [
  'no-agent',
  'agent-gap',
  'capture-gap',
  'too-short',
  'ambiguous',
  'nat',
  'kernel',
  'refused',
  'not-tcp-udp',
  'no-socket',
]

/** How often silent agents are counted: it looks at every host. */
const countAgentsMs = 5000

/** From 2000 to a day ahead of the broker's clock: no host's clock is farther off, so such a record is damaged. */
const plausible: PlausibleTimes = { fromUs: Date.UTC(2000, 0) * 1000, aheadUs: 86_400_000_000 }

export interface MatcherServiceOptions {
  bus: Bus
  store: Store
  /** As in MatcherOptions. */
  codecs: MatcherOptions['codecs']
  prepare: MatcherOptions['prepare']
  hostKeys?: MatcherOptions['hostKeys']
  constants: MatchConstants
  /** Partition count of the input topics, for the metrics. */
  partitions: number
  log: Log
  metrics: Metrics
  health: Health
  /** Ends the run. */
  signal: AbortSignal
}

/** The matcher as a service: reads until `signal` aborts. Rejects when bus or store have failed for good. */
export async function runMatcherService(options: MatcherServiceOptions): Promise<void> {
  const { store, codecs, prepare, hostKeys, constants, partitions, log, metrics, health, signal } = options
  const bus = measuredBus(options.bus, publishMetrics(metrics), health.component('bus'))
  const consumed = consumerMetrics(metrics, matcherGroup, [...inputTopics, 'resolutions'], partitions)
  const measured = matcherMetrics(metrics, unknownCauses)
  const done = watchReader({ bus, group: matcherGroup, metrics, consumed, health, signal })
  const agents = new SilentAgents()
  let agentsCountedMs = 0
  const matcher = new Matcher({
    bus,
    store,
    codecs,
    prepare,
    hostKeys,
    constants,
    provisional: true,
    persistent: true,
    plausible,
    commitLagMs: storeLossMs,
    hasResolver: true,
    onRecord: (record, isEnd) => countSession(measured, record, isEnd),
    onLate: topic => consumed.late.add(1, { topic }),
    onBatch: ({ records, applySeconds, writeSeconds, fenced }) => {
      done()
      measured.fenced.add(fenced)
      consumed.batchSize.observe(records.length)
      consumed.batchDuration.observe(applySeconds, { stage: 'apply' })
      consumed.batchDuration.observe(writeSeconds, { stage: 'write' })
      for (const { topic } of records) consumed.consumed.add(1, { topic, group: matcherGroup })
      agents.hear(records)
      const nowMs = records.at(-1)!.appendMs
      if (Math.abs(nowMs - agentsCountedMs) > countAgentsMs) {
        agentsCountedMs = nowMs
        measured.silentAgents.set(agents.count(nowMs))
      }
      measured.hosts.set(matcher.hosts)
      measured.active.set(matcher.size)
    },
    onFate: (topic, fate) => {
      if (fate === 'repeated') consumed.repeated.add(1, { topic })
      else if (fate !== 'applied' && fate !== 'tombstone') consumed.deadLetters.add(1, { reason: fate })
    },
  })
  log.info('reading')
  await matcher.run(signal)
}

function countSession(metrics: MatcherMetrics, record: LabeledSession, isEnd: boolean): void {
  const { state, label, stage, confidence, end_reason, unknown_cause, last_us } = record
  if (state !== 'closed') return
  if (!isEnd) {
    metrics.revised.add(1, { stage: stage ?? 'none' })
    return
  }
  if (end_reason !== null) metrics.closed.add(1, { reason: end_reason })
  if (stage !== null) metrics.labeled.add(1, { stage, confidence_band: confidenceBand(stage, confidence) })
  else if (unknown_cause !== null) metrics.unlabeled.add(1, { reason: unknown_cause })
  if (label !== null) metrics.byProcess.add(1, { process: label.process })
  const offsetUs = record.evidence?.clock_offset_us ?? null
  if (offsetUs !== null) metrics.clockOffset.observe(Math.abs(offsetUs) / 1e6)
  metrics.delay.observe(Math.max(0, Date.now() / 1000 - last_us / 1e6))
}

function confidenceBand(stage: LabeledSession['stage'], confidence: number | null): string {
  if (stage === 'A') return 'exact'
  if (confidence === null) return 'unknown'
  return confidence >= 0.95 ? 'high' : confidence >= 0.9 ? 'medium' : 'low'
}
