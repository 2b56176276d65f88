import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, ethernet, innerIp, ipv4, ipv6, udp } from './build-frame.ts'
import { FrameDecoder } from './frame.ts'
import { Packet } from './packet.ts'

const SECOND = 1_000_000

/** A decoder with what it released, and a clock that the test sets. */
function createFixture() {
  const released: Packet[] = []
  const decoder = new FrameDecoder(packet => released.push(packet))
  const decode = (frame: Uint8Array, timeUs = 0) => {
    const packet = new Packet()
    packet.timeUs = timeUs
    packet.wireLength = frame.length
    const reason = decoder.decode(frame, 0, frame.length, 1, packet)
    return { reason, packet }
  }
  return { decoder, released, decode }
}

const datagram = udp(5000, 53, new Array(40).fill(1))
const v4 = (offset: number, more: boolean, part: Uint8Array, id = 99) =>
  ethernet(0x0800, ipv4(17, part, { id, fragmentOffset: offset, moreFragments: more }))
const v6 = (offset: number, more: boolean, part: Uint8Array) =>
  ethernet(0x86dd, ipv6(44, bytes([17, 0, 0, offset | (more ? 1 : 0), 0, 0, 0, 7], part)))

for (const [name, fragment] of [
  ['IPv4', v4],
  ['IPv6', v6],
] as const) {
  test(`${name}: later fragments belong to the session of the first`, () => {
    const { decode } = createFixture()
    const first = decode(fragment(0, true, datagram.subarray(0, 24)))
    assert.equal(first.reason, 'ok')
    assert.equal(first.packet.laterFragment, false)
    const later = decode(fragment(24, false, datagram.subarray(24)))
    assert.equal(later.reason, 'ok')
    assert.equal(later.packet.laterFragment, true)
    assert.equal(later.packet.protocol, 17)
    assert.deepEqual([later.packet.sourcePort, later.packet.destinationPort], [5000, 53])
    assert.deepEqual(later.packet.addresses, first.packet.addresses)
  })

  test(`${name}: a later fragment that comes before the first is held and released with it`, () => {
    const { decode, released, decoder } = createFixture()
    assert.equal(decode(fragment(24, false, datagram.subarray(24)), 5).reason, 'fragment-held')
    assert.equal(decoder.fragmentsWithoutFirst, 1)
    assert.equal(decode(fragment(0, true, datagram.subarray(0, 24)), 6).reason, 'ok')
    assert.equal(decoder.fragmentsWithoutFirst, 0)
    assert.equal(released.length, 1)
    const [later] = released
    assert.deepEqual([later!.timeUs, later!.sourcePort, later!.destinationPort], [5, 5000, 53])
    assert.equal(later!.laterFragment, true)
  })
}

test('another identification is another packet, and an atomic fragment is a whole one', () => {
  const { decode } = createFixture()
  decode(v4(0, true, datagram.subarray(0, 24), 1))
  assert.equal(decode(v4(24, false, datagram.subarray(24), 2)).reason, 'fragment-held')
  assert.equal(decode(v6(0, false, datagram)).reason, 'ok')
  assert.equal(decode(v6(24, false, datagram.subarray(24))).reason, 'fragment-held')
})

test('after a minute of event time a first is forgotten, and a held fragment is lost', () => {
  const { decode, decoder, released } = createFixture()
  decode(v4(0, true, datagram.subarray(0, 24), 1), 0)
  assert.equal(decode(v4(24, false, datagram.subarray(24), 1), 61 * SECOND).reason, 'fragment-held')
  decode(v4(0, true, datagram.subarray(0, 24), 1), 130 * SECOND)
  assert.equal(released.length, 0)
  assert.equal(decoder.fragmentsWithoutFirst, 1)
})

test('later fragments of a tunnelled packet are no packets of any session: their first has counted it', () => {
  const { decode, released } = createFixture()
  const gre = bytes([0, 0, 8, 0], innerIp())
  const part = (offset: number, more: boolean, from: number, to: number) =>
    ethernet(0x0800, ipv4(47, gre.subarray(from, to), { id: 3, fragmentOffset: offset, moreFragments: more }))
  assert.equal(decode(part(40, false, 40, gre.length)).reason, 'fragment-held')
  assert.equal(decode(part(0, true, 0, 40)).reason, 'ok')
  assert.equal(decode(part(40, false, 40, gre.length)).reason, 'tunnel-fragment')
  assert.equal(released.length, 0)
})

test('a flood of fragments is held up to a bound, and every one is accounted for', () => {
  const { decode, decoder } = createFixture()
  const flood = 10_000
  for (let id = 0; id < flood; id++) {
    assert.equal(decode(v4(24, false, datagram.subarray(24), id)).reason, 'fragment-held')
  }
  assert.equal(decoder.fragmentsWithoutFirst, flood)
  let released = 0
  const counting = new FrameDecoder(() => released++)
  const packet = new Packet()
  for (let id = 0; id < flood; id++) {
    const frame = v4(24, false, datagram.subarray(24), id)
    counting.decode(frame, 0, frame.length, 1, packet)
  }
  for (let id = 0; id < flood; id++) {
    const frame = v4(0, true, datagram.subarray(0, 24), id)
    counting.decode(frame, 0, frame.length, 1, packet)
  }
  assert.ok(released > 0 && released <= 4096)
  assert.equal(counting.fragmentsWithoutFirst, flood - released)
})
