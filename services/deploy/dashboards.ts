/**
 * The Grafana dashboards, of which helm/files/dashboards/ holds the JSON: `node services/deploy/dashboards.ts` writes it anew.
 * A test compares the two, and every name with what running services show.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

type Unit = 'short' | 's' | 'bytes' | 'percentunit' | 'pps' | 'Bps' | 'ops'

interface Panel {
  title: string
  /** What it shows and when to worry, for who hovers over it. */
  about: string
  unit: Unit
  /** PromQL by legend. */
  queries: Record<string, string>
  kind?: 'timeseries' | 'stat' | 'bargauge'
  stacked?: true
}

interface Dashboard {
  uid: string
  title: string
  rows: Record<string, Panel[]>
}

const rate = (selector: string, by = '') => `sum${by && ` by (${by})`} (rate(${selector}[$__rate_interval]))`
const quantile = (q: number, histogram: string, by = '') =>
  `histogram_quantile(${q}, sum by (le${by && `, ${by}`}) (rate(${histogram}_bucket[$__rate_interval])))`
const labeled = rate('proclabel_sessions_labeled_total')
const unlabeled = rate('proclabel_sessions_unlabeled_total')

export const dashboards: Record<string, Dashboard> = {
  overview: {
    uid: 'proclabel-overview',
    title: 'proclabel: overview',
    rows: {
      Labels: [
        {
          title: 'Labeled',
          about:
            'Part of the closed sessions that have a label. A drop against yesterday is worth a look at the causes.',
          unit: 'percentunit',
          kind: 'stat',
          queries: { labeled: `${labeled} / (${labeled} + ${unlabeled})` },
        },
        {
          title: 'Sessions closed',
          about: 'By how they ended.',
          unit: 'ops',
          stacked: true,
          queries: { '{{reason}}': rate('proclabel_sessions_closed_total', 'reason') },
        },
        {
          title: 'Open sessions',
          about: 'What the matchers hold in memory, and the hosts whose state they have.',
          unit: 'short',
          queries: { sessions: 'sum(proclabel_sessions_active)', hosts: 'sum(proclabel_matcher_hosts)' },
        },
        {
          title: 'Match rate by stage',
          about: 'Part of all closed sessions that each stage labels. A is the socket itself; the others infer.',
          unit: 'percentunit',
          stacked: true,
          queries: {
            '{{stage}}': `${rate('proclabel_sessions_labeled_total', 'stage')} / on () group_left () (${labeled} + ${unlabeled})`,
          },
        },
        {
          title: 'Confidence',
          about: 'Labeled sessions by how often such labels were right.',
          unit: 'ops',
          stacked: true,
          queries: { '{{confidence_band}}': rate('proclabel_sessions_labeled_total', 'confidence_band') },
        },
        {
          title: 'Top processes',
          about: 'Labeled sessions of the ten busiest programs.',
          unit: 'ops',
          queries: { '{{process}}': `topk(10, ${rate('proclabel_sessions_by_process_total', 'process')})` },
        },
        {
          title: 'Unknown, by cause',
          about:
            'no-agent, agent-gap: see the agents. capture-gap: see the capture. too-short: agents without kernel events.',
          unit: 'ops',
          stacked: true,
          queries: { '{{reason}}': rate('proclabel_sessions_unlabeled_total', 'reason') },
        },
        {
          title: 'From the last packet to the record',
          about: 'It includes the wait for the end of a session.',
          unit: 's',
          queries: {
            median: quantile(0.5, 'proclabel_label_delay_seconds'),
            '99 %': quantile(0.99, 'proclabel_label_delay_seconds'),
          },
        },
        {
          title: 'Told by the resolver',
          about: 'Labels by names learned over all hosts, and sessions that wait for one.',
          unit: 'short',
          queries: {
            'labels a second': rate('proclabel_resolver_resolutions_total'),
            waiting: 'sum(proclabel_resolver_sessions_waiting)',
            'given up': 'sum(proclabel_resolver_sessions_given_up)',
          },
        },
      ],
      Health: [
        {
          title: 'Firing alerts',
          about: 'Of the rules that come with proclabel.',
          unit: 'short',
          kind: 'stat',
          queries: { firing: 'count(ALERTS{alertname=~"Proclabel.*",alertstate="firing"}) or vector(0)' },
        },
        {
          title: 'Running',
          about: 'By service and version.',
          unit: 'short',
          queries: { '{{service}} {{version}}': 'count by (service, version) (proclabel_build_info)' },
        },
        {
          title: 'Processor time',
          about: 'Cores in use, by service.',
          unit: 'short',
          stacked: true,
          queries: {
            '{{service}}': `sum by (service) (rate(process_cpu_seconds_total{service!=""}[$__rate_interval]))`,
          },
        },
        {
          title: 'Memory',
          about: 'Resident, by service.',
          unit: 'bytes',
          stacked: true,
          queries: { '{{service}}': 'sum by (service) (process_resident_memory_bytes{service!=""})' },
        },
      ],
    },
  },
  capture: {
    uid: 'proclabel-capture',
    title: 'proclabel: capture',
    rows: {
      Packets: [
        {
          title: 'Packets',
          about: 'Accepted, filtered out, dropped, cut short.',
          unit: 'pps',
          stacked: true,
          queries: { '{{result}}': rate('proclabel_capture_packets_total', 'result') },
        },
        {
          title: 'On the wire',
          about: 'Bytes of these packets.',
          unit: 'Bps',
          queries: { '{{instance}}': rate('proclabel_capture_bytes_total', 'instance') },
        },
        {
          title: 'Lost by the kernel',
          about: 'Any loss marks the open sessions of that moment; more than 0.1 % costs labels.',
          unit: 'pps',
          queries: { '{{instance}}': rate('proclabel_capture_ring_drops_total', 'instance') },
        },
        {
          title: 'Not decoded',
          about: 'By reason; services/core/decode/ says what each means.',
          unit: 'pps',
          stacked: true,
          queries: { '{{reason}}': rate('proclabel_parse_errors_total', 'reason') },
        },
        {
          title: 'Monitored hosts',
          about: 'Whose addresses the capture knows from their agents.',
          unit: 'short',
          queries: { '{{instance}}': 'proclabel_capture_hosts' },
        },
      ],
      'On the way to Kafka': [
        {
          title: 'Batches published',
          about: 'By captures.',
          unit: 'ops',
          queries: { '{{instance}}': rate('proclabel_events_produced_total{topic="packets"}', 'instance') },
        },
        {
          title: 'Waiting',
          about: 'In memory; on disk while Kafka is away.',
          unit: 'short',
          queries: { '{{instance}}': 'proclabel_produce_queue_messages{service="capture"}' },
        },
        {
          title: 'Spool',
          about: 'How full. At 1 the newest batches are dropped and counted.',
          unit: 'percentunit',
          queries: {
            '{{instance}}': 'proclabel_spool_bytes{service="capture"} / proclabel_spool_limit_bytes{service="capture"}',
          },
        },
      ],
    },
  },
  'kafka-and-redis': {
    uid: 'proclabel-kafka-and-redis',
    title: 'proclabel: Kafka and Redis',
    rows: {
      Kafka: [
        {
          title: 'Behind',
          about: 'Age of the last record that was read. Growing: more matchers, or a faster Redis.',
          unit: 's',
          queries: { '{{service}} {{instance}}': 'max by (service, instance) (proclabel_consumer_lag_seconds)' },
        },
        {
          title: 'Read',
          about: 'Records, by topic.',
          unit: 'ops',
          stacked: true,
          queries: { '{{group}} {{topic}}': `${rate('proclabel_events_consumed_total', 'group, topic')} > 0` },
        },
        {
          title: 'Published',
          about: 'By agents and captures.',
          unit: 'ops',
          stacked: true,
          queries: { '{{topic}}': `${rate('proclabel_events_produced_total', 'topic')} > 0` },
        },
        {
          title: 'Publish attempts that failed',
          about: 'Each is made again; what waits meanwhile goes to the spool.',
          unit: 'ops',
          queries: { '{{service}} {{reason}}': `${rate('proclabel_produce_errors_total', 'service, reason')} > 0` },
        },
        {
          title: 'Until it is acknowledged',
          about: '99 % of publishes.',
          unit: 's',
          queries: { '{{service}}': quantile(0.99, 'proclabel_produce_duration_seconds', 'service') },
        },
        {
          title: 'Shared anew, failed',
          about: 'Rebalances of the groups, and consumers that had to begin again.',
          unit: 'short',
          queries: {
            '{{service}} rebalances':
              'sum by (service) (increase(proclabel_consumer_rebalances_total[$__rate_interval]))',
            '{{service}} crashes': 'sum by (service) (increase(proclabel_consumer_crashes_total[$__rate_interval]))',
          },
        },
        {
          title: 'Repeated and unusable records',
          about: 'Repeated ones are skipped: that is how nothing counts twice. The others are in dead-letters.',
          unit: 'ops',
          queries: {
            'repeated {{topic}}': `${rate('proclabel_dedupe_hits_total', 'topic')} > 0`,
            'dead {{reason}}': `${rate('proclabel_dlq_messages_total', 'reason')} > 0`,
          },
        },
        {
          title: 'Work on a batch',
          about: '99 %, by step.',
          unit: 's',
          queries: { '{{stage}}': quantile(0.99, 'proclabel_batch_processing_duration_seconds', 'stage') },
        },
      ],
      'Redis and registry': [
        {
          title: 'Redis memory',
          about: 'Of what it may use. A full Redis refuses writes, and the matchers wait.',
          unit: 'bytes',
          queries: {
            used: 'max(proclabel_redis_memory_used_bytes)',
            limit: 'max(proclabel_redis_memory_limit_bytes > 0)',
          },
        },
        {
          title: 'Calls',
          about: 'By command and outcome.',
          unit: 'ops',
          queries: {
            '{{command}} {{result}}': rate('proclabel_redis_command_duration_seconds_count', 'command, result'),
          },
        },
        {
          title: 'Time of a call',
          about: '99 %, by command.',
          unit: 's',
          queries: { '{{command}}': quantile(0.99, 'proclabel_redis_command_duration_seconds', 'command') },
        },
        {
          title: 'Writes refused',
          about: 'Another matcher had the host already: some at a rebalance are right, many without one are not.',
          unit: 'ops',
          queries: { fenced: rate('proclabel_matcher_fenced_total') },
        },
        {
          title: 'Questions to the registry',
          about: 'By outcome.',
          unit: 'ops',
          queries: { '{{service}} {{result}}': rate('proclabel_schema_registry_requests_total', 'service, result') },
        },
      ],
    },
  },
  agents: {
    uid: 'proclabel-agents',
    title: 'proclabel: agents',
    rows: {
      Agents: [
        {
          title: 'Silent',
          about:
            'Hosts that are captured and whose agents have said nothing for a minute; `proclabel doctor` names them.',
          unit: 'short',
          kind: 'stat',
          queries: { silent: 'sum(proclabel_matcher_agents_silent)' },
        },
        {
          title: 'How they see sockets',
          about: 'Beside polls: kernel events of one kind or the other; poll where there are none.',
          unit: 'short',
          queries: { '{{mechanism}}': 'sum by (mechanism) (proclabel_agent_mechanism)' },
        },
        {
          title: 'Sockets',
          about: 'In the last poll.',
          unit: 'short',
          queries: { '{{instance}}': 'proclabel_agent_sockets' },
        },
        {
          title: 'Time of a poll',
          about: '99 %; it is what the agent costs its host, twenty times a second.',
          unit: 's',
          queries: { '{{instance}}': quantile(0.99, 'proclabel_agent_poll_duration_seconds', 'instance') },
        },
        {
          title: 'Missed polls',
          about: 'The host was too busy, or asleep.',
          unit: 'ops',
          queries: { '{{instance}}': rate('proclabel_agent_missed_polls_total', 'instance') },
        },
        {
          title: 'Kernel events',
          about: 'Seen, and lost because they were not fetched in time.',
          unit: 'ops',
          queries: {
            'seen {{instance}}': rate('proclabel_agent_socket_events_total', 'instance'),
            'lost {{instance}}': rate('proclabel_agent_socket_events_lost_total', 'instance'),
          },
        },
        {
          title: 'Clocks',
          about: 'How far the clocks of hosts are from that of the capture, 50 % and 99 % of the labeled sessions.',
          unit: 's',
          queries: {
            median: quantile(0.5, 'proclabel_matcher_clock_offset_seconds'),
            '99 %': quantile(0.99, 'proclabel_matcher_clock_offset_seconds'),
          },
        },
        {
          title: 'Spool',
          about: 'How full; the oldest records are dropped at 1.',
          unit: 'percentunit',
          queries: {
            '{{instance}}': 'proclabel_spool_bytes{service="agent"} / proclabel_spool_limit_bytes{service="agent"}',
          },
        },
        {
          title: 'Records given up',
          about: 'By agents and captures.',
          unit: 'ops',
          queries: { '{{service}} {{reason}}': `${rate('proclabel_spool_dropped_total', 'service, reason')} > 0` },
        },
      ],
    },
  },
}

/** All PromQL of a dashboard. */
export const expressionsOf = ({ rows }: Dashboard): string[] =>
  Object.values(rows).flatMap(panels => panels.flatMap(({ queries }) => Object.values(queries)))

const width = 8
const height = 8
const columns = 24 / width

/** The dashboard as Grafana imports it. */
export function toGrafana({ uid, title, rows }: Dashboard): object {
  const panels: object[] = []
  let y = 0
  for (const [row, its] of Object.entries(rows)) {
    panels.push({ type: 'row', title: row, collapsed: false, gridPos: { x: 0, y: y++, w: 24, h: 1 }, panels: [] })
    its.forEach((panel, i) => {
      const gridPos = { x: (i % columns) * width, y: y + Math.floor(i / columns) * height, w: width, h: height }
      panels.push(toPanel(panel, gridPos))
    })
    y += Math.ceil(its.length / columns) * height
  }
  return {
    uid,
    title,
    tags: ['proclabel'],
    editable: true,
    refresh: '30s',
    schemaVersion: 41,
    time: { from: 'now-3h', to: 'now' },
    templating: {
      list: [
        { name: 'DS_PROMETHEUS', label: 'Data source', type: 'datasource', query: 'prometheus', hide: 0, refresh: 1 },
      ],
    },
    links: [{ title: 'proclabel', type: 'dashboards', tags: ['proclabel'], asDropdown: true }],
    panels: panels.map((panel, i) => ({ id: i + 1, ...panel })),
  }
}

function toPanel({ title, about, unit, queries, kind = 'timeseries', stacked }: Panel, gridPos: object): object {
  const datasource = { type: 'prometheus', uid: `\${DS_PROMETHEUS}` }
  const custom = stacked ? { stacking: { mode: 'normal', group: 'A' }, fillOpacity: 30 } : {}
  return {
    type: kind,
    title,
    description: about,
    gridPos,
    datasource,
    fieldConfig: { defaults: { unit, min: 0, custom }, overrides: [] },
    options: kind === 'timeseries' ? { legend: { displayMode: 'list', placement: 'bottom' } } : {},
    targets: Object.entries(queries).map(([legendFormat, expr], i) => ({
      refId: String.fromCharCode(65 + i),
      datasource,
      expr,
      legendFormat,
    })),
  }
}

export const dashboardText = (dashboard: Dashboard): string => `${JSON.stringify(toGrafana(dashboard), null, 2)}\n`

export const dashboardsFolder = fileURLToPath(new URL('../../helm/files/dashboards', import.meta.url))

if (import.meta.main) {
  mkdirSync(dashboardsFolder, { recursive: true })
  for (const [name, dashboard] of Object.entries(dashboards))
    writeFileSync(`${dashboardsFolder}/${name}.json`, dashboardText(dashboard))
}
