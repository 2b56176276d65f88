import type { Internet } from './internet.ts'
import { type DayProcess, Processes, type Span } from './processes.ts'
import { type Habit, type Program, programs } from './programs.ts'
import { Random } from './random.ts'

const ms = 1000
const second = 1_000_000
/** Windows' ephemeral ports. */
const firstPort = 49_152
const ports = 65_536 - firstPort
export const timeWaitUs = 120 * second
const any = '0.0.0.0'
/** How much of the traffic of a busy hour an hour has, from midnight. */
const hourWeights = [3, 2, 2, 2, 2, 3, 4, 6, 8, 9, 10, 10, 9, 10, 10, 10, 9, 8, 7, 7, 6, 5, 4, 3]

/** A socket of the simulated host; times are true, microseconds. */
export interface PlannedSocket {
  id: number
  process: DayProcess
  proto: 'tcp' | 'udp'
  state: 'listen' | 'established' | 'bound'
  localIp: string
  localPort: number
  remoteIp: string | null
  remotePort: number | null
  openUs: number
  closeUs: number
  /** Stays in the table without an owner for two minutes. */
  hasTimeWait: boolean
}

export interface PlannedSession {
  socket: PlannedSocket
  proto: 'tcp' | 'udp'
  isInbound: boolean
  remoteIp: string
  remotePort: number
  /** First and last packet. */
  firstUs: number
  lastUs: number
  packets: number
  roundTripUs: number
  /** The name of a ClientHello, or that a DNS query asks for, with its answer. */
  name: string | null
  answer: string | null
}

export interface HostPlan {
  ip: string
  /** In order of their first packet. */
  sessions: PlannedSession[]
  /** In order of their opening. */
  sockets: PlannedSocket[]
  processes: DayProcess[]
}

interface Wish {
  habit: Habit
  program: Program
  process: DayProcess
  firstUs: number
  serverName: string | null
}

/** All that one host does in a span of time. */
export class HostPlanner {
  readonly #random: Random
  readonly #internet: Internet
  readonly #span: Span
  readonly #ip: string
  readonly #processes: Processes
  readonly #sessions: PlannedSession[] = []
  readonly #sockets: PlannedSocket[] = []
  /** Sockets that serve many sessions, by process and port. */
  readonly #standing = new Map<string, PlannedSocket>()

  constructor(ip: string, span: Span, internet: Internet, seed: number) {
    this.#ip = ip
    this.#span = span
    this.#internet = internet
    this.#random = new Random(seed)
    this.#processes = new Processes(this.#random, span)
  }

  plan(sessions: number): HostPlan {
    for (const program of programs) this.#runProgram(program, Math.round(program.share * sessions))
    this.#sessions.sort((a, b) => a.firstUs - b.firstUs)
    this.#sockets.sort((a, b) => a.openUs - b.openUs)
    this.#givePorts()
    for (const [i, socket] of this.#sockets.entries()) socket.id = i + 1
    return { ip: this.#ip, sessions: this.#sessions, sockets: this.#sockets, processes: this.#processes.all }
  }

  #runProgram(program: Program, sessions: number): void {
    const isBursty = program.names === 'any' || program.isBrief
    for (let left = sessions; left > 0; ) {
      const startUs = this.#startTime()
      const count = Math.min(left, isBursty ? 1 + Math.floor(this.#random.exponential(5)) : 1)
      left -= count
      const times = Array.from({ length: count }, () => startUs + this.#random.exponential(second)).sort(
        (a, b) => a - b,
      )
      const briefly = program.isBrief ? this.#processes.brief(program, times[0]! - 50 * ms) : null
      let endUs = 0
      for (const firstUs of times) {
        const habit = this.#random.weighted(program.habits)
        const service = program.services?.[habit] ?? null
        const process = briefly ?? this.#processes.at(program, service, firstUs)
        const session = this.#session({ habit, program, process, firstUs, serverName: null })
        endUs = Math.max(endUs, session.socket.closeUs)
      }
      if (briefly) briefly.endUs = Math.round(endUs + this.#random.between(1 * ms, second))
    }
  }

  #startTime(): number {
    const { fromUs, toUs } = this.#span
    for (;;) {
      const timeUs = this.#random.between(fromUs, toUs - 10 * second)
      const hour = Math.floor(timeUs / 3_600_000_000) % 24
      if (this.#random.uniform() * 10 < hourWeights[hour]!) return timeUs
    }
  }

  #session(wish: Wish): PlannedSession {
    const random = this.#random
    const { habit, process, program, firstUs } = wish
    const server = () =>
      program.names === 'any'
        ? this.#internet.anywhere(random)
        : this.#internet.ownOf(program.name, program.names, random)
    switch (habit) {
      case 'dns': {
        const { name, ip } = random.chance(0.9) ? this.#internet.anywhere(random) : server()
        const lengthUs = random.logNormal(20 * ms, 0.9)
        const resolver = random.chance(0.9) ? '198.51.100.53' : '198.51.100.54'
        return this.#udp(wish, resolver, 53, { lengthUs, packets: 2, lingerUs: 0.3 * ms, name, answer: ip })
      }
      case 'web': {
        const { name, ip } = server()
        const lengthUs = random.logNormal(800 * ms, 1.6)
        const packets = 8 + Math.floor(random.exponential(12))
        return this.#tcp(wish, ip, random.chance(0.95) ? 443 : 80, { lengthUs, packets, name })
      }
      case 'web-long': {
        const { name, ip } = server()
        const lengthUs = random.between(60, 3600) * second
        return this.#tcp(wish, ip, 443, { lengthUs, packets: 8 + Math.floor(lengthUs / (30 * second)), name })
      }
      case 'quic': {
        const lengthUs = random.logNormal(5 * second, 1)
        const packets = 4 + Math.floor(random.exponential(20))
        return this.#udp(wish, server().ip, 443, { lengthUs, packets, lingerUs: 30 * second })
      }
      case 'ssh-server': {
        const lengthUs = random.logNormal(1.5 * second, 0.8)
        return this.#tcp(wish, this.#internet.someone(random), 22, { lengthUs, packets: 12, name: null })
      }
      case 'smb': {
        const lengthUs = random.logNormal(4 * second, 1)
        return this.#tcp(wish, `10.0.0.${100 + random.below(4)}`, 445, { lengthUs, packets: 20, name: null })
      }
      case 'peer': {
        const lengthUs = random.logNormal(120 * second, 1)
        const packets = 4 + Math.floor(lengthUs / second)
        const socket = this.#standingSocket(process, 0)
        return this.#add(wish, socket, this.#internet.someone(random), 20_000 + random.below(30_000), lengthUs, packets)
      }
      case 'ntp':
        return this.#add(
          wish,
          this.#standingSocket(process, 123),
          '198.51.100.123',
          123,
          random.logNormal(30 * ms, 0.5),
          2,
        )
      case 'netbios':
        return this.#add(wish, this.#standingSocket(process, 137), '10.0.0.255', 137, 1.5 * second, 3)
      case 'multicast': {
        const lengthUs = random.between(2, 4) * second
        return this.#udp(wish, '239.255.255.250', 1900, {
          lengthUs,
          packets: 4,
          lingerUs: random.between(0, 5) * second,
        })
      }
      default:
        throw new Error(`no such habit: ${habit satisfies never} of ${firstUs}`)
    }
  }

  #tcp(
    wish: Wish,
    remoteIp: string,
    port: number,
    shape: { lengthUs: number; packets: number; name: string | null },
  ): PlannedSession {
    const random = this.#random
    const isInbound = wish.habit === 'ssh-server'
    if (isInbound) this.#standingSocket(wish.process, port)
    const roundTripUs = this.#roundTrip(remoteIp)
    const lastUs = wish.firstUs + Math.max(shape.lengthUs, 4 * roundTripUs)
    const socket: PlannedSocket = {
      ...{ id: 0, process: wish.process, proto: 'tcp', state: 'established', localIp: this.#ip },
      localPort: isInbound ? port : 0,
      remoteIp,
      remotePort: isInbound ? 1024 + random.below(60_000) : port,
      openUs: isInbound ? wish.firstUs + roundTripUs : wish.firstUs - random.between(20, 200),
      closeUs: lastUs + random.between(10, 300),
      hasTimeWait: random.chance(0.5),
    }
    this.#sockets.push(socket)
    const session: PlannedSession = {
      ...{ socket, proto: 'tcp', isInbound, remoteIp, remotePort: socket.remotePort!, firstUs: wish.firstUs, lastUs },
      ...{ packets: shape.packets, roundTripUs, name: port === 443 ? shape.name : null, answer: null },
    }
    this.#sessions.push(session)
    return session
  }

  #udp(
    wish: Wish,
    remoteIp: string,
    remotePort: number,
    shape: { lengthUs: number; packets: number; lingerUs: number; name?: string; answer?: string },
  ): PlannedSession {
    const { lengthUs, packets, lingerUs, name, answer } = shape
    const socket: PlannedSocket = {
      ...{ id: 0, process: wish.process, proto: 'udp', state: 'bound', localIp: any, localPort: 0 },
      ...{ remoteIp: null, remotePort: null, hasTimeWait: false },
      openUs: wish.firstUs - this.#random.between(50, 300),
      closeUs: wish.firstUs + lengthUs + lingerUs,
    }
    this.#sockets.push(socket)
    const session = this.#add(wish, socket, remoteIp, remotePort, lengthUs, packets)
    session.name = name ?? null
    session.answer = answer ?? null
    return session
  }

  #add(
    { firstUs }: Wish,
    socket: PlannedSocket,
    remoteIp: string,
    remotePort: number,
    lengthUs: number,
    packets: number,
  ): PlannedSession {
    const session: PlannedSession = {
      ...{ socket, proto: 'udp', isInbound: false, remoteIp, remotePort, firstUs, lastUs: firstUs + lengthUs },
      ...{ packets, roundTripUs: this.#roundTrip(remoteIp), name: null, answer: null },
    }
    this.#sessions.push(session)
    return session
  }

  /** A socket that its process has as long as it lives; port 0 for an ephemeral one. */
  #standingSocket(process: DayProcess, port: number): PlannedSocket {
    const key = `${process.pid} ${process.startUs} ${port}`
    let socket = this.#standing.get(key)
    if (!socket) {
      const isTcp = port === 22
      socket = {
        ...{ id: 0, process, proto: isTcp ? 'tcp' : 'udp', state: isTcp ? 'listen' : 'bound', localIp: any },
        ...{ localPort: port, remoteIp: null, remotePort: null, hasTimeWait: false },
        openUs: process.startUs,
        closeUs: process.endUs,
      }
      this.#standing.set(key, socket)
      this.#sockets.push(socket)
    }
    return socket
  }

  /** From 1 to 60 ms, the same for the same address. */
  #roundTrip(remoteIp: string): number {
    let hash = 0
    for (const character of remoteIp) hash = (Math.imul(hash, 31) + character.charCodeAt(0)) >>> 0
    return 1 * ms + (hash % 59) * ms
  }

  /** Ephemeral ports in order of opening: of TCP mostly the next one, of UDP, and sometimes of TCP, any that is free. */
  #givePorts(): void {
    const freeAtUs = { tcp: new Float64Array(ports), udp: new Float64Array(ports) }
    let next = this.#random.below(ports)
    for (const socket of this.#sockets) {
      if (socket.localPort !== 0) continue
      const free = freeAtUs[socket.proto]
      const isNext = socket.proto === 'tcp' && this.#random.chance(0.7)
      let port = isNext ? next++ % ports : this.#random.below(ports)
      while (free[port]! > socket.openUs) port = (port + 1) % ports
      free[port] = socket.closeUs + (socket.hasTimeWait ? timeWaitUs : 0) + 1
      socket.localPort = firstPort + port
    }
  }
}
