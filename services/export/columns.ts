import type { FinerLabel } from './finer-label.ts'
import type { TableSession } from './table-session.ts'

/** What goes beside a session into a table. */
export interface Beside {
  finer: FinerLabel
  /** Payload behind TCP and UDP headers, in the order of the packets, both directions; null where there is none. */
  payload: Uint8Array | null
}

export type Value = string | number | boolean | null | Uint8Array | number[]

/** One column of a flat table; an array is one value of a `list` column. */
export interface Column {
  name: string
  /** TIMESTAMP is microseconds since the epoch, UTC. */
  type: 'STRING' | 'INT32' | 'INT64' | 'DOUBLE' | 'BOOLEAN' | 'TIMESTAMP' | 'BYTES'
  nullable: boolean
  list: boolean
  of: (session: TableSession, beside: Beside) => Value
}

type Of = Column['of']
const column = (name: string, type: Column['type'], of: Of): Column => ({
  name,
  type,
  nullable: false,
  list: false,
  of,
})
const optional = (name: string, type: Column['type'], of: Of): Column => ({ ...column(name, type, of), nullable: true })
const list = (name: string, type: Column['type'], of: Of): Column => ({ ...column(name, type, of), list: true })

/** Gaps fit 32 bits but for those beyond 35 minutes, which are given as the largest that do. */
const mostGapUs = 0x7fff_ffff

/** The same list where nothing is beyond. */
function clamped(gapsUs: number[]): number[] {
  const fits = (gapUs: number) => gapUs <= mostGapUs
  return gapsUs.every(fits) ? gapsUs : gapsUs.map(gapUs => Math.min(gapUs, mostGapUs))
}

/**
 * The table of sessions: the fields of labeled-session.avsc, records within it with their name in front (`evidence_reason`;
 * the label's stand alone, `process`), lists of texts with commas between, `splt` as two lists; behind them the finer labels.
 */
export const sessionColumns: readonly Column[] = [
  column('session_id', 'STRING', s => s.session_id),
  column('revision', 'INT32', s => s.revision),
  column('state', 'STRING', s => s.state),
  optional('host_id', 'STRING', s => s.host_id),
  column('proto', 'STRING', s => s.proto),
  column('local_ip', 'STRING', s => s.local_ip),
  column('local_port', 'INT32', s => s.local_port),
  column('remote_ip', 'STRING', s => s.remote_ip),
  column('remote_port', 'INT32', s => s.remote_port),
  column('direction', 'STRING', s => s.direction),
  column('direction_by', 'STRING', s => s.direction_by),
  column('first_us', 'TIMESTAMP', s => s.first_us),
  column('last_us', 'TIMESTAMP', s => s.last_us),
  column('packets_out', 'INT64', s => s.packets_out),
  column('packets_in', 'INT64', s => s.packets_in),
  column('bytes_out', 'INT64', s => s.bytes_out),
  column('bytes_in', 'INT64', s => s.bytes_in),
  column('tcp_flags', 'INT32', s => s.tcp_flags),
  optional('end_reason', 'STRING', s => s.end_reason),
  optional('community_id', 'STRING', s => s.community_id),
  optional('vlan', 'INT32', s => s.vlan),
  optional('tunnel_kind', 'STRING', s => s.tunnel?.kind ?? null),
  optional('tunnel_source', 'STRING', s => s.tunnel?.source ?? null),
  optional('tunnel_destination', 'STRING', s => s.tunnel?.destination ?? null),
  optional('tunnel_id', 'INT64', s => s.tunnel?.id ?? null),
  optional('process', 'STRING', s => s.label?.process ?? null),
  optional('pid', 'INT32', s => s.label?.pid ?? null),
  optional('process_start_us', 'TIMESTAMP', s => s.label?.process_start_us ?? null),
  optional('path', 'STRING', s => s.label?.path ?? null),
  optional('service', 'STRING', s => s.label?.service ?? null),
  optional('container_id', 'STRING', s => s.label?.container_id ?? null),
  optional('pod', 'STRING', s => s.label?.pod ?? null),
  optional('container_image', 'STRING', s => s.label?.container_image ?? null),
  optional('parent', 'STRING', s => s.label?.parent ?? null),
  optional('stage', 'STRING', s => s.stage),
  optional('confidence', 'DOUBLE', s => s.confidence),
  column('label_final', 'BOOLEAN', s => s.label_final),
  optional('unknown_cause', 'STRING', s => s.unknown_cause),
  column('evidence_reason', 'STRING', s => s.evidence.reason),
  optional('evidence_source', 'STRING', s => s.evidence.source),
  optional('evidence_quality', 'STRING', s => s.evidence.quality),
  optional('evidence_owned_from_us', 'TIMESTAMP', s => s.evidence.owned_from_us),
  optional('evidence_owned_until_us', 'TIMESTAMP', s => s.evidence.owned_until_us),
  optional('evidence_clock_offset_us', 'DOUBLE', s => s.evidence.clock_offset_us),
  optional('evidence_support', 'INT32', s => s.evidence.support),
  optional('evidence_share', 'DOUBLE', s => s.evidence.share),
  column('evidence_candidates', 'STRING', s => s.evidence.candidates.join(',')),
  optional('sni', 'STRING', s => s.sni),
  optional('alpn', 'STRING', s => s.alpn?.join(',') ?? null),
  optional('ja4', 'STRING', s => s.ja4),
  optional('dns_name', 'STRING', s => s.dns_name),
  optional('peer_session_id', 'STRING', s => s.peer_session_id),
  column('capture_gap', 'BOOLEAN', s => s.capture_gap),
  column('agent_gap', 'BOOLEAN', s => s.agent_gap),
  column('truncated_start', 'BOOLEAN', s => s.truncated_start),
  list('splt_len', 'INT32', s => s.splt.lengths),
  list('splt_gap_us', 'INT32', s => clamped(s.splt.gapsUs)),
  optional('site', 'STRING', (_, { finer }) => finer.site),
  optional('application', 'STRING', (_, { finer }) => finer.application),
  optional('finer_label', 'STRING', (_, { finer }) => finer.label),
]

export const payloadColumn: Column = optional('payload', 'BYTES', (_, { payload }) => payload)
