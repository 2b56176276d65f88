/** Frames by hand for tests: each function puts one header in front of its payload. */
type Bytes = Uint8Array | readonly number[]

export function bytes(...parts: Bytes[]): Uint8Array {
  return Uint8Array.from(parts.flatMap(part => [...part]))
}

export function be16(value: number): number[] {
  return [(value >> 8) & 255, value & 255]
}

export function be32(value: number): number[] {
  return [...be16(value >>> 16), ...be16(value & 0xffff)]
}

export function ethernet(type: number, payload: Bytes): Uint8Array {
  return bytes([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2], be16(type), payload)
}

export function vlan(id: number, type: number, payload: Bytes): Uint8Array {
  return bytes(be16(id), be16(type), payload)
}

export interface Ipv4Fields {
  from?: readonly number[]
  to?: readonly number[]
  options?: readonly number[]
  id?: number
  /** In bytes, a multiple of 8. */
  fragmentOffset?: number
  moreFragments?: boolean
  /** Instead of the true length. */
  totalLength?: number
}

export function ipv4(protocol: number, payload: Bytes, fields: Ipv4Fields = {}): Uint8Array {
  const { from = [10, 0, 0, 1], to = [192, 0, 2, 7], options = [], id = 0 } = fields
  const headerLength = 20 + options.length
  const totalLength = fields.totalLength ?? headerLength + payload.length
  const fragment = ((fields.moreFragments ? 0x2000 : 0) | ((fields.fragmentOffset ?? 0) / 8)) >>> 0
  const start = [0x40 | (headerLength / 4), 0, ...be16(totalLength), ...be16(id), ...be16(fragment), 64, protocol, 0, 0]
  return bytes(start, from, to, options, payload)
}

const V6_SOURCE = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
const V6_DESTINATION = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]

export function ipv6(nextHeader: number, payload: Bytes): Uint8Array {
  return bytes([0x60, 0, 0, 0], be16(payload.length), [nextHeader, 64], V6_SOURCE, V6_DESTINATION, payload)
}

export function tcp(sourcePort: number, destinationPort: number, payload: Bytes = [], flags = 0x10): Uint8Array {
  const ports = bytes(be16(sourcePort), be16(destinationPort))
  return bytes(ports, be32(1000), be32(0), [0x50, flags], be16(512), [0, 0, 0, 0], payload)
}

export function udp(sourcePort: number, destinationPort: number, payload: Bytes = []): Uint8Array {
  return bytes(be16(sourcePort), be16(destinationPort), be16(8 + payload.length), [0, 0], payload)
}

/** An inner frame that tunnels carry in the tests: 172.16.0.1:1111 to 172.16.0.2:443. */
export function innerIp(): Uint8Array {
  return ipv4(6, tcp(1111, 443, [1, 2, 3]), { from: [172, 16, 0, 1], to: [172, 16, 0, 2] })
}
