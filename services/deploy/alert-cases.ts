/** For each alert: series with which it fires, and series close to these with which it does not. As `promtool test rules` has them. */

export interface AlertCase {
  alert: string
  fires: Record<string, string>
  quiet: Record<string, string>
  /** When it is looked at; series have a value a minute. */
  minute?: number
}

const hour = 60
const day = 24 * hour
const matcher = 'service="matcher",instance="m"'
const capture = 'service="capture",instance="c"'
const flat = (value: number) => `${value}x60`
const growing = (step: number) => `0+${step}x60`
const sessions = (unlabeledToday: number) => ({
  'proclabel_sessions_unlabeled_total{reason="no-agent"}': `0+1x${day} ${day + unlabeledToday}+${unlabeledToday}x120`,
  'proclabel_sessions_labeled_total{stage="A"}': `0+9x${day + 120}`,
  'proclabel_sessions_closed_total{reason="fin"}': `0+10x${day + 120}`,
})
const clocks = (within: number) => ({
  'proclabel_matcher_clock_offset_seconds_bucket{le="2"}': growing(within),
  'proclabel_matcher_clock_offset_seconds_bucket{le="+Inf"}': growing(100),
  proclabel_matcher_clock_offset_seconds_count: growing(100),
})
const published = { 'proclabel_events_produced_total{topic="packets"}': growing(60) }
const consumed = 'proclabel_events_consumed_total{topic="packets",group="matcher"}'

export const alertCases: readonly AlertCase[] = [
  {
    alert: 'ProclabelServiceDown',
    fires: { 'up{job="proclabel-matcher",instance="m"}': flat(0) },
    quiet: { 'up{job="proclabel-matcher",instance="m"}': flat(1), 'up{job="other",instance="o"}': flat(0) },
  },
  {
    alert: 'ProclabelLag',
    fires: { [`proclabel_consumer_lag_seconds{${matcher}}`]: flat(90) },
    quiet: { [`proclabel_consumer_lag_seconds{${matcher}}`]: flat(50) },
  },
  {
    alert: 'ProclabelNoProgress',
    fires: { ...published, [consumed]: flat(1000) },
    quiet: { ...published, [consumed]: growing(60) },
  },
  {
    alert: 'ProclabelConsumerCrashes',
    fires: { [`proclabel_consumer_crashes_total{${matcher}}`]: growing(1) },
    quiet: { [`proclabel_consumer_crashes_total{${matcher}}`]: flat(7) },
  },
  {
    alert: 'ProclabelRebalanceStorm',
    fires: { [`proclabel_consumer_rebalances_total{${matcher}}`]: growing(1) },
    quiet: { [`proclabel_consumer_rebalances_total{${matcher}}`]: '0x25 1x40' },
  },
  {
    alert: 'ProclabelCaptureDrops',
    fires: {
      [`proclabel_capture_ring_drops_total{${capture}}`]: growing(2),
      [`proclabel_capture_packets_total{${capture},result="accepted"}`]: growing(1000),
    },
    quiet: {
      [`proclabel_capture_ring_drops_total{${capture}}`]: growing(2),
      [`proclabel_capture_packets_total{${capture},result="accepted"}`]: growing(10_000),
    },
  },
  {
    alert: 'ProclabelRecordsDropped',
    fires: { [`proclabel_spool_dropped_total{${capture},reason="spool-full"}`]: growing(1) },
    quiet: { [`proclabel_spool_dropped_total{${capture},reason="spool-full"}`]: flat(1) },
  },
  {
    alert: 'ProclabelSpoolFilling',
    fires: {
      [`proclabel_spool_bytes{${capture}}`]: flat(60),
      [`proclabel_spool_limit_bytes{${capture}}`]: flat(100),
    },
    quiet: {
      [`proclabel_spool_bytes{${capture}}`]: flat(40),
      [`proclabel_spool_limit_bytes{${capture}}`]: flat(100),
    },
  },
  {
    alert: 'ProclabelDeadLetters',
    fires: { [`proclabel_dlq_messages_total{${matcher},reason="undecodable"}`]: growing(1) },
    quiet: { [`proclabel_dlq_messages_total{${matcher},reason="undecodable"}`]: flat(3) },
  },
  { alert: 'ProclabelUnlabeledShift', fires: sessions(4), quiet: sessions(1), minute: day + 100 },
  { alert: 'ProclabelClockOffset', fires: clocks(90), quiet: clocks(100), minute: 40 },
  {
    alert: 'ProclabelAgentSilent',
    fires: { [`proclabel_matcher_agents_silent{${matcher}}`]: flat(1) },
    quiet: { [`proclabel_matcher_agents_silent{${matcher}}`]: flat(0) },
  },
  {
    alert: 'ProclabelAgentLosesEvents',
    fires: { 'proclabel_agent_socket_events_lost_total{instance="a"}': growing(5) },
    quiet: { 'proclabel_agent_socket_events_lost_total{instance="a"}': flat(5) },
  },
  {
    alert: 'ProclabelRedisMemory',
    fires: {
      [`proclabel_redis_memory_used_bytes{${matcher}}`]: flat(90),
      [`proclabel_redis_memory_limit_bytes{${matcher}}`]: flat(100),
    },
    quiet: {
      [`proclabel_redis_memory_used_bytes{${matcher}}`]: flat(90),
      [`proclabel_redis_memory_limit_bytes{${matcher}}`]: flat(0),
    },
  },
  {
    alert: 'ProclabelRedisErrors',
    fires: { [`proclabel_redis_command_duration_seconds_count{${matcher},result="error"}`]: growing(1) },
    quiet: { [`proclabel_redis_command_duration_seconds_count{${matcher},result="ok"}`]: growing(100) },
  },
  {
    alert: 'ProclabelRegistryErrors',
    fires: { [`proclabel_schema_registry_requests_total{${matcher},result="error"}`]: growing(1) },
    quiet: { [`proclabel_schema_registry_requests_total{${matcher},result="error"}`]: flat(9) },
  },
  {
    alert: 'ProclabelEventLoop',
    fires: { [`nodejs_eventloop_lag_p99_seconds{${matcher}}`]: flat(0.8) },
    quiet: { [`nodejs_eventloop_lag_p99_seconds{${matcher}}`]: flat(0.1) },
  },
]

/** All cases as one file for `promtool test rules`; JSON is YAML. */
export const promtoolTests = (rulesFile: string): object => ({
  rule_files: [rulesFile],
  evaluation_interval: '1m',
  tests: alertCases.flatMap(({ alert, fires, quiet, minute = 20 }) =>
    [
      { series: fires, firing: 1 },
      { series: quiet, firing: 0 },
    ].map(({ series, firing }) => ({
      interval: '1m',
      name: `${alert} ${firing === 1 ? 'fires' : 'is quiet'}`,
      input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: [
        {
          expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
          eval_time: `${minute}m`,
          exp_samples: [{ labels: '{}', value: firing }],
        },
      ],
    })),
  ),
})
