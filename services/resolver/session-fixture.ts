import { at, hostIp } from '#core/test-host.ts'
import type { LabeledSession } from '#schemas'
import { sessionOf as anySession } from '#shared/session-fixture.ts'

/** A closed session of a host with a server name, without label unless `process` is given: then stage A knows it exactly. */
export function sessionOf(
  id: number | string,
  { process, ...more }: Partial<LabeledSession> & { process?: string } = {},
): LabeledSession {
  const known = anySession()
  const unknown = {
    ...{ label: null, stage: null, label_final: false, unknown_cause: 'agent-gap' },
    evidence: { ...known.evidence, source: null, quality: null },
  }
  return {
    ...known,
    ...{ session_id: String(id), host_id: process === undefined ? 'pupil' : 'teacher', local_ip: hostIp },
    ...{ remote_ip: '192.0.2.7', first_us: at(0), last_us: at(1_000), sni: 'www.example.com' },
    ...(process === undefined ? unknown : { label: { ...known.label!, process } }),
    ...more,
  }
}

/** So many sessions of a program, each with an id of its own. */
export const sessionsOf = (process: string, count: number, more: Partial<LabeledSession> = {}): LabeledSession[] =>
  Array.from({ length: count }, (_, i) => sessionOf(`${process} ${i}`, { process, ...more }))
