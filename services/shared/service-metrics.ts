/** The metrics of the services, by who measures them: one list, so that alerts and dashboards find every name here. */
import { topics } from '#schemas'
import { delayBuckets, durationBuckets, type Metrics, sizeBuckets } from './metrics.ts'

const topic = Object.keys(topics)
const partitionLabels = (count: number) => Array.from({ length: count }, (_, partition) => String(partition))
const result = ['ok', 'error']

/** Why a record is given up before it was published. */
export const dropReasons = [
  /** Memory is full, and there is no spool. */
  'queue-full',
  /** The newest do not fit, or the oldest make room for them. */
  'spool-full',
  'disk-full',
  /** The spool cannot be written. */
  'disk-error',
  /** The producer was stopped, and the spool did not take them. */
  'stopped',
  /** The bus never takes such a record. */
  'not-accepted',
  /** On disk: the end of a segment is not whole, the rest of one cannot be read. */
  'torn',
  'unreadable',
] as const
export type DropReason = (typeof dropReasons)[number]

export type PublishMetrics = ReturnType<typeof publishMetrics>
/** What a service publishes. */
export const publishMetrics = (metrics: Metrics) => ({
  produced: metrics.counter({ name: 'events_produced_total', help: 'Records that the bus took', labels: { topic } }),
  errors: metrics.counter({
    name: 'produce_errors_total',
    help: 'Publish attempts that failed',
    labels: { topic, reason: ['unavailable', 'refused'] },
  }),
  duration: metrics.histogram({
    name: 'produce_duration_seconds',
    help: 'From publishing to the acknowledgement',
    labels: { topic },
    buckets: durationBuckets,
  }),
})

export type ProducerMetrics = ReturnType<typeof producerMetrics>
/** The same of a producer, with what waits to be published. */
export const producerMetrics = (metrics: Metrics) => ({
  ...publishMetrics(metrics),
  queued: metrics.gauge({ name: 'produce_queue_messages', help: 'Records that wait in memory to be published' }),
  spoolLimit: metrics.gauge({ name: 'spool_limit_bytes', help: 'Bytes that may wait on disk' }),
  spooled: metrics.gauge({ name: 'spool_bytes', help: 'Bytes that wait on disk to be published' }),
  dropped: metrics.counter({
    name: 'spool_dropped_total',
    help: 'Records given up before they were published',
    labels: { topic, reason: dropReasons },
  }),
})

/** Why a record cannot be used. */
export const deadLetterReasons = [
  'undecodable',
  'wire-format',
  'unknown-schema-id',
  'damaged',
  'other-host',
  'host-id-too-long',
  'implausible-time',
  /** Its host did not sign it. */
  'host-unknown',
  'unsigned',
  'forged',
] as const

export type ConsumerMetrics = ReturnType<typeof consumerMetrics>
/** What a service reads; `partitions` of each of the group's topics. */
export const consumerMetrics = (metrics: Metrics, group: string, topics: readonly string[], partitions: number) => {
  const topic = topics
  const where = { topic, partition: partitionLabels(partitions), group: [group] }
  return {
    consumed: metrics.counter({
      name: 'events_consumed_total',
      help: 'Records read',
      labels: { topic, group: [group] },
    }),
    batchDuration: metrics.histogram({
      name: 'batch_processing_duration_seconds',
      help: 'Work on one batch',
      labels: { stage: ['apply', 'write'] },
      buckets: durationBuckets,
    }),
    batchSize: metrics.histogram({ name: 'batch_size_messages', help: 'Records in a batch', buckets: sizeBuckets }),
    lagMessages: metrics.gauge({
      name: 'consumer_lag_messages',
      help: 'Records not read yet, as of the last fetch',
      labels: where,
    }),
    lagSeconds: metrics.gauge({
      name: 'consumer_lag_seconds',
      help: 'How long ago the bus took in the oldest record that was not read; 0 when all were',
    }),
    rebalances: metrics.counter({
      name: 'consumer_rebalances_total',
      help: 'Times the group shared its partitions anew',
    }),
    crashes: metrics.counter({
      name: 'consumer_crashes_total',
      help: 'Times the consumer failed',
      labels: { restart: ['true', 'false'] },
    }),
    lastProgress: metrics.gauge({
      name: 'consumer_last_progress_timestamp_seconds',
      help: 'When work on a batch was last done',
    }),
    deadLetters: metrics.counter({
      name: 'dlq_messages_total',
      help: 'Records nobody could use',
      labels: { reason: deadLetterReasons },
    }),
    repeated: metrics.counter({
      name: 'dedupe_hits_total',
      help: 'Records seen before and skipped',
      labels: { topic },
    }),
    late: metrics.counter({
      name: 'late_events_total',
      help: 'Records that came longer after their time than sessions wait for them',
      labels: { topic },
    }),
  }
}

/** Why a packet is not in its host's capture file. */
export const fileDropReasons = [
  /** Too much waited to be written. */
  'queue-full',
  /** The files that are open have the size that all may have. */
  'quota',
  'disk-error',
] as const
export type FileDropReason = (typeof fileDropReasons)[number]

/** What became of a packet. */
export const packetResults = [
  'accepted',
  /** It concerns no monitored host. */
  'filtered',
  /** A copy of one that was seen just before. */
  'duplicate',
  /** It could not be decoded, or waits for the first fragment of its datagram. */
  'malformed',
  /** Lost before we had it: in the kernel, or because we did not fetch it in time. */
  'kernel-dropped',
  'queue-dropped',
] as const

export type CaptureMetrics = ReturnType<typeof captureMetrics>
/** `interfaceName` is the one this process listens on; `reasons` are those of the frame decoder. */
export const captureMetrics = (metrics: Metrics, interfaceName: string, reasons: readonly string[]) => ({
  packets: metrics.counter({
    name: 'capture_packets_total',
    help: 'Packets of the mirror port, each with one result; parse_errors_total has the malformed ones by reason',
    labels: { interface: [interfaceName], result: packetResults },
  }),
  recordsDropped: metrics.counter({
    name: 'capture_records_dropped_total',
    help: 'Accepted packets in batches that were given up before they were published, once for each host',
  }),
  bytes: metrics.counter({ name: 'capture_bytes_total', help: 'Bytes of these packets on the wire' }),
  ringDrops: metrics.counter({
    name: 'capture_ring_drops_total',
    help: 'Packets the kernel dropped before we read them',
  }),
  parseErrors: metrics.counter({
    name: 'parse_errors_total',
    help: 'Frames that could not be decoded',
    labels: { reason: reasons },
  }),
  hostsRefused: metrics.counter({
    name: 'capture_host_records_refused_total',
    help: 'Host records that their host did not sign',
  }),
  filePackets: metrics.counter({
    name: 'capture_file_packets_total',
    help: "Packets for the hosts' capture files",
    labels: { result: ['written', ...fileDropReasons] },
  }),
  fileBytes: metrics.gauge({ name: 'capture_file_bytes', help: "Bytes of the hosts' capture files" }),
  hosts: metrics.gauge({ name: 'capture_hosts', help: 'Hosts that are monitored' }),
})

export type AgentMetrics = ReturnType<typeof agentMetrics>
export const agentMetrics = (metrics: Metrics) => ({
  pollDuration: metrics.histogram({
    name: 'agent_poll_duration_seconds',
    help: 'Reading the socket table with its owners',
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25],
  }),
  missedPolls: metrics.counter({ name: 'agent_missed_polls_total', help: 'Polls that came too late to be made' }),
  sockets: metrics.gauge({ name: 'agent_sockets', help: 'Sockets in the last poll' }),
  processes: metrics.gauge({ name: 'agent_processes', help: 'Processes that own them, or did not long ago' }),
  pollPeriod: metrics.gauge({ name: 'agent_poll_period_seconds', help: 'Time between two polls by now' }),
  events: metrics.counter({ name: 'agent_socket_events_total', help: 'Events of sockets and processes' }),
  lostEvents: metrics.counter({
    name: 'agent_socket_events_lost_total',
    help: 'Events that the system dropped because they were not fetched in time',
  }),
  mechanism: metrics.gauge({
    name: 'agent_mechanism',
    help: '1 for the way by which sockets are seen beside polls; poll where there is none',
    labels: { mechanism: ['ebpf', 'tracepoint', 'etw', 'poll'] },
  }),
})

const stages = ['A', 'A2', 'B', 'C', 'D', 'F', 'N']

export type MatcherMetrics = ReturnType<typeof matcherMetrics>
/** `causes` are the unknown causes of the matching core. */
export const matcherMetrics = (metrics: Metrics, causes: readonly string[]) => ({
  hosts: metrics.gauge({ name: 'matcher_hosts', help: 'Hosts whose working copy is in memory' }),
  active: metrics.gauge({ name: 'sessions_active', help: 'Sessions in memory: open, or just ended' }),
  closed: metrics.counter({
    name: 'sessions_closed_total',
    help: 'Sessions that ended',
    labels: { reason: ['fin', 'rst', 'idle', 'reuse', 'shutdown'] },
  }),
  labeled: metrics.counter({
    name: 'sessions_labeled_total',
    help: 'Closed sessions with a label, when they were first told closed',
    labels: {
      stage: stages,
      confidence_band: ['exact', 'high', 'medium', 'low', 'unknown'],
    },
  }),
  byProcess: metrics.counter({
    name: 'sessions_by_process_total',
    help: 'Closed sessions with a label, by their program; of many programs the first hundred',
    labels: { process: { first: 100 } },
  }),
  unlabeled: metrics.counter({
    name: 'sessions_unlabeled_total',
    help: 'Closed sessions without a label, when they were first told closed',
    labels: { reason: causes },
  }),
  revised: metrics.counter({
    name: 'sessions_revised_total',
    help: 'Closed sessions told once more, by the stage of their label by then',
    labels: { stage: [...stages, 'none'] },
  }),
  delay: metrics.histogram({
    name: 'label_delay_seconds',
    help: "From a session's last packet to the first record that tells it closed",
    buckets: delayBuckets,
  }),
  clockOffset: metrics.histogram({
    name: 'matcher_clock_offset_seconds',
    help: 'How far the clock of the host was from that of the capture, by labeled session',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60],
  }),
  silentAgents: metrics.gauge({
    name: 'matcher_agents_silent',
    help: 'Hosts whose capture speaks and whose agent has not for over a minute',
  }),
  fenced: metrics.counter({ name: 'matcher_fenced_total', help: 'Writes refused because another matcher had written' }),
})

export type ResolverMetrics = ReturnType<typeof resolverMetrics>
export const resolverMetrics = (metrics: Metrics) => ({
  waiting: metrics.gauge({ name: 'resolver_sessions_waiting', help: 'Sessions without label that names may tell' }),
  resolved: metrics.counter({
    name: 'resolver_resolutions_total',
    help: 'Labels told to the matcher, repeated ones too',
  }),
  givenUp: metrics.gauge({
    name: 'resolver_sessions_given_up',
    help: 'Sessions given up for want of room, in the partitions at hand',
  }),
})

export type StoreMetrics = ReturnType<typeof storeMetrics>
export const storeMetrics = (metrics: Metrics) => ({
  duration: metrics.histogram({
    name: 'redis_command_duration_seconds',
    help: 'Calls of the store',
    labels: { command: ['load', 'save', 'acknowledge'], result },
    buckets: durationBuckets,
  }),
  usedBytes: metrics.gauge({
    name: 'redis_memory_used_bytes',
    help: 'Memory that Redis uses; the fullest node of a cluster',
  }),
  limitBytes: metrics.gauge({
    name: 'redis_memory_limit_bytes',
    help: 'Memory that it may use; 0 where it has no limit',
  }),
})

export type RegistryMetrics = ReturnType<typeof registryMetrics>
export const registryMetrics = (metrics: Metrics) => ({
  requests: metrics.counter({
    name: 'schema_registry_requests_total',
    help: 'Questions to the schema registry',
    labels: { operation: ['id', 'schema'], result: ['ok', 'not-found', 'error'] },
  }),
})
