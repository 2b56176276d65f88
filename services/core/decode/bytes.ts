/** Big-endian reads by direct indexing: no DataView, nothing allocated. The caller has checked the bounds. */
export function u16(data: Uint8Array, at: number): number {
  return (data[at]! << 8) | data[at + 1]!
}

/** Unsigned. */
export function u32(data: Uint8Array, at: number): number {
  return ((data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!) >>> 0
}

/** The 32 bits as they are, signed: what an Int32Array holds. */
export function i32(data: Uint8Array, at: number): number {
  return (data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!
}

/** Little-endian, unsigned. */
export function u32le(data: Uint8Array, at: number): number {
  return (data[at]! | (data[at + 1]! << 8) | (data[at + 2]! << 16) | (data[at + 3]! << 24)) >>> 0
}

/** Reads an IPv4 (as v4-mapped) or IPv6 address from `data` into words `to` … `to + 3`. */
export function readAddress(data: Uint8Array, at: number, ipVersion: number, words: Int32Array, to: number): void {
  if (ipVersion === 4) {
    words[to] = 0
    words[to + 1] = 0
    words[to + 2] = 0xffff
    words[to + 3] = i32(data, at)
  } else {
    words[to] = i32(data, at)
    words[to + 1] = i32(data, at + 4)
    words[to + 2] = i32(data, at + 8)
    words[to + 3] = i32(data, at + 12)
  }
}
