import { randomUUID } from 'node:crypto'
import { addressText } from '#core/address.ts'
import {
  type Host,
  type PacketBatch,
  PacketBatchBuilder,
  type Process,
  type Socket,
  type SocketSnapshot,
} from '#schemas'
import { SnapshotBuilder } from '../../../agent/snapshots.ts'
import type { FlowMix, RealFlow } from './real-flows.ts'

export interface LoadShape {
  hosts: number
  /** Sessions that begin each second, on all hosts together. */
  sessionsPerSecond: number
  /** Packet batches are closed this often. */
  batchMs: number
  /** So long at the beginning, a session has only its first and last packets: enough for it to be there, and cheap. */
  historyMs: number
  /** A message for each packet instead of a batch: what the design does not do. */
  isSingle?: boolean
  seed: number
}

/** What a load is made of, besides its shape. */
export const meanPackets = 60
export const meanDurationS = 20

/** No flow of a mix takes longer. */
const longestMs = 110_000
const pollMs = 50
const pollsPerMessage = 20
const messagesPerKeyframe = 5
/** A UDP socket is closed so long after its last packet. */
const udpCloseMs = 1000
const [firstPort, lastPort] = [32_768, 60_999]
const serverShare = 0.15
const programs = ['chrome', 'curl', 'python3', 'node', 'sshd', 'nginx', 'postgres', 'java', 'systemd-resolve', 'backup']
const processesPerHost = 40
/** Packets at either end of a session that it has during the history. */
const historyPackets = 3
/** Remote addresses: a few have most of the sessions. */
const remotes = 20_000
const synFlag = 2

/** A record with the moment at which its producer has it, milliseconds from the load's begin. */
export interface LoadRecord {
  atMs: number
  host: number
  packets: PacketBatch | null
  sockets: SocketSnapshot | null
}

interface OpenSession {
  flow: RealFlow
  beganUs: number
  next: number
  nextSyn: number
  /** Two addresses of four words each, the host's first. */
  words: Int32Array
  localPort: number
  remotePort: number
  isServer: boolean
  sequence: number
  /** Of its socket. */
  id: number
  /** Its index in the batch that is built. */
  flowInBatch: number
  closesMs: number
}

/**
 * Traffic of many hosts and what their agents say of it: sessions begin at random moments (Poisson), each with the packets,
 * sizes and inter-arrival times of a flow drawn from the mix. In step from the first moment on: sessions that began before
 * are in their midst. The same for the same seed; times count from `startUs`.
 */
export class Load {
  readonly shape: LoadShape
  readonly startUs: number
  packets = 0
  sessions = 0
  polls = 0
  readonly #mix: FlowMix
  readonly #hosts: LoadHost[]
  readonly #runId = randomUUID()
  readonly #random: Random
  #atMs = 0

  constructor(shape: LoadShape, mix: FlowMix, startUs: number) {
    this.shape = shape
    this.startUs = startUs
    this.#mix = mix
    this.#random = new Random(shape.seed)
    this.#hosts = Array.from({ length: shape.hosts }, (_, number) => new LoadHost(number, startUs, this.#runId))
    this.#begin(-longestMs, 0)
    for (const host of this.#hosts) host.skipTo(0)
    this.sessions = 0
  }

  get open(): number {
    return this.#hosts.reduce((sum, { open }) => sum + open.length, 0)
  }

  hostRecords(): Host[] {
    return this.#hosts.map(host => host.record())
  }

  /** The records of the next `batchMs`, in order of time. */
  next(): LoadRecord[] {
    const fromMs = this.#atMs
    const toMs = fromMs + this.shape.batchMs
    this.#atMs = toMs
    this.#begin(fromMs, toMs)
    const records: LoadRecord[] = []
    for (const host of this.#hosts) {
      for (const packets of host.batches(toMs, this.shape))
        records.push({ atMs: toMs, host: host.number, packets, sockets: null })
      this.packets += host.batched
      for (const { atMs, sockets } of host.poll(fromMs, toMs)) {
        this.polls += sockets.polls.length
        records.push({ atMs, host: host.number, packets: null, sockets })
      }
    }
    return records.sort((a, b) => a.atMs - b.atMs)
  }

  /** Begins the sessions of a span of time. */
  #begin(fromMs: number, toMs: number): void {
    const random = this.#random
    const perMs = this.shape.sessionsPerSecond / this.shape.hosts / 1000
    for (const host of this.#hosts) {
      for (;;) {
        const nextMs = Math.max(host.nextSessionMs, fromMs)
        if (host.nextSessionMs < fromMs) {
          host.nextSessionMs = nextMs - Math.log(1 - random.uniform()) / perMs
          continue
        }
        if (nextMs >= toMs) break
        host.start(this.#mix.draw(random.uniform()), nextMs * 1000, random)
        this.sessions++
        host.nextSessionMs = nextMs - Math.log(1 - random.uniform()) / perMs
      }
    }
  }
}

class LoadHost {
  readonly number: number
  readonly hostId: string
  open: OpenSession[] = []
  nextSessionMs = Number.NEGATIVE_INFINITY
  /** Packets in the last batch. */
  batched = 0
  readonly #startUs: number
  readonly #runId: string
  readonly #ip: number
  readonly #builder = new PacketBatchBuilder()
  readonly #snapshots: SnapshotBuilder
  readonly #processes: Process[]
  #order: { session: OpenSession; row: number; us: number }[] = []
  #opening: OpenSession[] = []
  #closing: OpenSession[] = []
  #known = new Set<number>()
  #seq = 0
  #port = firstPort
  #nextId = 1
  #nextPollMs: number
  #polls = 0

  constructor(number: number, startUs: number, runId: string) {
    this.number = number
    this.hostId = `host-${String(number).padStart(5, '0')}`
    this.#startUs = startUs
    this.#runId = runId
    this.#ip = 0x0a010000 + number
    this.#snapshots = new SnapshotBuilder(this.hostId, runId, messagesPerKeyframe)
    // Agents were started at different moments.
    this.#nextPollMs = (number * 7) % pollMs
    this.#polls = (number * 3) % pollsPerMessage
    this.#processes = Array.from({ length: processesPerHost }, (_, i) => ({
      pid: 1000 + i,
      start_us: startUs - 3_600_000_000,
      name: programs[i % programs.length]!,
      path: `/usr/bin/${programs[i % programs.length]}`,
      parent_pid: 1,
      services: [],
      container_id: null,
      pod: null,
      parent_name: null,
      container_image: null,
      user: 'bench',
    }))
  }

  record(): Host {
    const names = { host_id: this.hostId, names: [this.hostId], os: 'linux' as const, agent_version: 'bench' }
    const words = new Int32Array([0, 0, 0xffff, this.#ip, 0x20010db8, 1, 0, this.#ip])
    const addresses = [0, 4].map(at => ({ ip: wordsText(words, at), since_us: null, until_us: null, namespace: null }))
    return { ...names, addresses, poll_period_us: pollMs * 1000, boot_id: null, updated_us: this.#startUs }
  }

  start(flow: RealFlow, beganUs: number, random: Random): void {
    const isServer = random.uniform() < serverShare
    const remote = Math.floor(remotes * random.uniform() ** 3)
    const words = flow.isV6
      ? [0x20010db8, 1, 0, this.#ip, 0x20010db8, 2, 0, remote]
      : [0, 0, 0xffff, this.#ip, 0, 0, 0xffff, 0xc6120000 + remote]
    const clientPort = isServer ? firstPort + random.below(lastPort - firstPort) : this.#takePort()
    const endMs = (beganUs + flow.timeUs.at(-1)!) / 1000
    const session: OpenSession = {
      flow,
      beganUs,
      next: 0,
      nextSyn: 0,
      words: Int32Array.from(words),
      localPort: isServer ? flow.serverPort : clientPort,
      remotePort: isServer ? clientPort : flow.serverPort,
      isServer,
      sequence: random.next(),
      id: this.#nextId++,
      flowInBatch: -1,
      closesMs: flow.protocol === 17 ? endMs + udpCloseMs : endMs,
    }
    this.open.push(session)
    this.#opening.push(session)
  }

  /** What came before is over: sessions that ended are forgotten, the others go on from here. */
  skipTo(atMs: number): void {
    const isOpen = ({ flow, beganUs }: OpenSession) => beganUs + flow.timeUs.at(-1)! >= atMs * 1000
    this.open = this.open.filter(isOpen)
    this.#opening = this.#opening.filter(isOpen)
    for (const session of this.open) {
      for (; session.beganUs + session.flow.timeUs[session.next]! < atMs * 1000; session.next++)
        if (session.flow.tcpFlags[session.next]! & synFlag) session.nextSyn++
    }
  }

  /** The packets up to a moment, as the sensor sends them. */
  batches(toMs: number, { historyMs, isSingle = false }: LoadShape): PacketBatch[] {
    const isHistory = toMs <= historyMs
    const toUs = toMs * 1000
    const order = this.#order
    order.length = 0
    const names: PacketBatch['names'] = []
    const dns: PacketBatch['dns'] = []
    for (const session of this.open) {
      const { flow, beganUs } = session
      session.flowInBatch = -1
      for (; session.next < flow.timeUs.length; session.next++) {
        const us = beganUs + flow.timeUs[session.next]!
        if (us >= toUs) break
        const isMiddle = session.next >= historyPackets && session.next < flow.timeUs.length - historyPackets
        if (isHistory && isMiddle) {
          if (flow.tcpFlags[session.next]! & synFlag) session.nextSyn++
          continue
        }
        order.push({ session, row: session.next, us })
      }
    }
    order.sort((a, b) => a.us - b.us)
    const batches: PacketBatch[] = []
    for (const { session, row, us } of order) {
      this.#add(session, row, us, names, dns)
      if (isSingle && !isHistory) {
        batches.push(this.#build(toUs, names.splice(0), dns.splice(0)))
        session.flowInBatch = -1
      }
    }
    const ended = this.open.filter(({ flow, next }) => next === flow.timeUs.length)
    if (ended.length > 0) {
      this.#closing.push(...ended)
      this.open = this.open.filter(({ flow, next }) => next < flow.timeUs.length)
    }
    this.batched = order.length
    return [...batches, this.#build(toUs, names, dns)]
  }

  /** A batch of what was added: without packets it is the host's tick. */
  #build(toUs: number, names: PacketBatch['names'], dns: PacketBatch['dns']): PacketBatch {
    const times = { seq: this.#seq++, until_us: this.#startUs + toUs, lost: 0 }
    return this.#builder.build({ host_id: this.hostId, sensor_id: 'bench', run_id: this.#runId, ...times, names, dns })
  }

  /** The agent's messages of a span of time; batches must have been made up to its end. */
  poll(fromMs: number, toMs: number): { atMs: number; sockets: SocketSnapshot }[] {
    const messages: { atMs: number; sockets: SocketSnapshot }[] = []
    for (; this.#nextPollMs < toMs; this.#nextPollMs += pollMs) {
      const atMs = this.#nextPollMs
      const opened: Socket[] = []
      const isNew = ({ beganUs }: OpenSession) => beganUs <= atMs * 1000
      for (const session of this.#opening) {
        // One that came and went between two polls is in none.
        if (!isNew(session) || session.closesMs <= atMs) continue
        opened.push(this.#socketOf(session))
        this.#known.add(session.id)
      }
      this.#opening = this.#opening.filter(session => !isNew(session))
      const closed: number[] = []
      for (const { id, closesMs } of this.#closing) if (closesMs <= atMs && this.#known.delete(id)) closed.push(id)
      this.#closing = this.#closing.filter(({ closesMs }) => closesMs > atMs)
      const timeUs = Math.round(this.#startUs + atMs * 1000)
      const processes = this.#processes
      this.#snapshots.add({ timeUs, monotonicUs: timeUs, durationUs: 300, opened, closed, processes })
      if (++this.#polls % pollsPerMessage === 0)
        messages.push({ atMs: Math.max(atMs, fromMs), sockets: this.#snapshots.take() })
    }
    return messages
  }

  #add(session: OpenSession, row: number, us: number, names: PacketBatch['names'], dns: PacketBatch['dns']): void {
    const builder = this.#builder
    const { flow, words, localPort, remotePort, isServer } = session
    if (session.flowInBatch < 0)
      session.flowInBatch = builder.addFlow(words, 0, 4, localPort, remotePort, flow.protocol, -1, null)
    const flags = flow.tcpFlags[row]!
    builder.addPacket(
      session.flowInBatch,
      Math.round(this.#startUs + us),
      flow.wireLength[row]!,
      flow.ipLength[row]!,
      flow.payloadLength[row]!,
      flags,
      (flow.toClient[row] === 1) === isServer ? 0 : 1,
      flags & synFlag ? (flow.synSequence[session.nextSyn++]! + session.sequence) >>> 0 : 0,
    )
    const packet = builder.packets - 1
    for (const name of flow.names) if (name.packet === row) names.push({ ...name, packet })
    if (!isServer) for (const answer of flow.dns) if (answer.packet === row) dns.push({ ...answer, packet })
  }

  #socketOf({ id, flow, words, localPort, remotePort }: OpenSession): Socket {
    const { pid, start_us } = this.#processes[id % processesPerHost]!
    return {
      id,
      proto: flow.protocol === 6 ? 'tcp' : 'udp',
      local_ip: wordsText(words, 0),
      local_port: localPort,
      remote_ip: wordsText(words, 4),
      remote_port: remotePort,
      state: flow.protocol === 6 ? 'established' : 'bound',
      v6_only: false,
      owners: [{ pid, start_us }],
      created_us: null,
    }
  }

  #takePort(): number {
    const port = this.#port
    this.#port = port === lastPort ? firstPort : port + 1
    return port
  }
}

/** xorshift32 (Marsaglia 2003). */
class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed * 2 + 1
  }

  next(): number {
    let x = this.#state
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#state = x
    return x >>> 0
  }

  uniform(): number {
    return this.next() / 0x1_0000_0000
  }

  below(limit: number): number {
    return Math.floor(this.uniform() * limit)
  }
}

function wordsText(words: Int32Array, at: number): string {
  const bytes = Buffer.alloc(16)
  for (let i = 0; i < 4; i++) bytes.writeInt32BE(words[at + i]!, i * 4)
  return addressText(bytes, 0)
}
