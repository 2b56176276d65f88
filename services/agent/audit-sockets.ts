import type { Process, SocketEvent } from '#schemas'
import { type Address, type Call, protocolOf } from './audit-record.ts'

/** A call that a process made, with the address that it gave or was given. */
export interface AuditCall {
  call: Call
  timeUs: number
  process: Process
  fields: ReadonlyMap<string, string>
  address: Address | null
}

/** What a call tells, with the socket of it, whose port may be told later. */
export interface Told {
  event: SocketEvent
  socket: Socket | null
}

/** A socket whose beginning is in the log. */
export interface Socket {
  protocol: 'tcp' | 'udp' | 'other'
  local: Address | null
  remote: Address | null
}

/**
 * The kernel stamps a call as it begins, by the clock's last tick, which is 1 to 10 ms old (CONFIG_HZ), and the log cuts
 * milliseconds.
 */
export const RESOLUTION_US = 11_000
/** Sockets that are remembered; then all are forgotten. */
const MAX_SOCKETS = 100_000

/** After which connect has sent a SYN all the same: EINTR, ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH, EINPROGRESS. */
const TRIED = new Set(['-4', '-104', '-110', '-111', '-113', '-115'])

const BOTH = ['tcp', 'udp'] as const

/**
 * The sockets of a host as its calls tell them. Connect and accept tell the remote end alone: the local one is known where the
 * socket was bound, or asked for its name. Only of sockets whose `socket` or `accept` is in the log: of another descriptor it
 * is not known whether it is still the same socket.
 */
export class AuditSockets {
  /** By pid and descriptor. */
  readonly #processes = new Map<number, Map<number, Socket>>()
  #count = 0

  /** What a call tells, in the order in which calls are logged. */
  tell(call: AuditCall): Iterable<Told> {
    return this.#tell(call)
  }

  *#tell({ call, timeUs, process, fields, address }: AuditCall): Generator<Told> {
    const { pid } = process
    const event = (kind: SocketEvent['kind'], ends: Ends): SocketEvent => ({
      ...{ kind, time_us: timeUs, resolution_us: RESOLUTION_US, pid, start_us: process.start_us, ...ends },
    })
    if (call === 'exit') {
      this.#forget(pid)
      yield { event: event('process_exit', noEnds), socket: null }
      return
    }
    const exit = fields.get('exit') ?? ''
    const hasSucceeded = fields.get('success') === 'yes'
    if (!hasSucceeded && !(call === 'connect' && TRIED.has(exit))) return
    const descriptor = Number.parseInt(fields.get('a0') ?? '', 16)
    if (call === 'socket') {
      this.#set(pid, Number(exit), { protocol: protocolOf(fields), local: null, remote: null })
      return
    }
    const socket = this.#processes.get(pid)?.get(descriptor) ?? null
    const protocols = socket === null ? BOTH : BOTH.filter(one => one === socket.protocol)
    // Port 0: a resolver that tries which of its addresses would be used; a server that takes any.
    const end = address === null || address.port === 0 ? null : address
    switch (call) {
      case 'close':
        if (this.#processes.get(pid)?.delete(descriptor)) this.#count--
        return
      case 'bind':
      case 'getsockname': {
        if (end === null || (socket === null && call === 'getsockname')) return
        const isNew = socket?.local?.port !== end.port
        if (socket !== null) socket.local = end
        if (!isNew || (socket !== null && socket.remote !== null)) return
        for (const proto of protocols)
          yield { event: event(proto === 'tcp' ? 'listen' : 'receive', endsOf(proto, end, null)), socket }
        return
      }
      case 'accept': {
        // Accepted is what TCP connects. Who does not ask for the other end still shows that the listener is there.
        const local = socket?.local ?? null
        const accepted: Socket = { protocol: 'tcp', local, remote: end }
        if (socket?.protocol === 'other') accepted.protocol = 'other'
        this.#set(pid, Number(exit), accepted)
        if (end !== null) yield { event: event('accept', endsOf('tcp', local, end)), socket: accepted }
        else if (socket?.protocol === 'tcp' && local !== null)
          yield { event: event('listen', endsOf('tcp', local, null)), socket }
        return
      }
      case 'connect':
        if (socket !== null) socket.remote = end
        if (end === null) return
        for (const proto of protocols) {
          // Of UDP connect sends nothing and does not fail so.
          if (proto === 'udp' && !hasSucceeded) continue
          const kind = proto === 'tcp' ? 'connect' : 'send'
          yield { event: event(kind, endsOf(proto, socket?.local ?? null, end)), socket }
        }
        return
      case 'send': {
        const to = end ?? (socket?.protocol === 'udp' ? socket.remote : null)
        if (to !== null && protocols.includes('udp'))
          yield { event: event('send', endsOf('udp', socket?.local ?? null, to)), socket }
      }
    }
  }

  #set(pid: number, descriptor: number, socket: Socket): void {
    const isNew = !this.#processes.get(pid)?.has(descriptor)
    if (isNew && ++this.#count > MAX_SOCKETS) {
      this.#processes.clear()
      this.#count = 1
    }
    let sockets = this.#processes.get(pid)
    if (sockets === undefined) {
      sockets = new Map()
      this.#processes.set(pid, sockets)
    }
    sockets.set(descriptor, socket)
  }

  #forget(pid: number): void {
    this.#count -= this.#processes.get(pid)?.size ?? 0
    this.#processes.delete(pid)
  }
}

type Ends = Pick<SocketEvent, 'proto' | 'local_ip' | 'local_port' | 'remote_ip' | 'remote_port'>

const noEnds: Ends = { proto: null, local_ip: null, local_port: null, remote_ip: null, remote_port: null }

const endsOf = (proto: 'tcp' | 'udp', local: Address | null, remote: Address | null): Ends => ({
  proto,
  local_ip: local?.ip ?? null,
  local_port: local?.port ?? null,
  remote_ip: remote?.ip ?? null,
  remote_port: remote?.port ?? null,
})
