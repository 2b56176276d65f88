import { Packet } from './packet.ts'

/** Parts of a ClientHello for tests; extension bodies are given as they go on the wire. */
export interface HelloParts {
  version?: number
  ciphers?: readonly number[]
  extensions?: readonly (readonly [type: number, body: Uint8Array])[]
}

export function bytesOf(...parts: (number | Uint8Array)[]): Uint8Array {
  return Buffer.concat(parts.map(part => (typeof part === 'number' ? Buffer.of(part) : part)))
}

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >> 8, value & 255)
}

/** A ClientHello handshake message. */
export function helloMessage({ version = 0x0303, ciphers = [0x1301], extensions = [] }: HelloParts): Uint8Array {
  const list = Buffer.concat(extensions.map(([type, body]) => bytesOf(u16(type), u16(body.length), body)))
  const body = bytesOf(
    u16(version),
    new Uint8Array(32).fill(7),
    0,
    u16(2 * ciphers.length),
    ...ciphers.map(u16),
    Uint8Array.of(1, 0),
    u16(list.length),
    list,
  )
  return bytesOf(1, 0, u16(body.length), body)
}

/** TLS records of at most `size` bytes that hold a message. */
export function records(message: Uint8Array, size = 1 << 14): Uint8Array {
  const parts: Uint8Array[] = []
  for (let at = 0; at < message.length; at += size) {
    const body = message.subarray(at, at + size)
    parts.push(bytesOf(0x16, u16(0x0301), u16(body.length), body))
  }
  return Buffer.concat(parts)
}

export function serverName(name: string): readonly [number, Uint8Array] {
  const text = Buffer.from(name, 'latin1')
  return [0, bytesOf(u16(text.length + 3), 0, u16(text.length), text)]
}

export function alpn(...protocols: string[]): readonly [number, Uint8Array] {
  const list = Buffer.concat(protocols.map(protocol => bytesOf(protocol.length, Buffer.from(protocol, 'latin1'))))
  return [16, bytesOf(u16(list.length), list)]
}

export function signatureAlgorithms(...values: number[]): readonly [number, Uint8Array] {
  return [13, bytesOf(u16(2 * values.length), ...values.map(u16))]
}

export function supportedVersions(...values: number[]): readonly [number, Uint8Array] {
  return [43, bytesOf(2 * values.length, ...values.map(u16))]
}

/** A decoded packet whose frame is its payload. */
export function packetOf(protocol: 'tcp' | 'udp', payload: Uint8Array, fields: Partial<Packet> = {}): Packet {
  return Object.assign(new Packet(), {
    protocol: protocol === 'tcp' ? 6 : 17,
    sourcePort: 40000,
    destinationPort: 443,
    payloadLength: payload.length,
    payloadCaptured: payload.length,
    ...fields,
  })
}
