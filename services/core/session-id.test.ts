import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { sessionId } from './session-id.ts'

const low = Buffer.from('00000000000000000000ffff0a000001', 'hex')
const high = Buffer.from('20010db8000000000000000000000002', 'hex')
const ends = (...parts: Uint8Array[]) => Buffer.concat(parts)
const base: Parameters<typeof sessionId> = ['desk', 6, 1_700_000_000_000_000, ends(low, high), 40_000, 443]

/** What is hashed, byte by byte, for the base session on a host. */
function digestOf(hostId: string): string {
  const text = Buffer.from(`${hostId}\u00006\u00001700000000000000\u0000`)
  const port = (value: number) => Buffer.from([value >> 8, value & 255])
  return hash('sha256', ends(text, low, port(40_000), high, port(443))).slice(0, 32)
}

test('the id is 128 bits of a hash over host, protocol, time, and the two ends in order: other releases make the same', () => {
  assert.equal(sessionId(...base), digestOf('desk'))
})

test('both directions have one id, also where only the ports differ', () => {
  assert.equal(sessionId('desk', 6, base[2], ends(high, low), 443, 40_000), sessionId(...base))
  const same = ends(low, low)
  assert.equal(sessionId('desk', 6, 1, same, 5, 6), sessionId('desk', 6, 1, same, 6, 5))
})

test('every part makes another id', () => {
  const [, , , addresses, port, peerPort] = base
  const sessionAt = (changed: Uint8Array): Parameters<typeof sessionId> => ['desk', 6, base[2], changed, port, peerPort]
  const others: Parameters<typeof sessionId>[] = [
    ['laptop', 6, base[2], addresses, port, peerPort],
    ['', 6, base[2], addresses, port, peerPort],
    ['desk', 17, base[2], addresses, port, peerPort],
    ['desk', 6, base[2] + 1, addresses, port, peerPort],
    ['desk', 6, base[2], addresses, port + 1, peerPort],
    ['desk', 6, base[2], addresses, port, peerPort + 1],
    ['desk', 6, base[2], addresses, peerPort, port],
    ...Array.from(addresses, (_, i) => sessionAt(addresses.with(i, 0x77))),
  ]
  const ids = [base, ...others].map(parts => sessionId(...parts))
  assert.equal(new Set(ids).size, ids.length)
})

test('a host name of any length is hashed whole, also where its letters take three bytes', () => {
  const [, ...rest] = base
  for (const length of [10, 300, 310, 320, 330, 340, 700, 1000, 5000]) {
    const name = '語'.repeat(length)
    const ids = [name, `${name}a`, `a${name}`, name.slice(1)].map(host => sessionId(host, ...rest))
    assert.equal(new Set(ids).size, 4, `${length} letters`)
    assert.equal(ids[0], digestOf(name))
  }
})
