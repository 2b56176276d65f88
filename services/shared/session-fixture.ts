import { codecs, type LabeledSession, partitionKey } from '#schemas'
import type { BusRecord } from './bus/bus.ts'

/** A labeled session with these members; the others have some value. */
export const sessionOf = (members: Partial<LabeledSession> = {}): LabeledSession => ({
  session_id: '0'.repeat(32),
  revision: 0,
  state: 'closed',
  host_id: 'h1',
  proto: 'tcp',
  local_ip: '10.0.0.1',
  local_port: 40_000,
  remote_ip: '192.0.2.1',
  remote_port: 443,
  direction: 'out',
  direction_by: 'syn',
  first_us: 1_700_000_000_000_000,
  last_us: 1_700_000_001_000_000,
  packets_out: 1,
  packets_in: 1,
  bytes_out: 40,
  bytes_in: 40,
  tcp_flags: 2,
  end_reason: 'fin',
  community_id: null,
  vlan: null,
  tunnel: null,
  label: {
    ...{ process: 'curl', pid: 7, process_start_us: null, path: null, service: null },
    ...{ container_id: null, pod: null, container_image: null, parent: null },
  },
  stage: 'A',
  confidence: null,
  label_final: true,
  unknown_cause: null,
  evidence: {
    reason: 'one owner',
    source: 'snapshot',
    quality: 'exact',
    owned_from_us: null,
    owned_until_us: null,
    clock_offset_us: null,
    support: null,
    share: null,
    candidates: [],
  },
  sni: null,
  alpn: null,
  ja4: null,
  dns_name: null,
  peer_session_id: null,
  capture_gap: false,
  agent_gap: false,
  truncated_start: false,
  splt: [],
  ...members,
})

/** As a matcher publishes it. */
export const recordOf = (session: LabeledSession): BusRecord => ({
  key: session.session_id,
  partitionKey: partitionKey(session.host_id ?? ''),
  value: codecs['labeled-sessions'].encode(session),
})
