import type { Label, Process, ProcessRef, Socket, SocketEvent, SocketEvents, SocketSnapshot } from '#schemas'
import { defaultConstants, type MatchConstants } from './constants.ts'
import { HostMatcher } from './host-matcher.ts'
import type { Decision } from './match.ts'
import type { SessionFacts } from './session-facts.ts'
import type { SharedNames } from './stages/server-name.ts'

/** Tests tell time in milliseconds after this moment. */
export const epochUs = 1_700_000_000_000_000
export const at = (ms: number): number => epochUs + Math.round(ms * 1_000)

export const hostIp = '10.0.0.1'

/** `curl` is process 'curl' with pid 1000 + its place in this list; `curl:7` has pid 7. */
const programs = ['curl', 'firefox', 'sshd', 'nginx', 'dns', 'python', 'System']

export function refOf(process: string): ProcessRef {
  const [name, pid] = process.split(':')
  return { pid: pid ? Number(pid) : 1000 + programs.indexOf(name!), start_us: 1 }
}

function toProcess(process: string): Process {
  const name = process.split(':')[0]!
  return {
    ...refOf(process),
    name,
    path: null,
    parent_pid: 1,
    services: [],
    container_id: null,
    user: null,
    pod: null,
    parent_name: null,
    container_image: null,
  }
}

/** A socket as `tcp 10.0.0.1:40000 1.1.1.1:443` or `udp 0.0.0.0:53 *`, and who holds it. */
export type Row = readonly [ends: string, ...owners: string[]]

function splitEnd(end: string): [ip: string | null, port: number | null] {
  if (end === '*') return [null, null]
  const colon = end.lastIndexOf(':')
  return [end.slice(0, colon), Number(end.slice(colon + 1))]
}

export interface EventText {
  ms: number
  kind: SocketEvent['kind']
  ends?: string
  process: string
  resolutionMs?: number
}

/** A session as `tcp 40000 > 1.1.1.1:443`: `>` opened by the host, `<` by the remote end, `-` not known (no SYN). */
export function session(ends: string, ms: number, more: Partial<SessionFacts> = {}): SessionFacts {
  const [proto, local, arrow, remote] = ends.split(' ')
  const [remoteIp, remotePort] = splitEnd(remote!)
  const synSeen = proto === 'tcp' && arrow !== '-'
  return {
    sessionId: `${ends} ${ms}`,
    proto: proto!,
    localIp: hostIp,
    localPort: Number(local),
    remoteIp: remoteIp!,
    remotePort: remotePort!,
    firstUs: at(ms),
    lastUs: at(ms + 1_000),
    direction: arrow === '<' ? 'in' : 'out',
    directionBy: synSeen ? 'syn' : 'port',
    synSeen,
    packetsOut: 5,
    packetsIn: 4,
    tcpFlags: proto === 'tcp' ? 0x1a : 0,
    sni: null,
    ja4: null,
    captureGap: false,
    ...more,
  }
}

/** A host whose agent polls every 50 ms, or tells events, as the test says. */
export class TestHost {
  readonly matcher: HostMatcher
  #seq = 0
  #pollSeq = 0
  #ids = 0
  #table = new Map<string, Socket>()
  readonly #eventSeq = new Map<string, number>()

  constructor(constants: Partial<MatchConstants> = {}, names?: SharedNames) {
    this.matcher = new HostMatcher('host', { ...defaultConstants, ...constants }, names)
    this.tell({})
  }

  /** `ofContainers`: addresses that namespaces of its containers have. */
  tell({
    addresses = [hostIp],
    ofContainers = [],
    os = 'linux',
  }: {
    addresses?: string[]
    ofContainers?: string[]
    os?: string
  }): void {
    const told = (ips: string[], namespace: number | null) =>
      ips.map(ip => ({ ip, since_us: null, until_us: null, namespace }))
    this.matcher.applyHost({
      host_id: 'host',
      names: [],
      addresses: [...told(addresses, null), ...told(ofContainers, 4026532500)],
      os,
      agent_version: 'test',
      poll_period_us: 50_000,
      boot_id: null,
      updated_us: epochUs,
    })
  }

  /** Polls at `ms`, finding these sockets. The first poll is a keyframe. */
  poll(ms: number, ...rows: Row[]): SocketSnapshot {
    const message = this.pollMessage(ms, ...rows)
    this.matcher.applySnapshot(message)
    return message
  }

  pollMessage(ms: number, ...rows: Row[]): SocketSnapshot {
    const kind = this.#pollSeq === 0 ? 'keyframe' : 'delta'
    const table = new Map<string, Socket>()
    const opened: Socket[] = []
    for (const [ends, ...owners] of rows) {
      const before = this.#table.get(ends)
      const socket = this.#socket(ends, owners, before?.id ?? ++this.#ids)
      table.set(ends, socket)
      if (JSON.stringify(before) !== JSON.stringify(socket)) opened.push(socket)
    }
    const closed = [...this.#table].filter(([ends]) => !table.has(ends)).map(([, socket]) => socket.id)
    this.#table = table
    return {
      host_id: 'host',
      run_id: 'run',
      seq: this.#seq++,
      polls: [
        {
          poll_seq: this.#pollSeq++,
          kind,
          time_us: at(ms),
          monotonic_us: ms * 1_000,
          duration_us: 300,
          opened,
          closed,
        },
      ],
      processes: rows.flatMap(([, ...owners]) => owners.map(toProcess)),
    }
  }

  /** Polls every 50 ms from `ms` up to `untilMs`, finding the same sockets each time. */
  pollOn(ms: number, untilMs: number, ...rows: Row[]): void {
    for (let now = ms; now <= untilMs; now += 50) this.poll(now, ...rows)
  }

  /** The next message of the agent is lost. */
  loseMessage(): void {
    this.#seq++
    this.#pollSeq++
  }

  events(source: string, untilMs: number, events: EventText[], more: Partial<SocketEvents> = {}): SocketEvents {
    const message = this.eventMessage(source, untilMs, events, more)
    this.matcher.applyEvents(message)
    return message
  }

  /** `etw` tells everything; any other source only that connections were seen. */
  eventMessage(source: string, untilMs: number, events: EventText[], more: Partial<SocketEvents> = {}): SocketEvents {
    const seq = this.#eventSeq.get(source) ?? 0
    this.#eventSeq.set(source, seq + 1)
    return {
      host_id: 'host',
      run_id: 'run',
      seq,
      source,
      complete: source === 'etw',
      lost: 0,
      until_us: at(untilMs),
      events: events.map(toEvent),
      processes: events.map(({ process }) => toProcess(process)),
      ...more,
    }
  }

  /** Shows the session and judges it, as the matcher service does. */
  judge(facts: SessionFacts): Decision {
    this.matcher.observeSession(facts)
    return this.matcher.judge(facts)
  }

  resolve(facts: SessionFacts): Decision {
    return this.matcher.resolve(facts, this.matcher.intervalsOf(facts.proto, facts.localPort))
  }

  #socket(ends: string, owners: string[], id: number): Socket {
    const [proto, local, remote] = ends.split(' ')
    const [localIp, localPort] = splitEnd(local!)
    const [remoteIp, remotePort] = splitEnd(remote!)
    const open = remoteIp === null ? 'listen' : owners.length === 0 ? 'time_wait' : 'established'
    return {
      id,
      proto: proto as Socket['proto'],
      local_ip: localIp!,
      local_port: localPort!,
      remote_ip: remoteIp,
      remote_port: remotePort,
      state: proto === 'udp' ? 'bound' : open,
      v6_only: false,
      owners: owners.map(refOf),
      created_us: null,
    }
  }
}

function toEvent({ ms, kind, ends, process, resolutionMs = 0 }: EventText): SocketEvent {
  const [proto, local, remote] = (ends ?? '').split(' ')
  const [localIp, localPort] = ends ? splitEnd(local!) : [null, null]
  const [remoteIp, remotePort] = ends ? splitEnd(remote!) : [null, null]
  return {
    kind,
    time_us: at(ms),
    resolution_us: resolutionMs * 1_000,
    ...refOf(process),
    proto: ends ? (proto as 'tcp' | 'udp') : null,
    local_ip: localIp,
    local_port: localPort,
    remote_ip: remoteIp,
    remote_port: remotePort,
  }
}

/** A decision in a few words: `A curl:1000`, `D firefox`, `unknown too-short`. */
export function words(decision: Decision): string {
  const { label, stage, unknownCause } = decision
  return label ? `${stage} ${labelWords(label)}` : `unknown ${unknownCause}`
}

function labelWords(label: Label): string {
  return label.pid === null ? label.process : `${label.process}:${label.pid}`
}

/** Teaches: sessions of a program with a remote end, each from a port of its own, each exactly labeled. */
export function teach(host: TestHost, process: string, remote: string, count: number, fromMs = 0): void {
  const [ip] = remote.split(':')
  for (let i = 0; i < count; i++) {
    const ms = fromMs + i * 100
    const port = 50_000 + ((ms / 100) % 10_000)
    const ends = `tcp 10.0.0.1:${port} ${remote}`
    host.events('etw', ms + 50, [{ ms, kind: 'connect', ends, process }])
    const decision = host.judge(session(`tcp ${port} > ${remote}`, ms, { sni: `www.site-${ip}.example.com`, ja4: 'j' }))
    if (decision.stage !== 'A') throw new Error(`teaching needs stage A, got ${words(decision)}`)
    host.events('etw', ms + 60, [{ ms: ms + 60, kind: 'close', ends, process }])
  }
}

/** A host whose events are whole no longer: from here on sessions may be missed. */
export function loseEvents(host: TestHost, ms: number): void {
  host.events('etw', ms, [], { lost: 5 })
}
