import { at, hostIp } from '#core/test-host.ts'
import type { LabeledSession } from '#schemas'

/** A closed session of a host with a server name, without label unless `process` is given: then stage A knows it exactly. */
export function sessionOf(
  id: number | string,
  { process, ...more }: Partial<LabeledSession> & { process?: string } = {},
): LabeledSession {
  const program = { pid: 7, process_start_us: null, path: null, service: null, container_id: null }
  const isKnown = process !== undefined
  return {
    session_id: String(id),
    revision: 0,
    state: 'closed',
    host_id: isKnown ? 'teacher' : 'pupil',
    proto: 'tcp',
    local_ip: hostIp,
    local_port: 40_000,
    remote_ip: '192.0.2.7',
    remote_port: 443,
    direction: 'out',
    direction_by: 'syn',
    first_us: at(0),
    last_us: at(1_000),
    packets_out: 5,
    packets_in: 5,
    bytes_out: 300,
    bytes_in: 300,
    tcp_flags: 27,
    end_reason: 'fin',
    community_id: null,
    vlan: null,
    tunnel: null,
    label: isKnown ? { process, ...program } : null,
    stage: isKnown ? 'A' : null,
    confidence: null,
    label_final: isKnown,
    unknown_cause: isKnown ? null : 'agent-gap',
    evidence: {
      ...{ reason: 'test', source: isKnown ? 'snapshot' : null, quality: isKnown ? 'exact' : null },
      ...{
        owned_from_us: null,
        owned_until_us: null,
        clock_offset_us: null,
        support: null,
        share: null,
        candidates: [],
      },
    },
    sni: 'www.example.com',
    alpn: null,
    ja4: null,
    dns_name: null,
    peer_session_id: null,
    capture_gap: false,
    agent_gap: false,
    truncated_start: false,
    splt: [],
    ...more,
  }
}

/** So many sessions of a program, each with an id of its own. */
export const sessionsOf = (process: string, count: number, more: Partial<LabeledSession> = {}): LabeledSession[] =>
  Array.from({ length: count }, (_, i) => sessionOf(`${process} ${i}`, { process, ...more }))
