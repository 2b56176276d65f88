import type { Process, Socket } from '#schemas'
import { LOG_KEYFRAME_PERIOD_MS, SocketLogWriter } from '../../agent/record.ts'
import { SnapshotBuilder } from '../../agent/snapshots.ts'
import { addressOf, hostAddress, hostCount, type TrafficListener, type TrafficSession } from './traffic.ts'

const pollPeriodUs = 50_000
const pollsPerMessage = 20
const programs = ['chrome', 'curl', 'python3', 'node', 'sshd', 'nginx', 'postgres', 'java', 'systemd-resolve', 'backup']
const processesPerHost = 40
/** A UDP socket is closed so long after its last packet. */
const udpCloseUs = 1_000_000

class LoggedHost {
  readonly ip: number
  readonly #writer: SocketLogWriter
  readonly #builder: SnapshotBuilder
  readonly #processes: Process[]
  readonly #known = new Set<number>()
  #opened = new Map<number, Socket>()
  #closed: number[] = []
  #polls = 0

  constructor(folder: string, host: number, startUs: number) {
    const hostId = `bench-${host + 1}`
    this.ip = hostAddress(host)
    this.#writer = new SocketLogWriter(folder, hostId)
    this.#builder = new SnapshotBuilder(
      hostId,
      'bench',
      (LOG_KEYFRAME_PERIOD_MS * 1000) / (pollPeriodUs * pollsPerMessage),
    )
    this.#processes = Array.from({ length: processesPerHost }, (_, i) => ({
      pid: 1000 + i,
      start_us: startUs - 3_600_000_000,
      name: programs[i % programs.length]!,
      path: `/usr/bin/${programs[i % programs.length]}`,
      parent_pid: 1,
      services: [],
      container_id: null,
      user: 'bench',
      pod: null,
      parent_name: null,
      container_image: null,
    }))
    this.#writer.append('hosts', {
      host_id: hostId,
      names: [hostId],
      addresses: [{ ip: addressOf(this.ip), since_us: null, until_us: null, namespace: null }],
      os: 'linux',
      agent_version: 'bench',
      poll_period_us: pollPeriodUs,
      boot_id: null,
      updated_us: startUs,
    })
  }

  open(session: TrafficSession): void {
    const isClient = session.client === this.ip
    const { pid, start_us } = this.#processes[session.id % processesPerHost]!
    this.#opened.set(session.id, {
      id: session.id,
      proto: session.protocol === 6 ? 'tcp' : 'udp',
      local_ip: addressOf(this.ip),
      local_port: isClient ? session.clientPort : session.serverPort,
      remote_ip: addressOf(isClient ? session.server : session.client),
      remote_port: isClient ? session.serverPort : session.clientPort,
      state: session.protocol === 6 ? 'established' : 'bound',
      v6_only: false,
      owners: [{ pid, start_us }],
      created_us: null,
    })
  }

  /** A socket that came and went between two polls is in none. */
  close(id: number): void {
    if (!this.#opened.delete(id) && this.#known.delete(id)) this.#closed.push(id)
  }

  poll(timeUs: number): void {
    const opened = [...this.#opened.values()]
    for (const { id } of opened) this.#known.add(id)
    this.#builder.add({
      timeUs,
      monotonicUs: timeUs,
      durationUs: 300,
      opened,
      closed: this.#closed,
      processes: this.#processes,
    })
    this.#opened = new Map()
    this.#closed = []
    if (++this.#polls % pollsPerMessage === 0) this.take()
  }

  take(): void {
    if (this.#builder.waitingSinceUs !== null) this.#writer.append('socket-snapshots', this.#builder.take())
  }
}

/** Writes the socket logs of the traffic's hosts while it is made: a poll every 50 ms as the Linux agent's, deltas between keyframes. */
export class SocketLogMaker implements TrafficListener {
  readonly #folder: string
  readonly #hosts: LoggedHost[] = []
  /** UDP sockets whose session is over, in order of the time at which they are closed. */
  #lingering: { id: number; untilUs: number }[] = []
  #nextPollUs = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  opened(session: TrafficSession, timeUs: number): void {
    this.#pollUntil(timeUs)
    for (const host of this.#hosts) if (host.ip === session.client || host.ip === session.server) host.open(session)
  }

  closed(session: TrafficSession, timeUs: number): void {
    this.#pollUntil(timeUs)
    if (session.protocol === 17) this.#lingering.push({ id: session.id, untilUs: timeUs + udpCloseUs })
    else for (const host of this.#hosts) host.close(session.id)
  }

  end(): void {
    for (const host of this.#hosts) {
      host.poll(this.#nextPollUs)
      host.take()
    }
  }

  #pollUntil(timeUs: number): void {
    if (this.#hosts.length === 0) {
      for (let i = 0; i < hostCount; i++) this.#hosts.push(new LoggedHost(this.#folder, i, timeUs))
      this.#nextPollUs = timeUs + pollPeriodUs
    }
    for (; this.#nextPollUs <= timeUs; this.#nextPollUs += pollPeriodUs) {
      const over = this.#lingering.findIndex(({ untilUs }) => untilUs > this.#nextPollUs)
      const closed = this.#lingering.splice(0, over < 0 ? this.#lingering.length : over)
      for (const host of this.#hosts) {
        for (const { id } of closed) host.close(id)
        host.poll(this.#nextPollUs)
      }
    }
  }
}
