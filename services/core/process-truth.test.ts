import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import type { Process, SocketEvent } from '#schemas'
import { capturesDir } from '#shared/captures-dir.ts'
import { defaultConstants } from './constants.ts'
import { HostMatcher } from './host-matcher.ts'
import type { SessionFacts } from './session-facts.ts'

/** truth.json of process_truth (format proclabel-truth-1), as far as it is read here. */
interface TruthSet {
  host_ips: Record<string, string[]>
  network_events: NetworkEvent[]
  process_events: { host: string; kind: 'start' | 'stop'; ts: number; pid: number; image: string }[]
  captures: { trap?: string; truth: TruthSession[] }[]
  observed_event_minus_syn_s: Record<string, Record<string, { median: number }>>
}

interface NetworkEvent {
  kind: string
  host: string
  ts: number
  pid: number
  image: string
  proto: 'tcp' | 'udp'
  direction: 'in' | 'out'
  src: [string, number]
  dst: [string, number]
}

interface TruthSession {
  proto: string
  a: string
  a_port: number
  b: string
  b_port: number
  first_ts: string
  last_ts: string
  tcp_syn: number
  initiator?: string
  labelled: boolean
  owners: { host: string; pid: number; image: Record<string, string>; sources: Record<string, number> }[]
}

const logs = [
  { source: 'sysmon', kind: 'sysmon3', resolutionUs: 1_000 },
  { source: 'security', kind: 'wfp5156', resolutionUs: 1_000_000 },
] as const

const us = (seconds: number | string) => Math.round(Number(seconds) * 1_000_000)
const programOf = (image: string) => image.split('\\').at(-1)!.toLowerCase()

function socketEvents(set: TruthSet, host: string, log: (typeof logs)[number], shiftUs: number) {
  const local = new Set(set.host_ips[host])
  const events: SocketEvent[] = []
  const processes = new Map<number, Process>()
  const when = (seconds: number, resolution_us: number) => ({ time_us: us(seconds) + shiftUs, resolution_us })
  for (const event of set.network_events) {
    if (event.host !== host || event.kind !== log.kind) continue
    const [here, there] = local.has(event.src[0]) ? [event.src, event.dst] : [event.dst, event.src]
    const { pid, proto } = event
    const process = { pid, start_us: null, name: programOf(event.image), path: event.image, parent_pid: null }
    processes.set(pid, {
      ...process,
      services: [],
      container_id: null,
      pod: null,
      parent_name: null,
      container_image: null,
      user: null,
    })
    events.push({
      kind: event.direction === 'in' ? 'accept' : 'connect',
      ...when(event.ts, log.resolutionUs),
      pid,
      start_us: null,
      proto,
      local_ip: here[0],
      local_port: here[1],
      remote_ip: there[0],
      remote_port: there[1],
    })
  }
  for (const { pid, ts, kind, host: where } of set.process_events) {
    if (where !== host) continue
    const ends = { proto: null, local_ip: null, local_port: null, remote_ip: null, remote_port: null }
    const eventKind = kind === 'start' ? 'process_start' : 'process_exit'
    events.push({ kind: eventKind, ...when(ts, 1_000), pid, start_us: null, ...ends })
  }
  events.sort((one, other) => one.time_us - other.time_us)
  return { events, processes: [...processes.values()] }
}

function factsOf(session: TruthSession, local: ReadonlySet<string>): SessionFacts | null {
  const { a, a_port, b, b_port, proto } = session
  const isA = local.has(a)
  if (!isA && !local.has(b)) return null
  const [here, there] = isA ? [`${a} ${a_port}`, `${b} ${b_port}`] : [`${b} ${b_port}`, `${a} ${a_port}`]
  const [localIp, localPort] = here.split(' ')
  const [remoteIp, remotePort] = there.split(' ')
  const synSeen = proto === 'tcp' && session.tcp_syn > 0
  return {
    sessionId: `${here} ${there} ${session.first_ts}`,
    proto,
    localIp: localIp!,
    localPort: Number(localPort),
    remoteIp: remoteIp!,
    remotePort: Number(remotePort),
    firstUs: us(session.first_ts),
    lastUs: us(session.last_ts),
    direction: (session.initiator ?? `${a} ${a_port}`) === here ? 'out' : 'in',
    directionBy: synSeen ? 'syn' : 'first_packet',
    synSeen,
    packetsOut: 1,
    packetsIn: 1,
    tcpFlags: 0,
    sni: null,
    ja4: null,
    captureGap: false,
  }
}

/** Labels a set from one of its logs. Every session whose owner the log names has that owner; none has a wrong one. */
function score(set: TruthSet, log: (typeof logs)[number], shiftUs: number): { right: number; labeled: number } {
  const scored = { right: 0, labeled: 0 }
  for (const host of Object.keys(set.host_ips)) {
    const local = new Set(set.host_ips[host])
    for (const capture of set.captures) {
      const matcher = new HostMatcher(host, defaultConstants)
      const { events, processes } = socketEvents(set, host, log, shiftUs)
      const untilUs = events.at(-1)?.time_us ?? 0
      const message = { host_id: host, run_id: 'import', seq: 0, complete: false, lost: 0, until_us: untilUs }
      if (untilUs > 0) matcher.applyEvents({ ...message, source: log.source, events, processes })
      const sessions = capture.truth.flatMap(session => {
        const facts = factsOf(session, local)
        return facts ? [{ session, facts }] : []
      })
      for (const { facts } of sessions) matcher.observeSession(facts)
      for (const { facts } of sessions) matcher.judge(facts)
      for (const { session, facts } of sessions) {
        const decision = matcher.resolve(facts, matcher.intervalsOf(facts.proto, facts.localPort))
        const owner = session.labelled ? session.owners.find(one => one.host === host) : undefined
        const { label } = decision
        if (label) scored.labeled++
        if (owner?.sources[log.kind])
          assert.equal(label?.pid, owner.pid, `${facts.sessionId} ${decision.evidence.reason}`)
        else if (owner && label) {
          const names = Object.values(owner.image).map(programOf)
          assert.ok(names.includes(label.process), `${facts.sessionId}: ${label.process}, truly ${names}`)
        }
        if (owner && label) scored.right++
      }
      const sysmonS = set.observed_event_minus_syn_s[host]?.[log.kind]?.median
      if (log.source === 'sysmon' && sysmonS !== undefined) {
        const offsetUs = matcher.clockOffsets().get(log.source)!
        assert.ok(Math.abs(offsetUs - us(sysmonS) - shiftUs) < 30_000, `${host}: offset ${offsetUs}`)
      }
    }
  }
  return scored
}

test("event logs of real Windows hosts name each session's owner, whatever their clocks say", t => {
  const folder = capturesDir()
  const root = folder && path.join(folder, 'process_truth')
  if (!root || !existsSync(root)) return t.skip('no captures at hand')
  const right = { sysmon: 0, security: 0 }
  for (const name of readdirSync(root)) {
    const file = path.join(root, name, 'truth.json')
    if (!existsSync(file)) continue
    const set: TruthSet = JSON.parse(readFileSync(file, 'utf8'))
    for (const log of logs) {
      for (const shiftUs of [0, us(11.5), us(-11.5)]) {
        const scored = score(set, log, shiftUs)
        if (set.captures.some(capture => capture.trap)) assert.deepEqual(scored, { right: 0, labeled: 0 }, name)
        right[log.source] += scored.right
      }
    }
  }
  assert.ok(right.sysmon > 0 && right.security > 0, JSON.stringify(right))
})
