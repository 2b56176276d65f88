import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Host, Process, SocketEvent } from '#schemas'
import { EventMessages } from './event-messages.ts'
import { splitLines } from './lines.ts'
import { MAX_LINE_BYTES } from './open-log.ts'
import type { Place, Skip, SocketLogRecord } from './socket-log.ts'

/**
 * Logs of auditd, raw or enriched, as `/var/log/audit/audit.log` holds them and `ausearch --raw` and `ausearch` print them. An
 * event is a record of each kind under one time and number:
 *
 * ```
 * node=web1 type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=42 success=yes exit=0 a0=3 … pid=3538 … exe="/usr/bin/curl"
 * node=web1 type=SOCKADDR msg=audit(1364481363.243:24287): saddr=020001BBC63364010000000000000000
 * ```
 *
 * A call names the remote end alone: the local port is told where the same descriptor was bound, else it is null. Which protocol a
 * descriptor speaks is known where its `socket` call is in the log, too; else it may be either.
 * https://github.com/linux-audit/audit-documentation/wiki
 */
const RECORD = /^(?:node=(\S+) )?type=(\S+) msg=audit\((\d{9,10})\.(\d{3}):(\d+)\): ?(.*)$/

type Call = 'socket' | 'connect' | 'accept' | 'bind' | 'listen' | 'send' | 'close' | 'exit'

/** By the arch of a record (AUDIT_ARCH_*) and the number of the call: x86-64, 64-bit ARM, x86. */
const CALLS: Readonly<Record<string, Readonly<Record<string, Call>>>> = {
  c000003e: callsOf({
    ...{ socket: [41], connect: [42], accept: [43, 288], bind: [49], listen: [50], send: [44, 46, 307], close: [3] },
    exit: [231],
  }),
  c00000b7: callsOf({
    ...{
      socket: [198],
      connect: [203],
      accept: [202, 242],
      bind: [200],
      listen: [201],
      send: [206, 211, 269],
      close: [57],
    },
    exit: [94],
  }),
  '40000003': callsOf({
    ...{ socket: [359], connect: [362], accept: [364], bind: [361], listen: [363], send: [369, 370, 345], close: [6] },
    exit: [252],
  }),
}

function callsOf(numbers: Record<Call, readonly number[]>): Record<string, Call> {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([call, list]) => list.map(number => [String(number), call as Call])),
  )
}

/** auditd writes milliseconds. */
const RESOLUTION_US = 1000
/** Records of several events may be mixed, but not by much. */
const MAX_OPEN_EVENTS = 64
const EVENTS_PER_MESSAGE = 1000
/** Descriptors and processes that are remembered; then all are forgotten. */
const MAX_KNOWN = 100_000
/** -EINPROGRESS: of a connection that its program does not wait for. */
const IN_PROGRESS = '-115'

/** Whether a text begins as such a log does. */
export const isAuditLog = (text: string): boolean =>
  text.split('\n', 20).some(line => /^(node=\S+ )?type=[A-Z_0-9]+ msg=audit\(/.test(line))

/** The records of one event. */
interface AuditEvent {
  timeUs: number
  serial: string
  fields: Map<string, string>
  address: Address | null
}

interface Address {
  ip: string
  port: number
}

/** What a program did, by its host. */
type Told = Omit<SocketEvent, 'time_us' | 'resolution_us' | 'pid' | 'start_us'>

/** The events of a host; `hostId` where the log does not name it. */
export async function* readAuditLog(
  chunks: AsyncIterable<Buffer>,
  hostId: string,
  place: Place,
): AsyncGenerator<SocketLogRecord | Skip> {
  const hosts = new Map<string, AuditHost>()
  for await (const { text, ended } of splitLines(chunks, MAX_LINE_BYTES)) {
    place.number++
    if (text === null) {
      yield { reason: 'line-too-long', detail: `longer than ${MAX_LINE_BYTES} bytes` }
      continue
    }
    // What ausearch puts between events.
    if (text.trim() === '' || /^(----|time->)/.test(text)) continue
    const match = RECORD.exec(text)
    if (match === null) {
      yield { reason: ended ? 'invalid-record' : 'cut-line', detail: `no record of auditd: ${text.slice(0, 200)}` }
      continue
    }
    const [, node = hostId, type, seconds, ms, serial, fields] = match
    let host = hosts.get(node)
    if (host === undefined) {
      host = new AuditHost(node, `audit-${seconds}.${ms}:${serial}`)
      hosts.set(node, host)
      yield { topic: 'hosts', record: host.record(Number(seconds) * 1e6) }
    }
    yield* host.add(type!, Number(seconds) * 1e6 + Number(ms) * 1000, serial!, fields!)
  }
  for (const host of hosts.values()) yield* host.end()
}

class AuditHost {
  readonly #id: string
  readonly #messages: EventMessages
  readonly #open = new Map<string, AuditEvent>()
  /** By pid and descriptor. */
  readonly #protocols = new Map<string, 'tcp' | 'udp' | 'other'>()
  readonly #bound = new Map<string, Address>()
  #untilUs = 0
  #waiting: { event: SocketEvent; process: Process }[] = []

  constructor(id: string, runId: string) {
    this.#id = id
    this.#messages = new EventMessages(id, runId, { mechanism: 'auditd', complete: false })
  }

  record(updatedUs: number): Host {
    return {
      ...{ host_id: this.#id, names: [this.#id], addresses: [], os: 'linux', agent_version: 'audit-log' },
      ...{ poll_period_us: null, boot_id: null, updated_us: updatedUs },
    }
  }

  *add(type: string, timeUs: number, serial: string, text: string): Generator<SocketLogRecord> {
    const event = this.#open.get(serial) ?? { timeUs, serial, fields: new Map(), address: null }
    this.#open.set(serial, event)
    if (type === 'SYSCALL') for (const [name, value] of fieldsOf(text)) event.fields.set(name, value)
    else if (type === 'SOCKADDR') event.address = addressOf(text)
    else if (type === 'EOE') yield* this.#close(event)
    for (const oldest of this.#open.values()) {
      if (this.#open.size <= MAX_OPEN_EVENTS) break
      yield* this.#close(oldest)
    }
  }

  *end(): Generator<SocketLogRecord> {
    for (const event of [...this.#open.values()]) yield* this.#close(event)
    yield* this.#flush()
  }

  *#close(event: AuditEvent): Generator<SocketLogRecord> {
    this.#open.delete(event.serial)
    for (const told of this.#toldBy(event)) {
      const process = processOf(event.fields)
      if (process === null) break
      const { pid, start_us } = process
      this.#waiting.push({
        process,
        event: { ...told, time_us: event.timeUs, resolution_us: RESOLUTION_US, pid, start_us },
      })
    }
    if (this.#waiting.length >= EVENTS_PER_MESSAGE) yield* this.#flush()
  }

  *#flush(): Generator<SocketLogRecord> {
    const waiting = this.#waiting.sort((a, b) => a.event.time_us - b.event.time_us)
    this.#waiting = []
    if (waiting.length === 0) return
    this.#untilUs = Math.max(this.#untilUs, waiting.at(-1)!.event.time_us)
    this.#messages.add({
      untilUs: this.#untilUs,
      lost: 0,
      events: waiting.map(({ event }) => event),
      processes: waiting.map(({ process }) => process),
    })
    for (const record of this.#messages.take()) yield { topic: 'socket-events', record }
  }

  #toldBy({ fields, address }: AuditEvent): Told[] {
    const call = CALLS[fields.get('arch') ?? '']?.[fields.get('syscall') ?? '']
    const exit = fields.get('exit') ?? ''
    if (call === 'exit') return [{ kind: 'process_exit', ...noEnds }]
    const hasSucceeded = fields.get('success') === 'yes' || (call === 'connect' && exit === IN_PROGRESS)
    if (call === undefined || !hasSucceeded) return []
    if (this.#protocols.size + this.#bound.size > MAX_KNOWN)
      for (const known of [this.#protocols, this.#bound]) known.clear()
    const pid = fields.get('pid')
    const descriptor = (number: string | undefined) => `${pid} ${number}`
    const first = descriptor(String(Number.parseInt(fields.get('a0') ?? '', 16)))
    const protocol = this.#protocols.get(first)
    const protocols = protocol === undefined ? (['tcp', 'udp'] as const) : protocol === 'other' ? [] : [protocol]
    const local = this.#bound.get(first) ?? null
    // Port 0: a resolver that tries which of its addresses would be used.
    const remote = address === null || address.port === 0 ? null : address
    switch (call) {
      case 'socket':
        this.#bound.delete(descriptor(exit))
        this.#protocols.set(descriptor(exit), protocolOf(fields))
        return []
      case 'close':
        this.#bound.delete(first)
        this.#protocols.delete(first)
        return []
      case 'bind':
        if (address === null || address.port === 0) return []
        this.#bound.set(first, address)
        return protocols.map(proto => ({ ...ends(proto, address, null), kind: proto === 'tcp' ? 'listen' : 'receive' }))
      case 'accept':
        // Accepted is what TCP connects, of a listening socket.
        this.#protocols.set(descriptor(exit), 'tcp')
        if (local) this.#bound.set(descriptor(exit), local)
        return remote === null ? [] : [{ ...ends('tcp', local, remote), kind: 'accept' }]
      case 'connect':
        // A nonblocking connect that is under way is one of TCP.
        if (remote === null) return []
        if (exit === IN_PROGRESS) return [{ ...ends('tcp', local, remote), kind: 'connect' }]
        return protocols.map(proto => ({ ...ends(proto, local, remote), kind: proto === 'tcp' ? 'connect' : 'send' }))
      case 'send':
        return remote === null || protocol === 'tcp' || protocol === 'other'
          ? []
          : [{ ...ends('udp', local, remote), kind: 'send' }]
      default:
        return []
    }
  }
}

const noEnds = { proto: null, local_ip: null, local_port: null, remote_ip: null, remote_port: null }

const ends = (proto: 'tcp' | 'udp', local: Address | null, remote: Address | null) => ({
  proto,
  local_ip: local?.ip ?? null,
  local_port: local?.port ?? null,
  remote_ip: remote?.ip ?? null,
  remote_port: remote?.port ?? null,
})

/** AF_INET and AF_INET6; SOCK_STREAM and SOCK_DGRAM, without their flags. */
function protocolOf(fields: ReadonlyMap<string, string>): 'tcp' | 'udp' | 'other' {
  const family = Number.parseInt(fields.get('a0') ?? '', 16)
  const type = Number.parseInt(fields.get('a1') ?? '', 16) & 0xf
  if (family !== 2 && family !== 10) return 'other'
  return type === 1 ? 'tcp' : type === 2 ? 'udp' : 'other'
}

/** Enriched logs repeat the fields in words, behind a group separator. */
function fieldsOf(text: string): Iterable<[string, string]> {
  const raw = text.split('\x1d', 1)[0]!
  return Array.from(raw.matchAll(/(\w+)=("[^"]*"|\S+)/g), ([, name, value]) => [name!, value!])
}

/** A name that holds spaces or quotes stands in hexadecimal, without quotes. */
function textOf(value: string | undefined): string | null {
  if (value === undefined || value === '(null)' || value === '?') return null
  if (value.startsWith('"')) return value.slice(1, -1)
  return /^([0-9A-F]{2})+$/.test(value) ? Buffer.from(value, 'hex').toString().replace(/\0.*$/s, '') : value
}

function processOf(fields: ReadonlyMap<string, string>): Process | null {
  const pid = Number(fields.get('pid'))
  const path = textOf(fields.get('exe'))
  const name = path === null ? textOf(fields.get('comm')) : path.slice(path.lastIndexOf('/') + 1)
  if (!Number.isInteger(pid) || pid <= 0 || pid > 0x7fffffff || name === null) return null
  const parent = Number(fields.get('ppid'))
  return {
    ...{ pid, start_us: null, name, path, parent_pid: Number.isInteger(parent) ? parent : null, services: [] },
    ...{ container_id: null, user: null, pod: null, parent_name: null, container_image: null },
  }
}

/** A sockaddr as the kernel has it: family in the machine's order, port in the network's. Null for other families. */
function addressOf(text: string): Address | null {
  const hex = /\bsaddr=([0-9A-F]+)/i.exec(text)?.[1]
  if (hex === undefined) return addressInWords(text)
  const bytes = Buffer.from(hex, 'hex')
  const family = bytes.length < 8 ? 0 : bytes.readUInt16LE(0)
  if (family === 2) return { ip: [...bytes.subarray(4, 8)].join('.'), port: bytes.readUInt16BE(2) }
  if (family !== 10 || bytes.length < 24) return null
  return {
    ip: ipaddr.process(ipaddr.fromByteArray([...bytes.subarray(8, 24)]).toString()).toString(),
    port: bytes.readUInt16BE(2),
  }
}

/** `saddr={ saddr_fam=inet laddr=192.0.2.1 lport=443 }` of `ausearch -i`: whatever it says, both are the address that was given. */
function addressInWords(text: string): Address | null {
  const [, ip, port] = /\bladdr=(\S+) lport=(\d+)/.exec(text) ?? []
  return ip === undefined || isIP(ip) === 0 || Number(port) > 0xffff
    ? null
    : { ip: ipaddr.process(ip).toString(), port: Number(port) }
}
