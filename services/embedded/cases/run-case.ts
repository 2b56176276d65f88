import { existsSync } from 'node:fs'
import path from 'node:path'
import { defaultConstants } from '#core/constants.ts'
import type { LabeledSession } from '#schemas'
import { openCapture } from '../../capture/files/open-capture.ts'
import { labelCapture } from '../label.ts'
import { openSocketLogs } from '../socket-logs.ts'
import type { Case } from './all.ts'
import { baseUs, toCapture } from './packet-text.ts'
import { toSocketLog } from './socket-text.ts'

/** What a case's folder holds beside `expected.jsonl`, by file name. */
export function inputsOf({ name, shows, packets, hosts }: Case): Map<string, Buffer> {
  const capture = toCapture(packets)
  const origin = 'The capture is made by `make.ts` from the description in `all.ts`, for issue 2.'
  return new Map([
    [capture.name, capture.bytes],
    ['sockets.jsonl', Buffer.from(toSocketLog(hosts))],
    ['README.md', Buffer.from(`# ${name}\n\n${shows}\n\n${origin}\n`)],
  ])
}

/** Labels a case's folder as `proclabel label` does; the lines of its `expected.jsonl`. */
export async function labelCase(folder: string): Promise<string> {
  const sessions: LabeledSession[] = []
  const capture = ['input.pcap', 'input.pcapng'].map(name => path.join(folder, name)).find(existsSync)!
  const packets = await openCapture(capture)
  const logs = await openSocketLogs([path.join(folder, 'sockets.jsonl')], null)
  const sink = (session: LabeledSession) => void sessions.push(session)
  await labelCapture({ packets, logs, constants: defaultConstants, sensorId: 'case', sink })
  await packets.close()
  sessions.sort((a, b) => a.first_us - b.first_us || (a.host_id! < b.host_id! ? -1 : 1))
  return sessions.map(session => `${JSON.stringify(telling(session))}\n`).join('')
}

/**
 * The fields of a record that a reader of a case looks at: which session, what label and why. Nothing in them varies from
 * run to run. Times are milliseconds of the case.
 */
function telling(session: LabeledSession): object {
  const { host_id, proto, local_ip, local_port, remote_ip, remote_port, direction, direction_by } = session
  const { label, evidence, sni } = session
  const { reason, source, quality, clock_offset_us, support, share, candidates } = evidence
  return {
    session_id: session.session_id,
    host_id,
    session: `${proto} ${local_ip}:${local_port} ${direction === 'out' ? '>' : '<'} ${remote_ip}:${remote_port}`,
    direction_by,
    first_ms: (session.first_us - baseUs) / 1000,
    last_ms: (session.last_us - baseUs) / 1000,
    packets: [session.packets_out, session.packets_in],
    end_reason: session.end_reason,
    label: label && `${label.process}:${label.pid}`,
    stage: session.stage,
    unknown_cause: session.unknown_cause,
    evidence: { reason, source, quality, clock_offset_us, support, share, candidates },
    label_final: session.label_final,
    gaps: [session.capture_gap && 'capture', session.agent_gap && 'agent'].filter(Boolean),
    sni,
    peer_session_id: session.peer_session_id,
  }
}
