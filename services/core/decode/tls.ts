/** What a TLS ClientHello says (RFC 8446 section 4.1.2); lists are in the order of the wire, GREASE included. */
export interface ClientHello {
  legacyVersion: number
  cipherSuites: readonly number[]
  extensions: readonly number[]
  supportedVersions: readonly number[]
  signatureAlgorithms: readonly number[]
  /** Host name as sent (RFC 6066 section 3); null where there is none or it is not printable ASCII. */
  sni: string | null
  /** Protocols offered (RFC 7301) without GREASE, one character a byte. */
  alpn: readonly string[]
  /** The encrypted_client_hello extension, or its forerunner encrypted_server_name, is there. */
  ech: boolean
  /** False where the message was cut or contradicts itself: what could be read stands, the rest is missing. */
  complete: boolean
}

/** These bytes cannot begin a ClientHello. */
export const NOT_A_HELLO = -1

const MAX_HELLO_BYTES = 1 << 16
const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
/** Change cipher spec, which may precede the second ClientHello of a retried handshake (RFC 8446 appendix D.4). */
const CHANGE_CIPHER_SPEC_RECORD = 6

/** True while `data[from, to)`, however short, may be the beginning of TLS records that hold a ClientHello. */
export function mayBeginHello(data: Uint8Array, from: number, to: number): boolean {
  const type = data[from]!
  if (type !== 0x16 && type !== 0x14) return false
  const length = to - from
  if (length > 1 && data[from + 1] !== 3) return false
  if (length > 2 && data[from + 2]! > 4) return false
  if (length < RECORD_HEADER) return true
  const recordLength = (data[from + 3]! << 8) | data[from + 4]!
  if (type === 0x14) {
    if (recordLength !== 1) return false
    const next = from + CHANGE_CIPHER_SPEC_RECORD
    return next >= to || (data[next] === 0x16 && mayBeginHello(data, next, to))
  }
  if (recordLength === 0 || recordLength > 1 << 14) return false
  if (length > 5 && data[from + 5] !== 1) return false
  if (recordLength < 6) return true
  if (length > 6 && data[from + 6] !== 0) return false
  return length <= 9 || data[from + 9] === 3
}

/**
 * Looks for a ClientHello in TLS records that begin at `from`. Answers with the hello, with NOT_A_HELLO, or with the
 * number of bytes from `from` on that are needed before it is worth asking again. `cut`: no bytes can follow (the
 * capture holds no more of the packet), so what is there of a hello is read.
 */
export function findClientHello(data: Uint8Array, from: number, to: number, cut: boolean): ClientHello | number {
  if (from >= to) return 1
  if (!mayBeginHello(data, from, to)) return NOT_A_HELLO
  let record = data[from] === 0x14 ? from + CHANGE_CIPHER_SPEC_RECORD : from
  if (record + RECORD_HEADER > to) return record + RECORD_HEADER - from
  const firstLength = (data[record + 3]! << 8) | data[record + 4]!
  const body = record + RECORD_HEADER
  if (firstLength >= HANDSHAKE_HEADER && body + HANDSHAKE_HEADER <= to) {
    const end = body + handshakeLength(data, body)
    if (end <= body + firstLength) {
      if (end <= to) return parseClientHello(data, body, end) ?? NOT_A_HELLO
      return cut ? (parseClientHello(data, body, to) ?? NOT_A_HELLO) : end - from
    }
  }
  // The message spans records: its parts are put together without the record headers between them.
  const joined = new Uint8Array(Math.min(to - record, MAX_HELLO_BYTES))
  let length = 0
  while (record + RECORD_HEADER <= to) {
    if (data[record] !== 0x16 || data[record + 1] !== 3) return NOT_A_HELLO
    const start = record + RECORD_HEADER
    const end = start + ((data[record + 3]! << 8) | data[record + 4]!)
    const present = data.subarray(start, Math.min(end, to))
    if (length + present.length > joined.length) return NOT_A_HELLO
    joined.set(present, length)
    length += present.length
    if (length >= HANDSHAKE_HEADER) {
      const wanted = handshakeLength(joined, 0)
      if (joined[0] !== 1 || wanted > MAX_HELLO_BYTES) return NOT_A_HELLO
      if (length >= wanted) return parseClientHello(joined, 0, wanted) ?? NOT_A_HELLO
    }
    if (end > to) {
      if (cut) return parseClientHello(joined, 0, length) ?? NOT_A_HELLO
      return end - from
    }
    record = end
  }
  if (cut) return parseClientHello(joined, 0, length) ?? NOT_A_HELLO
  return record + RECORD_HEADER - from
}

/** Length of a handshake message with its 4-byte header; `data` holds at least that header. */
export function handshakeLength(data: Uint8Array, from: number): number {
  return HANDSHAKE_HEADER + ((data[from + 1]! << 16) | (data[from + 2]! << 8) | data[from + 3]!)
}

/**
 * Reads a ClientHello handshake message at `data[from, to)`, its 4-byte header included. Null where it is none; a message
 * cut short or with a wrong length inside gives what could be read, with `complete` false.
 */
export function parseClientHello(data: Uint8Array, from: number, to: number): ClientHello | null {
  // Header, version, random, session id length: nothing is known without these.
  if (to - from < HANDSHAKE_HEADER + 35 || data[from] !== 1 || data[from + 4] !== 3) return null
  const sessionIdLength = data[from + 38]!
  if (sessionIdLength > 32) return null
  let at = from + 39 + sessionIdLength
  const hello = {
    legacyVersion: (data[from + 4]! << 8) | data[from + 5]!,
    cipherSuites: [] as number[],
    extensions: [] as number[],
    supportedVersions: [] as number[],
    signatureAlgorithms: [] as number[],
    sni: null as string | null,
    alpn: [] as string[],
    ech: false,
    complete: false,
  }
  if (at + 2 > to) return hello
  const ciphersLength = read16(data, at)
  if (ciphersLength === 0 || ciphersLength % 2 === 1) return null
  at += 2
  readList16(data, at, Math.min(at + ciphersLength, to), hello.cipherSuites)
  at += ciphersLength
  if (at + 1 > to) return hello
  if (data[at] === 0) return null
  at += 1 + data[at]!
  const messageEnd = from + handshakeLength(data, from)
  if (at === to && messageEnd === to) return { ...hello, complete: true }
  if (at + 2 > to) return hello
  const end = at + 2 + read16(data, at)
  at += 2
  while (at + 4 <= Math.min(end, to)) {
    const type = read16(data, at)
    const start = at + 4
    const stop = start + read16(data, at + 2)
    if (stop > Math.min(end, to)) break
    hello.extensions.push(type)
    if (type === 0) hello.sni ??= serverName(data, start, stop)
    else if (type === 13) readList16(data, start + 2, stop, hello.signatureAlgorithms)
    else if (type === 16) readAlpn(data, start + 2, stop, hello.alpn)
    else if (type === 43) readList16(data, start + 1, stop, hello.supportedVersions)
    else if (type === 0xfe0d || type === 0xffce) hello.ech = true
    at = stop
  }
  hello.complete = at === end && end === messageEnd && end <= to
  return hello
}

/** RFC 8701: values that clients add to keep servers tolerant; they say nothing about the client. */
export function isGrease(value: number): boolean {
  return (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff)
}

function read16(data: Uint8Array, at: number): number {
  return (data[at]! << 8) | data[at + 1]!
}

function readList16(data: Uint8Array, from: number, to: number, into: number[]): void {
  for (let at = from; at + 2 <= to; at += 2) into.push(read16(data, at))
}

/** The first host_name of a server_name extension: list length, then type 0, length, name. */
function serverName(data: Uint8Array, from: number, to: number): string | null {
  let at = from + 2
  while (at + 3 <= to) {
    const start = at + 3
    const end = start + read16(data, at + 1)
    if (end > to) return null
    if (data[at] === 0) return hostName(data, start, end)
    at = end
  }
  return null
}

function hostName(data: Uint8Array, from: number, to: number): string | null {
  if (to === from || to - from > 255) return null
  let name = ''
  for (let at = from; at < to; at++) {
    const byte = data[at]!
    if (byte <= 0x20 || byte > 0x7e) return null
    name += String.fromCharCode(byte)
  }
  return name
}

function readAlpn(data: Uint8Array, from: number, to: number, into: string[]): void {
  for (let at = from; at < to && at + 1 + data[at]! <= to; at += 1 + data[at]!) {
    const length = data[at]!
    if (length === 0 || (length === 2 && isGrease(read16(data, at + 1)))) continue
    into.push(Buffer.from(data.subarray(at + 1, at + 1 + length)).toString('latin1'))
  }
}
