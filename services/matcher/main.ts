import type { MatchConstants } from '#core/constants.ts'
import type { LabeledSession } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { consumerMetrics, matcherMetrics } from '#shared/service-metrics.ts'
import type { Store } from '#shared/store/store.ts'
import { storeLossMs } from '#shared/trailing-commits.ts'
import type { PlausibleTimes } from './host-copy.ts'
import { Matcher, type MatcherOptions, matcherGroup } from './matcher.ts'
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
  const { bus, store, codecs, prepare, hostKeys, constants, partitions, log, signal } = options
  const consumed = consumerMetrics(options.metrics, matcherGroup, partitions)
  const measured = matcherMetrics(options.metrics, unknownCauses)
  const reading = options.health.component('input')
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
    onRecord: record => countSession(measured, record),
    onBatch: ({ records, seconds, fenced }) => {
      reading.progress()
      measured.fenced.add(fenced)
      consumed.batchSize.observe(records.length)
      consumed.batchDuration.observe(seconds, { stage: 'apply' })
      for (const { topic } of records) consumed.consumed.add(1, { topic, group: matcherGroup })
      consumed.lagSeconds.set(Math.max(0, Date.now() - records.at(-1)!.appendMs) / 1000)
      consumed.lastProgress.set(Date.now() / 1000)
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
  reading.ready()
  log.info('reading')
  await matcher.run(signal)
}

function countSession(metrics: ReturnType<typeof matcherMetrics>, record: LabeledSession): void {
  const { state, revision, stage, confidence, end_reason, unknown_cause, last_us } = record
  if (state !== 'closed') return
  if (end_reason !== null && revision === 0) metrics.closed.add(1, { reason: end_reason })
  if (stage !== null) metrics.labeled.add(1, { stage, confidence_band: confidenceBand(stage, confidence) })
  else if (unknown_cause !== null) metrics.unlabeled.add(1, { reason: unknown_cause })
  const offsetUs = record.evidence?.clock_offset_us ?? null
  if (revision === 0 && offsetUs !== null) metrics.clockOffset.observe(Math.abs(offsetUs) / 1e6)
  if (revision === 0) metrics.delay.observe(Math.max(0, Date.now() / 1000 - last_us / 1e6))
}

function confidenceBand(stage: LabeledSession['stage'], confidence: number | null): string {
  if (stage === 'A') return 'exact'
  if (confidence === null) return 'unknown'
  return confidence >= 0.95 ? 'high' : confidence >= 0.9 ? 'medium' : 'low'
}
