import { sharedText } from './shared-text.ts'

/** IPv4 addresses whose text is kept: most come again and again, and one text then serves all that know the address. */
const textsKept = 65_536
const ipv4Texts = new Map<number, string>()

/** Text of 16 address bytes at `at`: dotted quad for v4-mapped addresses, else RFC 5952. */
export function addressText(bytes: Uint8Array, at: number): string {
  return isV4Mapped(bytes, at) ? ipv4Text(bytes, at + 12) : ipv6Text(bytes, at)
}

function ipv4Text(bytes: Uint8Array, at: number): string {
  const address = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
  let text = ipv4Texts.get(address)
  if (text === undefined) {
    text = sharedText(`${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`)
    if (ipv4Texts.size === textsKept) ipv4Texts.clear()
    ipv4Texts.set(address, text)
  }
  return text
}

/** Whether the 16 bytes at `at` are an IPv4 address as v4-mapped (::ffff:0:0/96, RFC 4291 section 2.5.5.2). */
export function isV4Mapped(bytes: Uint8Array, at: number): boolean {
  for (let i = 0; i < 10; i++) if (bytes[at + i] !== 0) return false
  return bytes[at + 10] === 0xff && bytes[at + 11] === 0xff
}

/** RFC 5952 section 4: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function ipv6Text(bytes: Uint8Array, at: number): string {
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[at + i * 2]! << 8) | bytes[at + i * 2 + 1]!)
  let [start, length] = [-1, 1]
  for (let i = 0; i < 8; i++) {
    let run = 0
    while (i + run < 8 && groups[i + run] === 0) run++
    if (run > length) [start, length] = [i, run]
  }
  const text = (part: number[]) => part.map(group => group.toString(16)).join(':')
  return start < 0 ? text(groups) : `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`
}
