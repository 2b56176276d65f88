import ipaddr from 'ipaddr.js'
import type { Process } from '#schemas'

/** A record of the kernel's audit; an event is a record of each kind under one time and number. */
export interface AuditRecord {
  node: string | null
  type: string
  timeUs: number
  /** The kernel numbers events in the order in which they end, from its start on. */
  number: number
  text: string
}

const RECORD = /^(?:node=(\S+) )?type=(\S+) msg=audit\((\d{9,10})\.(\d{3}):(\d+)\): ?(.*)$/

/** Null for a line that is none. */
export function readAuditRecord(line: string): AuditRecord | null {
  const match = RECORD.exec(line)
  if (match === null) return null
  const [, node = null, type, seconds, ms, serial, text] = match
  const timeUs = Number(seconds) * 1e6 + Number(ms) * 1000
  return { node, type: type!, timeUs, number: Number(serial), text: text! }
}

export type Call = 'socket' | 'connect' | 'accept' | 'bind' | 'getsockname' | 'send' | 'close' | 'exit'

/** By the arch of a record (AUDIT_ARCH_*) and the number of the call: x86-64, 64-bit ARM, x86. */
const CALLS: Readonly<Record<string, Readonly<Record<string, Call>>>> = {
  c000003e: callsOf({
    ...{ socket: [41], connect: [42], accept: [43, 288], bind: [49], getsockname: [51], send: [44, 46, 307] },
    ...{ close: [3], exit: [231] },
  }),
  c00000b7: callsOf({
    ...{ socket: [198], connect: [203], accept: [202, 242], bind: [200], getsockname: [204], send: [206, 211, 269] },
    ...{ close: [57], exit: [94] },
  }),
  '40000003': callsOf({
    ...{ socket: [359], connect: [362], accept: [364], bind: [361], getsockname: [367], send: [369, 370, 345] },
    ...{ close: [6], exit: [252] },
  }),
}

function callsOf(numbers: Record<Call, readonly number[]>): Record<string, Call> {
  return Object.fromEntries(
    Object.entries(numbers).flatMap(([call, list]) => list.map(number => [String(number), call as Call])),
  )
}

type Fields = ReadonlyMap<string, string>

/** Which call a SYSCALL record is of; null for one that says nothing of sockets. */
export const callOf = (fields: Fields): Call | null =>
  CALLS[fields.get('arch') ?? '']?.[fields.get('syscall') ?? ''] ?? null

/** Enriched logs repeat the fields in words, behind a group separator. */
export function fieldsOf(text: string): Fields {
  const raw = text.split('\x1d', 1)[0]!
  return new Map(Array.from(raw.matchAll(/(\w+)=("[^"]*"|\S+)/g), ([, name, value]) => [name!, value!]))
}

/** A name that holds spaces or quotes stands in hexadecimal, without quotes. */
function textOf(value: string | undefined): string | null {
  if (value === undefined || value === '(null)' || value === '?') return null
  if (value.startsWith('"')) return value.slice(1, -1)
  return /^([0-9A-F]{2})+$/.test(value) ? Buffer.from(value, 'hex').toString().replace(/\0.*$/s, '') : value
}

/** Who made the call. */
export function processOf(fields: Fields): Process | null {
  const pid = Number(fields.get('pid'))
  // What Linux puts behind the path of a file that was removed, or replaced by an upgrade.
  const path = textOf(fields.get('exe'))?.replace(/ \(deleted\)$/, '') ?? null
  const name = path === null ? textOf(fields.get('comm')) : path.slice(path.lastIndexOf('/') + 1)
  if (!Number.isInteger(pid) || pid <= 0 || pid > 0x7fffffff || name === null) return null
  const parent = Number(fields.get('ppid'))
  return {
    ...{ pid, start_us: null, name, path, parent_pid: Number.isInteger(parent) ? parent : null, services: [] },
    ...{ container_id: null, user: null, pod: null, parent_name: null, container_image: null },
  }
}

/** AF_INET and AF_INET6; SOCK_STREAM and SOCK_DGRAM, without their flags: what a call of `socket` makes. */
export function protocolOf(fields: Fields): 'tcp' | 'udp' | 'other' {
  const family = Number.parseInt(fields.get('a0') ?? '', 16)
  const type = Number.parseInt(fields.get('a1') ?? '', 16) & 0xf
  if (family !== 2 && family !== 10) return 'other'
  return type === 1 ? 'tcp' : type === 2 ? 'udp' : 'other'
}

export interface Address {
  ip: string
  port: number
}

/** A sockaddr as the kernel has it: family in the machine's order, port in the network's. Null for other families. */
export function addressOf(text: string): Address | null {
  const hex = /\bsaddr=([0-9A-F]+)/i.exec(text)?.[1] ?? ''
  const bytes = Buffer.from(hex, 'hex')
  const family = bytes.length < 8 ? 0 : bytes.readUInt16LE(0)
  if (family === 2) return { ip: [...bytes.subarray(4, 8)].join('.'), port: bytes.readUInt16BE(2) }
  if (family !== 10 || bytes.length < 24) return null
  return {
    ip: ipaddr.process(ipaddr.fromByteArray([...bytes.subarray(8, 24)]).toString()).toString(),
    port: bytes.readUInt16BE(2),
  }
}
