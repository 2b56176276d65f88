import { loadNative } from '#native'
import { codecs as checkedInCodecs, partitionKey, type TopicRecord } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { Outgoing, type OutgoingStatistics } from '#shared/outgoing.ts'
import { agentMetrics, producerMetrics } from '#shared/service-metrics.ts'
import { Spool } from '#shared/spool.ts'
import { type AgentStatistics, type AgentTopic, runAgent } from './agent.ts'
import type { OpenedEvents } from './event-source.ts'
import type { Privacy } from './privacy.ts'
import type { SocketReading, SocketSource } from './socket-source.ts'

export interface AgentServiceOptions {
  bus: Pick<Bus, 'publish'>
  source: SocketSource
  /** Kernel events; polls alone where there are none. */
  events?: OpenedEvents | undefined
  hostId: string
  pollPeriodMs: number
  /** As of runAgent. */
  calmPollPeriodMs?: number | undefined
  maxCpuShare?: number | undefined
  maxMemoryBytes?: number | undefined
  /** What is left out of all records; nothing when not given. */
  privacy?: Privacy | undefined
  /** Where records wait while the bus is away; the oldest are dropped when there are more bytes than that. */
  spool: { folder: string; maxBytes: number }
  log: Log
  metrics: Metrics
  health: Health
  /** Ends the run. */
  signal: AbortSignal
  /** Those of the registry's schema ids; of the checked-in schemas when not given. */
  codecs?: Pick<typeof checkedInCodecs, AgentTopic>
}

/** When all that runs once has run. */
const startedMs = 10_000
/** How long the last records may take to get to the bus before they are left in the spool. */
const graceMs = 5000

/**
 * The agent as a service: polls until `signal` aborts, and publishes over a spool, so that a bus that is away costs nothing
 * but delay. Rejects when the sockets cannot be read; closes the source in any case.
 */
export async function runAgentService(
  options: AgentServiceOptions,
): Promise<{ agent: AgentStatistics; outgoing: OutgoingStatistics }> {
  const { bus, source, hostId, log, signal, codecs = checkedInCodecs } = options
  const metrics = agentMetrics(options.metrics)
  const polling = options.health.component('polls')
  const spool = await Spool.open({ ...options.spool, whenFull: 'drop-oldest', log })
  const outgoing = new Outgoing({
    bus,
    spool,
    log,
    metrics: producerMetrics(options.metrics),
    health: options.health.component('bus'),
  })
  const publish = <T extends AgentTopic>(topic: T, record: TopicRecord<T>): boolean => {
    const encode = codecs[topic].encode as (record: TopicRecord<T>) => Buffer
    return outgoing.send(topic, partitionKey(record.host_id), encode(record))
  }
  const events = options.events?.source ?? null
  let before = { missedPolls: 0, events: 0, lostEvents: 0 }
  const onProgress = (statistics: Readonly<AgentStatistics>) => {
    const { missedPolls, events, lostEvents } = statistics
    metrics.sockets.set(statistics.sockets)
    metrics.processes.set(statistics.processes)
    metrics.pollPeriod.set(statistics.pollPeriodMs / 1000)
    metrics.missedPolls.add(missedPolls - before.missedPolls)
    metrics.events.add(events - before.events)
    metrics.lostEvents.add(lostEvents - before.lostEvents)
    if (lostEvents > before.lostEvents) log.warn({ lost: lostEvents - before.lostEvents }, 'kernel events were lost')
    before = { missedPolls, events, lostEvents }
  }
  metrics.mechanism.set(1, { mechanism: events?.mechanism ?? 'poll' })
  const onPoll = ({ durationUs }: SocketReading) => {
    metrics.pollDuration.observe(durationUs / 1e6)
    polling.progress()
  }
  if (source.restriction) log.warn({ restriction: source.restriction }, 'not all owners can be seen')
  for (const refusal of options.events?.refusals ?? []) log.warn({ refusal }, 'no kernel events this way')
  const mechanism = events?.mechanism ?? 'poll'
  log.info({ host_id: hostId, poll_period_ms: options.pollPeriodMs, mechanism }, 'polling sockets')
  const started = setTimeout(() => loadNative().releaseStartupMemory(), startedMs)
  polling.ready()
  polling.waiting(true)
  try {
    const { pollPeriodMs, calmPollPeriodMs, maxCpuShare, maxMemoryBytes, privacy } = options
    const limits = { pollPeriodMs, calmPollPeriodMs, maxCpuShare, maxMemoryBytes }
    const agent = await runAgent({ source, events, publish, signal, hostId, ...limits, privacy, onPoll, onProgress })
    return { agent, outgoing: outgoing.statistics }
  } finally {
    clearTimeout(started)
    polling.waiting(false)
    await outgoing.close(graceMs)
  }
}
