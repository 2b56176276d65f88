import type { EventKind, ProcessRef } from '#schemas'
import { baseUs } from './packet-text.ts'

/** What the agent of one host told; times in milliseconds, host clock. */
export interface HostText {
  host: string
  ips: string[]
  os?: string
  /** The host's clock is this much ahead of the capture's. */
  clockMs?: number
  /** Stretches of polls, 500 ms apart, both ends included; each stretch is a run of the agent. */
  polls?: (readonly [fromMs: number, untilMs: number])[]
  /**
   * A socket as the polls find it, with its first and last moment:
   * `900-2100 tcp 10.0.0.1:40000 9.9.9.9:443 established curl:100`, `0- udp 0.0.0.0:53 * bound dns:7,dns:8`,
   * with `-` for the owner where it has none. `docker/nginx:9` is a process in a container.
   */
  sockets?: string[]
  /** `1000 connect tcp 10.0.0.1:40000 9.9.9.9:443 curl:100`; `close` and the like without owner. */
  events?: string[]
  /** The events come from a source that tells all of them, in a message that speaks for this time. */
  complete?: readonly [fromMs: number, untilMs: number]
  /** When the events arrived, where that was later than they happened. */
  eventsArriveMs?: number
}

const periodMs = 500

/** The lines of a socket log; fields that have their default are left out. */
export function toSocketLog(hosts: readonly HostText[]): string {
  return `${hosts
    .flatMap(hostLines)
    .map(line => JSON.stringify(line))
    .join('\n')}\n`
}

function hostLines(text: HostText): object[] {
  const us = (ms: number) => baseUs + (ms + (text.clockMs ?? 0)) * 1000
  const host = {
    topic: 'hosts',
    host_id: text.host,
    names: [text.host],
    addresses: text.ips.map(ip => ({ ip })),
    os: text.os ?? 'linux',
    agent_version: 'case',
    poll_period_us: periodMs * 1000,
    boot_id: null,
    updated_us: us(0),
  }
  const sockets = (text.sockets ?? []).map((line, i) => readSocket(line, i + 1))
  const runs = (text.polls ?? []).flatMap((span, run) =>
    pollsOf(span, sockets, us).map(({ poll, owners }, seq) => ({
      topic: 'socket-snapshots',
      host_id: text.host,
      run_id: `run-${run}`,
      seq,
      polls: [poll],
      processes: processesOf(owners),
    })),
  )
  return [host, ...runs, ...eventLines(text, us)]
}

/** A keyframe, then what changed from poll to poll; with the owners of what a poll found new. */
function pollsOf([fromMs, untilMs]: readonly [number, number], sockets: TimedSocket[], us: (ms: number) => number) {
  const polls: { poll: object; owners: Owner[] }[] = []
  const shown = new Set<TimedSocket>()
  for (let ms = fromMs; ms <= untilMs; ms += periodMs) {
    const isThere = (one: TimedSocket) => one.fromMs <= ms && ms <= one.untilMs
    const opened = sockets.filter(one => isThere(one) && !shown.has(one))
    const closed = [...shown].filter(one => !isThere(one))
    for (const one of opened) shown.add(one)
    for (const one of closed) shown.delete(one)
    const poll = {
      poll_seq: polls.length,
      kind: polls.length === 0 ? 'keyframe' : 'delta',
      time_us: us(ms),
      monotonic_us: ms * 1000,
      duration_us: 300,
      opened: opened.map(({ socket }) => socket),
      closed: closed.map(({ socket }) => socket.id),
    }
    polls.push({ poll, owners: opened.flatMap(({ owners }) => owners) })
  }
  return polls
}

interface Owner {
  ref: ProcessRef
  name: string
  containerId: string | null
}

interface TimedSocket {
  fromMs: number
  untilMs: number
  socket: Record<string, unknown> & { id: number }
  owners: Owner[]
}

function readSocket(line: string, id: number): TimedSocket {
  const [time, proto, local, remote, state, owners] = line.split(' ') as string[]
  const [fromMs, untilMs] = time!.split('-') as [string, string]
  const holders = owners === '-' ? [] : owners!.split(',').map(readOwner)
  const socket = { id, proto, ...endsOf(local!, remote!), state, v6_only: false, owners: holders.map(({ ref }) => ref) }
  return {
    fromMs: Number(fromMs),
    untilMs: untilMs === '' ? Number.POSITIVE_INFINITY : Number(untilMs),
    socket,
    owners: holders,
  }
}

/** `curl:100`, `docker/nginx:9`. A process starts, as far as a case cares, at the beginning of time. */
function readOwner(text: string): Owner {
  const [, container, name, pid] = /^(?:(\w+)\/)?(.+):(\d+)$/.exec(text)!
  return { ref: { pid: Number(pid), start_us: baseUs }, name: name!, containerId: container ?? null }
}

/** The dictionary of these owners, each once. */
function processesOf(owners: readonly Owner[]): object[] {
  const byPid = new Map(owners.map(owner => [owner.ref.pid, owner]))
  return [...byPid.values()].map(({ ref, name, containerId }) => ({
    ...ref,
    name,
    ...(containerId !== null && { container_id: containerId }),
  }))
}

function eventLines({ host, events = [], complete, eventsArriveMs }: HostText, us: (ms: number) => number): object[] {
  if (events.length === 0 && !complete) return []
  const read = events.map(line => readEvent(line, us))
  const message = { topic: 'socket-events', host_id: host, run_id: 'events', source: complete ? 'ebpf' : 'sysmon' }
  const until = complete?.[1] ?? eventsArriveMs ?? Math.max(...read.map(({ ms }) => ms))
  const start = complete && { ...message, seq: 0, complete: true, until_us: us(complete[0]), events: [], processes: [] }
  const told = {
    ...message,
    seq: start ? 1 : 0,
    complete: complete !== undefined,
    until_us: us(until),
    events: read.map(({ event }) => event),
    processes: processesOf(read.flatMap(({ owner }) => owner ?? [])),
  }
  return start ? [start, told] : [told]
}

function readEvent(line: string, us: (ms: number) => number) {
  const [ms, kind, proto, local, remote, who] = line.split(' ') as string[]
  const owner = who === undefined ? null : readOwner(who)
  const event = {
    kind: kind as EventKind,
    time_us: us(Number(ms)),
    pid: 0,
    ...owner?.ref,
    proto,
    ...endsOf(local!, remote!),
  }
  return { ms: Number(ms), event, owner }
}

function endsOf(local: string, remote: string): object {
  const [local_ip, local_port] = splitEnd(local)
  if (remote === '*') return { local_ip, local_port }
  const [remote_ip, remote_port] = splitEnd(remote)
  return { local_ip, local_port, remote_ip, remote_port }
}

/** `9.9.9.9:53`, `:::53`, `::ffff:10.0.0.1:443`: the port is behind the last colon. */
function splitEnd(end: string): [ip: string, port: number] {
  const colon = end.lastIndexOf(':')
  return [end.slice(0, colon), Number(end.slice(colon + 1))]
}
