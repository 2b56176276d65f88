import {
  codecs,
  type EventProcess,
  type Process,
  partitionKey,
  type Socket,
  type SocketEvent,
  type Topic,
} from '#schemas'
import { SnapshotBuilder } from '../../agent/snapshots.ts'
import { disturbances, nextPollUs } from './disturbances.ts'
import { type HostPlan, type PlannedSocket, timeWaitUs } from './plan.ts'
import type { DayProcess, Span } from './processes.ts'
import type { Random } from './random.ts'

const source = 'etw'
const messagesPerKeyframe = 60

export interface AgentConditions {
  /** Events beside polls. */
  events: boolean
  /** Of the events. */
  lostShare: number
  /** Time between two polls that the agent asks for. */
  periodUs: number
  /** True times at which no agent runs, each followed by a new run. */
  downs: readonly Span[]
  /** Host clock less true time at the beginning, microseconds, and how much it grows, parts per million. */
  offsetUs: number
  driftPpm: number
}

export interface AgentRecord {
  topic: Topic
  key: string
  value: Buffer
}

interface TrueEvent {
  timeUs: number
  kind: SocketEvent['kind']
  process: DayProcess
  socket: PlannedSocket | null
  remoteIp: string | null
  remotePort: number | null
}

interface Change {
  timeUs: number
  socket: PlannedSocket
}

/** What an agent publishes on a planned host: polls, as often as Windows lets it, and events if it has them. */
export class DayAgent {
  readonly #hostId: string
  readonly #plan: HostPlan
  readonly #conditions: AgentConditions
  readonly #random: Random
  readonly #startUs: number
  readonly #key: string
  /** Closings, and ends of TIME_WAIT, each in order of time. */
  readonly #closings: Change[]
  readonly #vanishings: Change[]
  readonly #events: TrueEvent[]
  /** What the agent has in its table, and what is open in truth. */
  readonly #shown = new Set<PlannedSocket>()
  readonly #open = new Set<PlannedSocket>()
  readonly #next = { open: 0, close: 0, vanish: 0, event: 0 }
  /** Shown ones that went to TIME_WAIT: to be told again. */
  #changed: PlannedSocket[] = []
  /** Null while no agent runs. */
  #builder: SnapshotBuilder | null = null
  #run = 0
  #eventSeq = 0
  #told = new Set<DayProcess>()
  #lost = 0
  #pollUs: number

  constructor(hostId: string, plan: HostPlan, startUs: number, conditions: AgentConditions, random: Random) {
    this.#hostId = hostId
    this.#plan = plan
    this.#conditions = conditions
    this.#random = random
    this.#startUs = startUs
    this.#pollUs = startUs
    this.#key = partitionKey(hostId)
    const byTime = (a: { timeUs: number }, b: { timeUs: number }) => a.timeUs - b.timeUs
    this.#closings = plan.sockets.map(socket => ({ timeUs: socket.closeUs, socket })).sort(byTime)
    this.#vanishings = plan.sockets
      .filter(({ hasTimeWait }) => hasTimeWait)
      .map(socket => ({ timeUs: socket.closeUs + timeWaitUs, socket }))
      .sort(byTime)
    this.#events = conditions.events ? eventsOf(plan).sort(byTime) : []
  }

  announcement(): AgentRecord {
    return this.#record('hosts', {
      ...{ host_id: this.#hostId, names: [this.#hostId], os: 'windows', agent_version: 'day', boot_id: null },
      addresses: [{ ip: this.#plan.ip, since_us: null, until_us: null, namespace: null }],
      poll_period_us: this.#conditions.periodUs,
      updated_us: this.#clock(this.#startUs),
    })
  }

  /** All that the agent says up to a true time. */
  until(untilUs: number): AgentRecord[] {
    const records: AgentRecord[] = []
    while (this.#pollUs < untilUs) {
      const tookUs = this.#random.exponential(disturbances.pollUs)
      this.#advance(this.#pollUs)
      if (this.#isDown(this.#pollUs)) this.#builder = null
      else this.#poll(this.#pollUs, tookUs)
      this.#pollUs = nextPollUs(this.#pollUs, tookUs, this.#conditions.periodUs, this.#random)
    }
    if (this.#builder?.waitingSinceUs != null) records.push(this.#record('socket-snapshots', this.#builder.take()))
    const events = this.#takeEvents(untilUs)
    if (events) records.push(events)
    return records
  }

  #clock(trueUs: number): number {
    const { offsetUs, driftPpm } = this.#conditions
    return Math.round(trueUs + offsetUs + ((trueUs - this.#startUs) * driftPpm) / 1e6)
  }

  #isDown(timeUs: number): boolean {
    return this.#conditions.downs.some(({ fromUs, toUs }) => timeUs >= fromUs && timeUs < toUs)
  }

  /** Brings the truth to a time. */
  #advance(timeUs: number): void {
    const { sockets } = this.#plan
    const next = this.#next
    for (; next.open < sockets.length && sockets[next.open]!.openUs <= timeUs; next.open++)
      this.#open.add(sockets[next.open]!)
    for (; next.close < sockets.length && this.#closings[next.close]!.timeUs <= timeUs; next.close++) {
      const { socket } = this.#closings[next.close]!
      if (!socket.hasTimeWait) this.#open.delete(socket)
      else if (this.#shown.delete(socket)) this.#changed.push(socket)
    }
    for (; next.vanish < this.#vanishings.length && this.#vanishings[next.vanish]!.timeUs <= timeUs; next.vanish++)
      this.#open.delete(this.#vanishings[next.vanish]!.socket)
  }

  #poll(timeUs: number, tookUs: number): void {
    if (this.#builder === null) {
      this.#builder = new SnapshotBuilder(this.#hostId, `run ${++this.#run}`, messagesPerKeyframe)
      this.#shown.clear()
      this.#eventSeq = 0
      this.#told = new Set()
    }
    const opened: PlannedSocket[] = []
    const closed: number[] = []
    for (const socket of this.#shown) {
      if (this.#open.has(socket)) continue
      this.#shown.delete(socket)
      closed.push(socket.id)
    }
    for (const socket of this.#changed) if (!this.#open.has(socket)) closed.push(socket.id)
    this.#changed = []
    for (const socket of this.#open) {
      if (this.#shown.has(socket)) continue
      this.#shown.add(socket)
      opened.push(socket)
    }
    this.#builder.add({
      timeUs: this.#clock(timeUs),
      monotonicUs: Math.round(timeUs),
      durationUs: Math.round(tookUs),
      opened: opened.map(socket => toSocket(socket, timeUs)),
      closed,
      processes: opened.map(({ process }) => toProcess(process)),
    })
  }

  #takeEvents(untilUs: number): AgentRecord | null {
    const { events, lostShare } = this.#conditions
    if (!events) return null
    const told: TrueEvent[] = []
    for (
      ;
      this.#next.event < this.#events.length && this.#events[this.#next.event]!.timeUs <= untilUs;
      this.#next.event++
    ) {
      const event = this.#events[this.#next.event]!
      if (this.#isDown(event.timeUs)) continue
      if (this.#random.chance(lostShare)) this.#lost++
      else told.push(event)
    }
    if (this.#builder === null) return null
    const fresh = new Set(told.map(({ process }) => process).filter(process => !this.#told.has(process)))
    for (const process of fresh) this.#told.add(process)
    const lost = this.#lost
    this.#lost = 0
    return this.#record('socket-events', {
      ...{ host_id: this.#hostId, run_id: `run ${this.#run}`, seq: this.#eventSeq++, source, complete: true, lost },
      until_us: this.#clock(untilUs),
      events: told.map(event => this.#toEvent(event)),
      processes: [...fresh].map((process): EventProcess => toProcess(process)),
    })
  }

  #toEvent({ timeUs, kind, process, socket, remoteIp, remotePort }: TrueEvent): SocketEvent {
    const { pid, startUs } = process
    return {
      ...{ kind, time_us: this.#clock(timeUs), resolution_us: 0, pid, start_us: startUs },
      proto: socket?.proto ?? null,
      local_ip: socket ? this.#plan.ip : null,
      local_port: socket?.localPort ?? null,
      ...{ remote_ip: remoteIp, remote_port: remotePort },
    }
  }

  #record<T extends 'hosts' | 'socket-snapshots' | 'socket-events'>(
    topic: T,
    record: Parameters<(typeof codecs)[T]['encode']>[0],
  ): AgentRecord {
    const encode = codecs[topic].encode as (record: unknown) => Buffer
    return { topic, key: this.#key, value: encode(record) }
  }
}

function toSocket(socket: PlannedSocket, timeUs: number): Socket {
  const { id, proto, localIp, localPort, remoteIp, remotePort, process } = socket
  const isOver = timeUs >= socket.closeUs
  return {
    ...{ id, proto, local_ip: localIp, local_port: localPort, remote_ip: remoteIp, remote_port: remotePort },
    state: isOver ? 'time_wait' : socket.state,
    v6_only: false,
    owners: isOver ? [] : [{ pid: process.pid, start_us: process.startUs }],
    created_us: null,
  }
}

function toProcess({ pid, startUs, name, service }: DayProcess): Process {
  const services = service === null ? [] : [service]
  return {
    pid,
    start_us: startUs,
    name,
    path: null,
    parent_pid: null,
    services,
    container_id: null,
    user: null,
    pod: null,
    parent_name: null,
    container_image: null,
  }
}

/** What the system's events tell of a plan: TCP ends, first datagrams each way, and processes. */
function eventsOf({ sessions, processes }: HostPlan): TrueEvent[] {
  const events: TrueEvent[] = []
  for (const process of processes) {
    const common = { process, socket: null, remoteIp: null, remotePort: null }
    events.push({ ...common, timeUs: process.startUs, kind: 'process_start' })
    events.push({ ...common, timeUs: process.endUs, kind: 'process_exit' })
  }
  for (const { socket, proto, isInbound, remoteIp, remotePort, firstUs } of sessions) {
    const common = { process: socket.process, socket, remoteIp, remotePort }
    if (proto === 'udp') {
      events.push({ ...common, timeUs: firstUs - 10, kind: 'send' })
      continue
    }
    events.push({ ...common, timeUs: isInbound ? socket.openUs : firstUs - 10, kind: isInbound ? 'accept' : 'connect' })
    events.push({ ...common, timeUs: socket.closeUs, kind: 'close' })
  }
  return events
}
