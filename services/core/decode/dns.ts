import { addressText } from '../address.ts'

/** An A, AAAA or CNAME record of a DNS message. */
export interface DnsRecord {
  section: 'answer' | 'authority' | 'additional'
  name: string
  type: 'A' | 'AAAA' | 'CNAME'
  ttlSeconds: number
  /** Address in canonical text (IPv6 by RFC 5952), or the name that a CNAME points at. */
  value: string
}

/** What we read of a DNS message (RFC 1035 section 4). Names are without the last dot; odd bytes are escaped as \ddd. */
export interface DnsMessage {
  id: number
  response: boolean
  opcode: number
  responseCode: number
  questions: { name: string; type: number }[]
  records: DnsRecord[]
  /** False where the message ends early or breaks a rule: what stands before that place was read. */
  complete: boolean
}

/** An address that a DNS server gave for a name that somebody asked for. */
export interface DnsAnswer {
  name: string
  address: string
  ttlSeconds: number
}

const HEADER_BYTES = 12
/** Hostile messages can hold thousands of tiny records that all point at one long name. */
const MAX_RECORDS = 512
const MAX_NAME_BYTES = 255
/** A name of 255 bytes has at most 127 labels, so more pointers than that is a loop. */
const MAX_POINTERS = 127
const RECORD_TYPES: Readonly<Record<number, DnsRecord['type']>> = Object.freeze({ 1: 'A', 5: 'CNAME', 28: 'AAAA' })

/** Reads a DNS, mDNS or LLMNR message; null where it is too short for a header or its first question makes no sense. */
export function parseDns(data: Uint8Array, from = 0, to = data.length): DnsMessage | null {
  if (to - from < HEADER_BYTES) return null
  const bytes = data.subarray(from, to)
  const flags = read16(bytes, 2)
  const message: DnsMessage = {
    id: read16(bytes, 0),
    response: flags >> 15 === 1,
    opcode: (flags >> 11) & 15,
    responseCode: flags & 15,
    questions: [],
    records: [],
    complete: false,
  }
  let at = HEADER_BYTES
  for (let left = read16(bytes, 4); left > 0; left--) {
    const end = skipName(bytes, at)
    if (end < 0 || end + 4 > bytes.length || message.questions.length >= MAX_RECORDS) {
      return message.questions.length === 0 ? null : message
    }
    const name = readName(bytes, at)
    if (name === null) return message.questions.length === 0 ? null : message
    message.questions.push({ name, type: read16(bytes, end) })
    at = end + 4
  }
  for (const [section, countAt] of SECTIONS) {
    for (let left = read16(bytes, countAt); left > 0; left--) {
      const end = skipName(bytes, at)
      if (end < 0 || end + 10 > bytes.length || message.records.length >= MAX_RECORDS) return message
      const dataStart = end + 10
      const dataEnd = dataStart + read16(bytes, end + 8)
      if (dataEnd > bytes.length) return message
      const type = RECORD_TYPES[read16(bytes, end)]
      // mDNS sets the top bit of the class to say "forget older records" (RFC 6762 section 10.2).
      if (type !== undefined && (read16(bytes, end + 2) & 0x7fff) === 1) {
        const name = readName(bytes, at)
        const value = readValue(bytes, type, dataStart, dataEnd)
        if (name === null || value === null) return message
        message.records.push({ section, name, type, ttlSeconds: read32(bytes, end + 4), value })
      }
      at = dataEnd
    }
  }
  message.complete = true
  return message
}

const SECTIONS = [
  ['answer', 6],
  ['authority', 8],
  ['additional', 10],
] as const

/**
 * The addresses that a response gives for the name that was asked for, its CNAME records followed. A response that
 * repeats no question (mDNS) gives each record under the record's own name.
 */
export function dnsAnswers(message: DnsMessage): DnsAnswer[] {
  if (!message.response || message.opcode !== 0 || message.responseCode !== 0) return []
  const asked = message.questions[0]?.name
  if (asked === undefined) {
    return message.records
      .filter(record => record.type !== 'CNAME')
      .map(record => ({ name: record.name, address: record.value, ttlSeconds: record.ttlSeconds }))
  }
  const answers = message.records.filter(record => record.section === 'answer')
  const aliases = new Map<string, string>()
  for (const record of answers) {
    if (record.type === 'CNAME') aliases.set(record.name.toLowerCase(), record.value.toLowerCase())
  }
  // A set, so that a loop of aliases ends.
  const sameAsAsked = new Set<string>()
  let name: string | undefined = asked.toLowerCase()
  while (name !== undefined && !sameAsAsked.has(name)) {
    sameAsAsked.add(name)
    name = aliases.get(name)
  }
  return answers
    .filter(record => record.type !== 'CNAME' && sameAsAsked.has(record.name.toLowerCase()))
    .map(record => ({ name: asked, address: record.value, ttlSeconds: record.ttlSeconds }))
}

function readValue(bytes: Uint8Array, type: DnsRecord['type'], from: number, to: number): string | null {
  if (type === 'CNAME') return readName(bytes, from)
  if (to - from !== (type === 'A' ? 4 : 16)) return null
  return type === 'A' ? bytes.subarray(from, to).join('.') : addressText(bytes, from)
}

/** Where the name at `at` ends in place, pointers not followed; -1 where it runs out of the message. */
function skipName(bytes: Uint8Array, at: number): number {
  while (at < bytes.length) {
    const length = bytes[at]!
    if (length === 0) return at + 1
    if (length >= 0xc0) return at + 2
    if (length > 63) return -1
    at += 1 + length
  }
  return -1
}

/** The name at `at` with pointers followed (RFC 1035 section 4.1.4); null where it is broken, too long, or a loop. */
function readName(bytes: Uint8Array, at: number): string | null {
  let name = ''
  let length = 0
  let pointers = 0
  while (at < bytes.length) {
    const byte = bytes[at]!
    if (byte === 0) return name
    if (byte >= 0xc0) {
      if (at + 1 >= bytes.length || ++pointers > MAX_POINTERS) return null
      at = ((byte & 0x3f) << 8) | bytes[at + 1]!
      continue
    }
    length += 1 + byte
    if (byte > 63 || length > MAX_NAME_BYTES || at + 1 + byte > bytes.length) return null
    name += (name === '' ? '' : '.') + labelText(bytes, at + 1, at + 1 + byte)
    at += 1 + byte
  }
  return null
}

/** RFC 1035 section 5.1: a dot or backslash inside a label, and bytes that are not printable ASCII, are escaped. */
function labelText(bytes: Uint8Array, from: number, to: number): string {
  let text = ''
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!
    if (byte === 0x2e || byte === 0x5c) text += `\\${String.fromCharCode(byte)}`
    else if (byte >= 0x20 && byte < 0x7f) text += String.fromCharCode(byte)
    else text += `\\${String(byte).padStart(3, '0')}`
  }
  return text
}

function read16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!
}

function read32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}
