import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  clientInitialKeys,
  forEachCryptoFrame,
  type InitialKeys,
  mayBeQuic,
  openInitial,
  readLongHeader,
} from './quic.ts'
import { sealInitial, V1, V2 } from './quic-fixture.ts'

/** RFC 9001 appendix A.2 and RFC 9369 appendix A.2: the same id, packet number and payload for both versions. */
const connectionId = Buffer.from('8394c8f03e515708', 'hex')
const payload = Buffer.from(
  '060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0000000' +
    '10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e000500050100000000003300' +
    '260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e0403050306' +
    '030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000753009' +
    '01100f088394c8f03e51570806048000ffff',
  'hex',
)

/** Beginning and authentication tag of the protected packet; the tag covers every byte between them. */
const vectors = [
  {
    version: V1,
    key: '1f369613dd76d5467730efcbe3b1a22d',
    iv: 'fa044b2f42a3fd3b46fb255c',
    hp: '9f50449e04a0e810283a1e9933adedd2',
    begins: 'c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242b123dc9bd8bab936b47d92ec356c',
    tag: 'e221af44860018ab0856972e194cd934',
  },
  {
    version: V2,
    key: '8b1a0bc121284290a29e0971b5cd045d',
    iv: '91f73e2351d8fa91660e909f',
    hp: '45b95e15235d6f45a6b19cbcb0294ba9',
    begins: 'd76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485dd04de806071bf03dceebfa162e75d6c',
    tag: 'a18b2faa745b6fe189cf772a9f84cbfc',
  },
]

for (const { version, key, iv, hp, begins, tag } of vectors) {
  test(`vectors of the RFC for version 0x${version.toString(16)}`, () => {
    const [keys] = clientInitialKeys(version, connectionId) as [InitialKeys]
    const bytes = [keys.key.export(), keys.iv, keys.hp.export()]
    assert.deepEqual(
      bytes.map(part => part.toString('hex')),
      [key, iv, hp],
    )
    const packet = Buffer.from(sealInitial({ version, connectionId, packetNumber: 2, payload }))
    assert.equal(packet.length, 1200)
    assert.ok(packet.toString('hex').startsWith(begins))
    assert.ok(packet.toString('hex').endsWith(tag))

    const header = readLongHeader(packet, 0, packet.length)!
    assert.equal(header.isInitial, true)
    assert.deepEqual(openInitial(packet, header, keys)!.subarray(0, payload.length), payload)
    assert.equal(keys.largestPacketNumber, 2)
  })
}

test('a changed packet or another id does not open', () => {
  const packet = sealInitial({ connectionId, payload })
  const header = readLongHeader(packet, 0, packet.length)!
  assert.equal(openInitial(packet, header, clientInitialKeys(V1, Buffer.from('00'))[0]!), null)
  packet[600]! ^= 1
  assert.equal(openInitial(packet, header, clientInitialKeys(V1, connectionId)[0]!), null)
})

test('packet numbers are completed from the largest one opened', () => {
  const [keys] = clientInitialKeys(V1, connectionId) as [InitialKeys]
  keys.largestPacketNumber = 2 ** 32 + 5
  const packet = sealInitial({ connectionId, payload, packetNumber: 7 })
  // Sealed with number 7, so the nonce of 2^32 + 7 must not open it.
  assert.equal(openInitial(packet, readLongHeader(packet, 0, packet.length)!, keys), null)
  keys.largestPacketNumber = 5
  assert.notEqual(openInitial(packet, readLongHeader(packet, 0, packet.length)!, keys), null)
})

test('frames that Initial packets may hold are walked over', () => {
  const frames = Buffer.from(
    '0001' + '020a0001000305' + '030a0000000a0b0c' + '06004002abcd' + '060203efefef' + '08',
    'hex',
  )
  const found: string[] = []
  forEachCryptoFrame(V1, frames, (offset, from, to) => found.push(`${offset} ${frames.toString('hex', from, to)}`))
  assert.deepEqual(found, ['0 abcd', '2 efefef'])
})

test('Google’s versions with TLS have a CRYPTO frame of their own', () => {
  const found: number[][] = []
  forEachCryptoFrame(0x54303531, Buffer.from('000802' + '03efefef', 'hex'), (...frame) => found.push(frame))
  assert.deepEqual(found, [[2, 4, 7]])
})

test('a datagram that is no QUIC, or of a version nobody knows', () => {
  for (const hex of ['', 'c000000001', '4000000001088394c8f03e515708', 'c00000000208000000', 'c0000000000800000000']) {
    const data = Buffer.from(hex, 'hex')
    assert.equal(mayBeQuic(data, 0, data.length), false, hex)
    assert.equal(readLongHeader(data, 0, data.length), null, hex)
  }
  const packet = sealInitial({ connectionId, payload })
  for (let length = 0; length < packet.length; length++) assert.equal(readLongHeader(packet, 0, length), null)
})
