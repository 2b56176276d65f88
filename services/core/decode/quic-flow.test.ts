import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cryptoFrame, sealInitial, V1, V2 } from './quic-fixture.ts'
import { QuicFlow } from './quic-flow.ts'
import { alpn, bytesOf, helloMessage, serverName } from './tls-fixture.ts'

const message = helloMessage({ extensions: [serverName('quic.example'), alpn('h3'), [0x1234, new Uint8Array(1700)]] })
const connectionId = Buffer.from('8394c8f03e515708', 'hex')
const serverId = Buffer.from('f067a5502a4262b5', 'hex')

function nameIn(datagrams: readonly Uint8Array[]): string | null | undefined {
  const flow = new QuicFlow(1 << 16, 0)
  for (const data of datagrams) {
    const hello = flow.add(data, 0, data.length)
    if (hello !== null) return hello.sni
  }
  return undefined
}

/** Initial packets, one for each list of [from, to) of the message. */
function packets(...cuts: [number, number][][]): Uint8Array[] {
  return cuts.map((frames, packetNumber) =>
    sealInitial({
      connectionId,
      packetNumber,
      payload: bytesOf(...frames.map(([from, to]) => cryptoFrame(message, from, to))),
    }),
  )
}

test('the handshake message over several packets, in any order, with repetitions and overlaps', () => {
  const cut = fc.tuple(fc.nat(message.length), fc.nat(200), fc.nat(200))
  fc.assert(
    fc.property(fc.array(cut, { maxLength: 6 }), fc.infiniteStream(fc.nat(1000)), (cuts, random) => {
      const edges = [0, 900, message.length, ...cuts.map(([at]) => at)].sort((a, b) => a - b)
      const frames: [number, number][] = []
      for (let i = 1; i < edges.length; i++) {
        const [, before, after] = cuts[i % (cuts.length || 1)] ?? [0, 0, 0]
        frames.push([Math.max(0, edges[i - 1]! - before), Math.min(message.length, edges[i]! + after)])
      }
      const shuffled = frames.map(frame => [random.next().value, frame] as const).sort((a, b) => a[0] - b[0])
      assert.equal(nameIn(packets(...shuffled.map(([, frame]) => [frame]))), 'quic.example')
    }),
    { numRuns: 60 },
  )
})

test('coalesced packets of one datagram', () => {
  const [first, second] = packets([[900, message.length]], [[0, 900]])
  assert.equal(nameIn([bytesOf(first!, second!)]), 'quic.example')
})

test('after Retry the keys come from the new id', () => {
  const token = Buffer.from('token')
  const half = cryptoFrame(message, 0, 900)
  const rest = cryptoFrame(message, 900)
  const before = sealInitial({ connectionId, payload: half })
  const retried = [half, rest].map((payload, i) =>
    sealInitial({ connectionId: serverId, token, packetNumber: 1 + i, payload }),
  )
  assert.equal(nameIn([before, ...retried]), 'quic.example')
})

test('a client that has taken the server id goes on with its first keys', () => {
  const first = sealInitial({ connectionId, payload: cryptoFrame(message, 0, 900) })
  const second = sealInitial({
    connectionId: serverId,
    keysFrom: connectionId,
    packetNumber: 1,
    payload: cryptoFrame(message, 900),
  })
  assert.equal(nameIn([first, second]), 'quic.example')
})

for (const sealedAs of [V1, 0xff00001d])
  test(`a number that only asks for versions, sealed as version 0x${sealedAs.toString(16)}`, () => {
    const parts = [cryptoFrame(message, 0, 900), cryptoFrame(message, 900)]
    const packets = parts.map((payload, packetNumber) =>
      sealInitial({ version: 0x1a2aba4a, sealedAs, connectionId, packetNumber, payload }),
    )
    assert.equal(nameIn(packets), 'quic.example')
  })

test('version negotiation: the hello begins in version 1 and goes on in version 2', () => {
  const first = sealInitial({ version: V1, connectionId, payload: cryptoFrame(message, 0, 900) })
  const second = sealInitial({ version: V2, connectionId, packetNumber: 1, payload: cryptoFrame(message, 900) })
  assert.equal(nameIn([first, second]), 'quic.example')
})

test('packets that nothing opens are tried a bounded number of times', () => {
  const flow = new QuicFlow(1 << 16, 0)
  const foreign = sealInitial({ connectionId, keysFrom: serverId, payload: cryptoFrame(message, 0, 900) })
  for (let i = 0; i < 16; i++) {
    assert.equal(flow.givenUp, false)
    assert.equal(flow.add(foreign, 0, foreign.length), null)
  }
  assert.equal(flow.givenUp, true)
  assert.equal(flow.bytes, 0)
})
