import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { dnsMessage, record } from './dns-fixture.ts'
import { type NameLimits, type WireName, WireNames } from './names.ts'
import { cryptoFrame, sealInitial } from './quic-fixture.ts'
import { alpn, bytesOf, helloMessage, packetOf, records, serverName, u16 } from './tls-fixture.ts'

const SYN = 2
const message = helloMessage({
  extensions: [serverName('www.example.com'), alpn('h2', 'http/1.1'), [0x1234, new Uint8Array(100).fill(0x16)]],
})
const stream = records(message)
/** One flow under observation; `send` gives a segment's payload at an offset from the first byte of the stream. */
class Flow {
  readonly names: WireNames
  readonly found: WireName[] = []
  private readonly first: number

  constructor(firstSequence = 1000, limits: Partial<NameLimits> = {}) {
    this.first = firstSequence
    this.names = new WireNames(limits)
  }

  syn(fromLow = true): this {
    return this.packet(new Uint8Array(0), { tcpSequence: (this.first - 1) >>> 0, tcpFlags: SYN }, fromLow)
  }

  send(payload: Uint8Array, offset = 0, fromLow = true): this {
    return this.packet(payload, { tcpSequence: (this.first + offset) >>> 0 }, fromLow)
  }

  packet(payload: Uint8Array, fields: Parameters<typeof packetOf>[2], fromLow: boolean): this {
    if (!this.names.wants(1)) return this
    const name = this.names.observe(packetOf('tcp', payload, fields), payload, 1, fromLow)
    if (name !== null) this.found.push(name)
    return this
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}

function sniOf(flow: Flow): (string | null)[] {
  return flow.found.map(name => (name.kind === 'dns' ? 'dns' : name.sni))
}

test('a ClientHello in one segment', () => {
  const flow = new Flow().syn().send(stream)
  const ja4 = `t12d0103h2_${sha256('1301')}_${sha256('1234')}`
  assert.deepEqual(flow.found, [{ kind: 'tls', sni: 'www.example.com', alpn: ['h2', 'http/1.1'], ja4, ech: false }])
  assert.equal(flow.names.wants(1), false)
})

/** Pieces of the stream: every byte is in one at least; some are repeated or longer than they need be. */
const cuts = fc.record({
  edges: fc.array(fc.nat(stream.length), { maxLength: 12 }),
  before: fc.array(fc.nat(20), { minLength: 13, maxLength: 13 }),
  repeated: fc.array(fc.nat(12), { maxLength: 4 }),
  order: fc.array(fc.nat(1000), { minLength: 20, maxLength: 20 }),
})

function pieces({ edges, before, repeated, order }: { [k in 'edges' | 'before' | 'repeated' | 'order']: number[] }) {
  const sorted = [0, ...edges, stream.length].sort((a, b) => a - b)
  const list = sorted.slice(1).map((to, i) => ({ from: Math.max(0, sorted[i]! - before[i]!), to }))
  const all = [...list, ...repeated.map(i => list[i % list.length]!)]
  return all.map((piece, i) => ({ ...piece, rank: order[i]! })).sort((a, b) => a.rank - b.rank)
}

const expected = new Flow().syn().send(stream).found

for (const hasSyn of [true, false]) {
  test(`cut, overlapping, repeated and shuffled, ${hasSyn ? 'with' : 'without'} the SYN`, () => {
    fc.assert(
      fc.property(cuts, fc.constantFrom(1000, 0xffffff80), (cut, firstSequence) => {
        const flow = new Flow(firstSequence)
        if (hasSyn) flow.syn()
        for (const { from, to } of pieces(cut)) if (from < to) flow.send(stream.subarray(from, to), from)
        assert.deepEqual(flow.found, expected)
        assert.deepEqual(flow.names.statistics().bytes, 0)
      }),
      { numRuns: 500 },
    )
  })
}

test('one byte a segment: in order, backwards, and in tiny records', () => {
  const tiny = records(message, 3)
  for (const data of [stream, tiny]) {
    const forwards = new Flow().syn()
    for (let i = 0; i < data.length; i++) forwards.send(data.subarray(i, i + 1), i)
    assert.deepEqual(forwards.found, expected)
    const backwards = new Flow().syn()
    for (let i = data.length - 1; i >= 0; i--) backwards.send(data.subarray(i, i + 1), i)
    assert.deepEqual(backwards.found, expected)
  }
})

test('where two segments differ, the first stays', () => {
  const other = records(helloMessage({ extensions: [serverName('evil.example.com'), [0x1234, new Uint8Array(100)]] }))
  const flow = new Flow().syn().send(stream.subarray(20), 20).send(other.subarray(0, 200)).send(stream.subarray(0, 20))
  assert.deepEqual(sniOf(flow), ['www.example.com'])
})

test('protocols that turn to TLS later: the ClientHello begins a segment', () => {
  const hi = Buffer.from('220 ready\r\n')
  const flow = new Flow().syn().syn(false).send(hi, 0, false).send(Buffer.from('STARTTLS\r\n')).send(hi, 11, false)
  assert.deepEqual(sniOf(flow.send(stream.subarray(0, 50), 10).send(stream.subarray(50), 60)), ['www.example.com'])
})

test('a gap that is never filled does not hide a ClientHello behind it', () => {
  const flow = new Flow().syn().send(Buffer.from('EHLO x\r\n')).send(stream.subarray(0, 90), 500)
  assert.deepEqual(sniOf(flow.send(stream.subarray(90), 590)), ['www.example.com'])
})

test('a ClientHello that begins in the part of a segment not seen before', () => {
  const flow = new Flow().syn().send(Buffer.from('CONNECT'))
  assert.deepEqual(sniOf(flow.send(bytesOf(Buffer.from('ECT'), stream), 4)), ['www.example.com'])
})

test('data in the SYN (TCP Fast Open)', () => {
  const flow = new Flow().packet(stream, { tcpSequence: 999, tcpFlags: SYN }, true)
  assert.deepEqual(sniOf(flow), ['www.example.com'])
})

test('a segment that the capture cut short tells what it can', () => {
  const cut = stream.subarray(0, 90)
  const flow = new Flow().syn().packet(cut, { tcpSequence: 1000, payloadLength: stream.length }, true)
  assert.deepEqual(sniOf(flow), ['www.example.com'])
  assert.equal((flow.found[0] as { ja4: string | null }).ja4, null)
})

test('a flow without TLS is left alone after the bound, and holds no buffer', () => {
  const flow = new Flow().syn()
  const text = Buffer.alloc(1000, 'x')
  for (let i = 0; i < 70 && flow.names.wants(1); i++) {
    flow.send(text, 1000 * i)
    assert.equal(flow.names.statistics().flows, 0)
  }
  assert.equal(flow.names.wants(1), false)
  flow.names.release(1)
  assert.equal(flow.names.wants(1), true)
})

test('buffers are bounded in bytes, flows and time', () => {
  const begin = (names: WireNames, flow: number, timeUs = 0) => {
    const half = stream.subarray(0, 50)
    names.observe(packetOf('tcp', half, { tcpSequence: 1, timeUs }), half, flow, true)
  }
  const aged = new WireNames({ maxAgeUs: 1000 })
  begin(aged, 1, 0)
  begin(aged, 2, 600)
  aged.expire(1500)
  assert.deepEqual([aged.statistics().flows, aged.statistics().dropped.age], [1, 1])

  const crowded = new WireNames({ flows: 10 })
  for (let flow = 0; flow < 5000; flow++) begin(crowded, flow)
  assert.deepEqual([crowded.statistics().flows, crowded.statistics().dropped.flows], [10, 4990])

  const heavy = new WireNames({ totalBytes: 2048 })
  for (let flow = 0; flow < 100; flow++) begin(heavy, flow)
  assert.ok(heavy.statistics().bytes <= 2048)
  assert.ok(heavy.statistics().dropped.totalBytes > 0)

  // The record says 16,384 bytes of a hello that never comes.
  const endless = new Flow(1, { bytesPerFlow: 4096 })
  endless.send(bytesOf(0x16, u16(0x0301), u16(0x4000), 1, 0, u16(0x3ffc), u16(0x0303)))
  for (let i = 0; i < 8; i++) endless.send(Buffer.alloc(1000, 'x'), 11 + 1000 * i)
  assert.deepEqual(endless.names.statistics().bytes, 0)
  assert.equal(endless.names.statistics().dropped.flowBytes, 1)
})

test('QUIC on any port, from either end', () => {
  const names = new WireNames()
  const connectionId = Buffer.from('8394c8f03e515708', 'hex')
  const data = sealInitial({ connectionId, payload: cryptoFrame(message) })
  const found = names.observe(packetOf('udp', data, { destinationPort: 12345 }), data, 1, false)
  assert.ok(found?.kind === 'quic')
  assert.equal(found.sni, 'www.example.com')
  assert.match(found.ja4!, /^q12d0103h2_/)
  assert.equal(names.wants(1), false)
})

test('a UDP flow without QUIC is left alone', () => {
  const names = new WireNames({ udpDatagramsLooked: 3 })
  const data = Buffer.from('hello')
  for (let i = 0; i < 4; i++) {
    assert.equal(names.wants(1), true)
    names.observe(packetOf('udp', data), data, 1, true)
  }
  assert.equal(names.wants(1), false)
})

const response = dnsMessage({
  question: 'www.example.com',
  answers: [record('www.example.com', 'A', Buffer.of(192, 0, 2, 1), 60)],
})
const answers = [{ name: 'www.example.com', address: '192.0.2.1', ttlSeconds: 60 }]

test('DNS over UDP: answers from the ports of DNS, mDNS and LLMNR', () => {
  const names = new WireNames()
  for (const sourcePort of [53, 5353, 5355]) {
    const found = names.observe(packetOf('udp', response, { sourcePort }), response, 1, true)
    assert.deepEqual(found, { kind: 'dns', answers })
    assert.equal(names.wants(1), true)
  }
  assert.equal(names.observe(packetOf('udp', response, { destinationPort: 53 }), response, 1, true), null)
})

test('DNS over TCP: several messages, cut and shuffled', () => {
  const data = bytesOf(u16(response.length), response, u16(response.length), response)
  fc.assert(
    fc.property(
      fc.array(fc.nat(data.length)),
      fc.infiniteStream(fc.nat(1000)),
      fc.boolean(),
      (edges, random, hasSyn) => {
        const sorted = [0, ...edges, data.length].sort((a, b) => a - b)
        const parts = sorted.slice(1).map((to, i) => ({ from: sorted[i]!, to, rank: hasSyn ? random.next().value : 0 }))
        const names = new WireNames()
        const got: unknown[] = []
        const observe = (payload: Uint8Array, fields: object) => {
          const packet = packetOf('tcp', payload, { sourcePort: 53, ...fields })
          const found = names.observe(packet, payload, 1, true)
          if (found?.kind === 'dns') got.push(...found.answers)
        }
        if (hasSyn) observe(new Uint8Array(0), { tcpSequence: 0xfffffff0, tcpFlags: SYN })
        for (const { from, to } of parts.sort((a, b) => a.rank - b.rank)) {
          observe(data.subarray(from, to), { tcpSequence: (0xfffffff1 + from) >>> 0 })
        }
        assert.deepEqual(got, [...answers, ...answers])
        assert.equal(names.statistics().bytes, 0)
      },
    ),
  )
})
