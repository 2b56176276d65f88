import { HostDirectory } from '#core/host-directory.ts'
import { codecs, type PacketBatch, partitionKey } from '#schemas'
import { createCapture } from '../../capture/create-capture.ts'
import type { TimedInput } from '../score-inputs.ts'
import type { TruthLine } from '../truth-line.ts'
import { type AgentConditions, DayAgent } from './agent.ts'
import { restarts } from './disturbances.ts'
import { Internet } from './internet.ts'
import { type PlannedPacket, packetsOf, toBlock } from './packets.ts'
import { type HostPlan, HostPlanner, type PlannedSession } from './plan.ts'
import type { Span } from './processes.ts'
import { Random } from './random.ts'

const stepUs = 1_000_000
/** Behind the last packet: every session has ended by then. */
const silenceUs = 400 * stepUs
const startUs = Date.UTC(2026, 0, 5) * 1000

export interface DayShape {
  hosts: number
  sessions: number
  hours: number
  seed: number
  conditions: (host: number, span: Span, random: Random) => AgentConditions
  mirror: MirrorConditions
}

/** What the mirror port does to the packets. */
export interface MirrorConditions {
  /** Of the packets, lost without a word. */
  lostShare: number
  /** Half of the packets come up to this much later than they were sent; their time stays. */
  lateUs: number
  /** No ClientHello and no DNS answer can be read. */
  hidesNames: boolean
}

export const goodMirror: MirrorConditions = Object.freeze({ lostShare: 0, lateUs: 0, hidesNames: false })

/** The source's day: 7 hosts, 24 hours, 127,245 sessions. */
export const sourceDay = Object.freeze({ hosts: 7, sessions: 127_245, hours: 24, seed: 1 })

/** The source's setting, and clocks that are kept well. */
export const usualAgent: DayShape['conditions'] = (host, span, random) => ({
  ...{ events: true, lostShare: 0, periodUs: 50_000, downs: restarts(span, random) },
  ...{ offsetUs: (host - 3) * 20_000, driftPpm: 1 },
})

/** A simulated day of several hosts, the same for the same seed, with its truth. */
export class Day {
  readonly #shape: DayShape
  readonly #span: Span
  readonly #plans: HostPlan[]

  constructor(shape: DayShape) {
    this.#shape = shape
    this.#span = { fromUs: startUs, toUs: startUs + shape.hours * 3_600_000_000 }
    const internet = new Internet(shape.seed)
    this.#plans = Array.from({ length: shape.hosts }, (_, host) =>
      new HostPlanner(`10.0.0.${host + 1}`, this.#span, internet, shape.seed * 1000 + host).plan(
        Math.round(shape.sessions / shape.hosts),
      ),
    )
  }

  *truth(): Generator<TruthLine> {
    for (const [host, { ip, sessions }] of this.#plans.entries()) {
      for (const { socket, proto, remoteIp, remotePort, firstUs, lastUs } of sessions) {
        yield {
          ...{ host_id: hostIdOf(host), proto, local_ip: ip, local_port: socket.localPort },
          ...{ remote_ip: remoteIp, remote_port: remotePort },
          ...{ first_us: Math.round(firstUs), last_us: Math.round(lastUs) },
          owners: [{ process: socket.process.name, pid: socket.process.pid }],
        }
      }
    }
  }

  /** What agents and sensor publish, each second at its end, and a long silence behind the last packet. */
  *inputs(): Generator<TimedInput> {
    const { seed, conditions, mirror } = this.#shape
    const { fromUs } = this.#span
    const agents = this.#plans.map((plan, host) => {
      const random = new Random(seed * 99 + host)
      return new DayAgent(hostIdOf(host), plan, fromUs, conditions(host, this.#span, random), random)
    })
    const directory = new HostDirectory()
    for (const agent of agents) {
      const record = agent.announcement()
      directory.apply(codecs.hosts.decode(record.value))
      yield { ...record, takenInUs: fromUs }
    }
    const capture = createCapture({ sensorId: 'day', runId: 'run 1', hosts: directory, keepUnmonitored: false })
    const packets = new PacketQueue(this.#plans, mirror, new Random(seed * 77))
    const endUs = packets.lastUs + silenceUs
    for (let untilUs = fromUs + stepUs; untilUs < endUs; untilUs += stepUs) {
      for (const agent of agents) for (const record of agent.until(untilUs)) yield { ...record, takenInUs: untilUs }
      const due = packets.take(untilUs)
      const batches = due.length > 0 ? capture.add(toBlock(due)) : []
      for (const batch of [...batches, ...capture.tick(untilUs)]) yield toInput(batch, untilUs)
    }
    for (const batch of capture.flush()) yield toInput(batch, endUs)
  }
}

/** All packets of all hosts in order of time, made when their session begins. */
class PacketQueue {
  readonly #random: Random
  readonly #mirror: MirrorConditions
  /** In order of their first packet. */
  readonly #sessions: { ip: string; session: PlannedSession }[]
  /** Packets by the step in which they arrive. */
  readonly #due = new Map<number, { arrivalUs: number; packet: PlannedPacket }[]>()
  readonly lastUs: number
  #next = 0

  constructor(plans: readonly HostPlan[], mirror: MirrorConditions, random: Random) {
    this.#random = random
    this.#mirror = mirror
    this.#sessions = plans.flatMap(({ ip, sessions }) => sessions.map(session => ({ ip, session })))
    this.#sessions.sort((a, b) => a.session.firstUs - b.session.firstUs)
    this.lastUs = this.#sessions.reduce((lastUs, { session }) => Math.max(lastUs, session.lastUs), 0)
  }

  /** The packets of the step that ends at a time. Every step must be asked for. */
  take(untilUs: number): PlannedPacket[] {
    for (; this.#next < this.#sessions.length; this.#next++) {
      const { ip, session } = this.#sessions[this.#next]!
      if (session.firstUs >= untilUs) break
      const named = this.#mirror.hidesNames ? { ...session, name: null, answer: null } : session
      for (const packet of packetsOf(named, ip, this.#random)) this.#put(packet)
    }
    const step = Math.ceil(untilUs / stepUs) - 1
    const due = this.#due.get(step) ?? []
    this.#due.delete(step)
    return due.sort((a, b) => a.arrivalUs - b.arrivalUs).map(({ packet }) => packet)
  }

  #put(packet: PlannedPacket): void {
    const { lostShare, lateUs } = this.#mirror
    if (this.#random.chance(lostShare)) return
    const arrivalUs = packet.timeUs + (this.#random.chance(0.5) ? this.#random.between(0, lateUs) : 0)
    const step = Math.floor(arrivalUs / stepUs)
    const due = this.#due.get(step)
    if (due) due.push({ arrivalUs, packet })
    else this.#due.set(step, [{ arrivalUs, packet }])
  }
}

const toInput = (batch: PacketBatch, takenInUs: number): TimedInput => ({
  topic: 'packets',
  key: partitionKey(batch.host_id),
  value: codecs.packets.encode(batch),
  takenInUs,
})

const hostIdOf = (host: number): string => `pc-${host + 1}`
