import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { tcp, udp } from '#core/decode/build-frame.ts'
import { dnsMessage, record } from '#core/decode/dns-fixture.ts'
import { alpn, helloMessage, records, serverName } from '#core/decode/tls-fixture.ts'
import type { HostDirectory } from '#core/host-directory.ts'
import type { PacketBatch } from '#schemas'
import { Capture } from './capture.ts'
import {
  at,
  block,
  desk,
  directory,
  type Frame,
  frame,
  host,
  laptop,
  other,
  rows,
  told,
  web,
} from './capture-fixture.ts'

/** Packets of one TCP connection: `request` from its client, `reply` to it. */
const request = (ms: number, from = desk, to = web) => frame(ms, from, to, 6, tcp(40_000, 443))
const reply = (ms: number, from = web, to = desk) => frame(ms, from, to, 6, tcp(443, 40_000))

const open = (hosts: HostDirectory | null, keepUnmonitored = false) =>
  new Capture({ sensorId: 'sensor', runId: 'run', hosts, keepUnmonitored })

/** What a capture makes of frames, the last batches included; empty ones left out. */
function captured(capture: Capture, ...frames: readonly Frame[]): PacketBatch[] {
  const batches = [...capture.add(block(...frames)), ...capture.flush()]
  return batches.filter(({ packet_flow }) => packet_flow.length > 0)
}

suite('routing', () => {
  test('without hosts every packet is reported once, from the end with the lower address', () => {
    const capture = open(null)
    const batches = captured(capture, request(0), reply(1), reply(2, laptop, desk))
    assert.deepEqual(told(batches), [
      [
        '',
        0,
        [
          '0 ms 10.0.0.1 40000 > 10.0.0.7 443',
          '1 ms 10.0.0.1 40000 < 10.0.0.7 443',
          '2 ms 10.0.0.1 40000 < 10.0.0.2 443',
        ],
      ],
    ])
    assert.deepEqual(capture.frames, { ok: 3 })
  })

  test('a monitored host has its packets from its own point of view, whichever end is lower', () => {
    const hosts = directory(host('web', web))
    const [batch] = captured(open(hosts), request(0), reply(1))
    assert.equal(batch!.host_id, 'web')
    assert.deepEqual(rows(batch!), ['0 ms 10.0.0.7 443 < 10.0.0.1 40000', '1 ms 10.0.0.7 443 > 10.0.0.1 40000'])
  })

  test('between two monitored hosts each has a record of every packet', () => {
    const hosts = directory(host('desk', desk), host('laptop', laptop))
    const capture = open(hosts)
    const batches = captured(capture, request(0, desk, laptop), reply(1, laptop, desk))
    assert.deepEqual(told(batches), [
      ['desk', 0, ['0 ms 10.0.0.1 40000 > 10.0.0.2 443', '1 ms 10.0.0.1 40000 < 10.0.0.2 443']],
      ['laptop', 0, ['0 ms 10.0.0.2 443 < 10.0.0.1 40000', '1 ms 10.0.0.2 443 > 10.0.0.1 40000']],
    ])
    assert.deepEqual(capture.frames, { ok: 2 })
  })

  test('between two addresses of one host there is one record', () => {
    const batches = captured(open(directory(host('desk', desk, laptop))), request(0, laptop, desk))
    assert.deepEqual(told(batches), [['desk', 0, ['0 ms 10.0.0.1 443 < 10.0.0.2 40000']]])
  })

  test('packets that concern no monitored host are counted, and reported only where that is wanted', () => {
    const frames = [request(0, other, web), request(1)]
    const left = open(directory(host('desk', desk)))
    assert.deepEqual(
      captured(left, ...frames).map(({ host_id }) => host_id),
      ['desk'],
    )
    assert.deepEqual(left.frames, { 'not-monitored': 1, ok: 1 })
    const kept = open(directory(host('desk', desk)), true)
    assert.deepEqual(told(captured(kept, ...frames)), [
      ['', 0, ['0 ms 10.0.0.7 443 < 10.0.0.8 40000']],
      ['desk', 0, ['1 ms 10.0.0.1 40000 > 10.0.0.7 443']],
    ])
    assert.deepEqual(kept.frames, { ok: 2 })
  })

  test('a flow follows its address from host to host while it lives', () => {
    const hosts = directory(host('desk', desk))
    const capture = open(hosts)
    capture.add(block(request(0)))
    hosts.apply(host('desk', other))
    assert.deepEqual(captured(capture, request(10)), [])
    assert.deepEqual(capture.frames, { ok: 1, 'not-monitored': 1 })
    hosts.apply(host('laptop', desk))
    assert.deepEqual(told(captured(capture, request(20))), [['laptop', 0, ['20 ms 10.0.0.1 40000 > 10.0.0.7 443']]])
  })

  test('a host that gains an address in the midst of a batch has its other flows in it once', () => {
    const hosts = directory(host('desk', desk))
    const capture = open(hosts)
    capture.add(block())
    capture.tick(at(0))
    capture.add(block(request(0)))
    capture.add(block(request(1), request(2, other, laptop)))
    hosts.apply(host('desk', desk, other))
    const [batch] = captured(capture, request(3), request(4, other, laptop))
    assert.deepEqual(rows(batch!), [
      '1 ms 10.0.0.1 40000 > 10.0.0.7 443',
      '3 ms 10.0.0.1 40000 > 10.0.0.7 443',
      '4 ms 10.0.0.8 40000 > 10.0.0.2 443',
    ])
    assert.equal(batch!.flow_protocol.length, 2)
  })

  test('a frame that cannot be decoded is counted by reason, a link type by number too', () => {
    const capture = open(null)
    const frames = block(request(0), { ms: 1, data: Buffer.alloc(5) }, request(2))
    frames.linkType[2] = 147
    assert.equal(capture.add(frames).length, 1)
    assert.deepEqual(capture.frames, { ok: 1, 'truncated-header': 1, 'unsupported-link-type': 1 })
    assert.deepEqual([...capture.unsupportedLinkTypes], [147])
  })
})

suite('batches', () => {
  test('all hosts’ batches are closed each second of capture time; one without packets is a tick', () => {
    const capture = open(directory(host('desk', desk), host('laptop', laptop)))
    const first = capture.add(block(request(0), request(0, laptop, web)))
    assert.deepEqual(
      first.map(({ host_id, seq, until_us }) => [host_id, seq, until_us]),
      [
        ['desk', 0, at(0)],
        ['laptop', 0, at(0)],
      ],
    )
    assert.deepEqual(capture.add(block(request(500), reply(999))), [])
    const second = capture.add(block(request(1000)))
    assert.deepEqual(told(second), [
      [
        'desk',
        1,
        [
          '500 ms 10.0.0.1 40000 > 10.0.0.7 443',
          '999 ms 10.0.0.1 40000 < 10.0.0.7 443',
          '1000 ms 10.0.0.1 40000 > 10.0.0.7 443',
        ],
      ],
      ['laptop', 1, []],
    ])
    assert.equal(second[1]!.until_us, at(1000))
  })

  test('a tick closes what there is and lets time go on; without any host there is nothing to tell', () => {
    const capture = open(directory(host('desk', desk)))
    assert.deepEqual([capture.tick(at(0)), capture.nowUs], [[], at(0)])
    capture.add(block(request(0)))
    capture.add(block(request(5)))
    const [batch] = capture.tick(at(700))
    assert.deepEqual([batch!.until_us, rows(batch!)], [at(700), ['5 ms 10.0.0.1 40000 > 10.0.0.7 443']])
    assert.equal(capture.nowUs, at(700))
  })

  test('a batch that is full of packets is closed, and nothing is lost or repeated', () => {
    const capture = open(null)
    capture.add(block(request(0)))
    const frames = Array.from({ length: 4096 }, () => request(1))
    const batches = Array.from({ length: 5 }, () => capture.add(block(...frames))).flat()
    assert.deepEqual(
      [...batches, ...capture.flush()].map(({ seq, packet_flow, flow_protocol }) => [
        seq,
        packet_flow.length / 2,
        flow_protocol.length,
      ]),
      [
        [1, 16_384, 1],
        [2, 4096, 1],
      ],
    )
  })

  test('a batch that is full of flows is closed, each flow in both with its own number', () => {
    const capture = open(null)
    capture.add(block(request(0)))
    const blockOf = (from: number) =>
      block(...Array.from({ length: 4000 }, (_, i) => frame(1, desk, web, 17, udp(from + i, 53))))
    const batches = [0, 4000, 8000].flatMap(from => capture.add(blockOf(from)))
    batches.push(...capture.flush())
    assert.deepEqual(
      batches.map(({ flow_protocol }) => flow_protocol.length),
      [8192, 12_000 - 8192],
    )
    assert.deepEqual(
      batches.flatMap(rows),
      Array.from({ length: 12_000 }, (_, port) => `1 ms 10.0.0.1 ${port} > 10.0.0.7 53`),
    )
  })

  test('a batch is closed before a packet whose time does not fit it', () => {
    const hour = 3_600_000
    const batches = captured(open(null), request(0), request(hour), request(hour + 1))
    assert.deepEqual(
      batches.map(rows),
      [[0], [hour, hour + 1]].map(times => times.map(ms => `${ms} ms 10.0.0.1 40000 > 10.0.0.7 443`)),
    )
  })
})

suite('fragments', () => {
  const datagram = udp(5000, 53, new Uint8Array(40))
  const part = (ms: number, from: number, to: number) =>
    frame(ms, desk, web, 17, datagram.subarray(from, to), {
      id: 7,
      fragmentOffset: from,
      moreFragments: to < datagram.length,
    })

  test('a later fragment that came first is counted as held, and joins the flow with the time it had', () => {
    const capture = open(null)
    const [batch] = captured(capture, part(0, 24, 48), part(1, 0, 24))
    assert.deepEqual(rows(batch!), ['0 ms 10.0.0.1 5000 > 10.0.0.7 53 fragment', '1 ms 10.0.0.1 5000 > 10.0.0.7 53'])
    assert.deepEqual(capture.frames, { 'fragment-held': 1, ok: 1 })
  })

  test('fragments in order are marked as such', () => {
    const [batch] = captured(open(null), part(0, 0, 24), part(1, 24, 48))
    assert.deepEqual(rows(batch!), ['0 ms 10.0.0.1 5000 > 10.0.0.7 53', '1 ms 10.0.0.1 5000 > 10.0.0.7 53 fragment'])
  })
})

suite('names', () => {
  const hello = records(helloMessage({ extensions: [serverName('www.example.com'), alpn('h2', 'http/1.1', 'a')] }))
  const cut = hello.length - 5
  /** A segment of the client’s stream, which begins with the ClientHello. */
  const segment = (ms: number, from: number, to: number) => {
    const bytes = Buffer.from(tcp(40_000, 443, hello.subarray(from, to)))
    bytes.writeUInt32BE(1 + from, 4)
    return frame(ms, desk, laptop, 6, bytes)
  }

  test('a server name rides with the packet that completed it, on both hosts', () => {
    const capture = open(directory(host('desk', desk), host('laptop', laptop)))
    const frames = [segment(0, 0, cut), reply(1, laptop, desk), segment(2, cut, hello.length), segment(3, 0, cut)]
    const batches = captured(capture, request(0, laptop, web), ...frames)
    assert.deepEqual(
      batches.map(({ host_id, names }) => [host_id, names.map(({ packet, sni, alpn }) => [packet, sni, alpn])]),
      [
        ['laptop', [[3, 'www.example.com', ['a', 'h2', 'http/1.1']]]],
        ['desk', [[2, 'www.example.com', ['a', 'h2', 'http/1.1']]]],
      ],
    )
    assert.match(batches[0]!.names[0]!.ja4!, /^t/)
    assert.deepEqual(
      captured(capture, request(10)).flatMap(({ names }) => names),
      [],
    )
  })

  test('a name that began in one batch and ends in another is told in the latter', () => {
    const capture = open(directory(host('desk', desk)))
    assert.deepEqual(
      capture.add(block(segment(0, 0, cut))).map(({ names }) => names),
      [[]],
    )
    const [batch] = captured(capture, reply(1), segment(2, cut, hello.length))
    assert.deepEqual(
      batch!.names.map(({ packet, sni }) => [packet, sni]),
      [[1, 'www.example.com']],
    )
  })

  const answer = dnsMessage({
    question: 'www.example.com',
    answers: [
      record('www.example.com', 'A', Buffer.of(10, 0, 0, 7), 60),
      record('www.example.com', 'A', Buffer.of(10, 0, 0, 8), 61),
    ],
  })
  const answered = (ms: number, from: string, to: string) => frame(ms, from, to, 17, udp(53, 5353, answer))
  const expected = [
    { packet: 1, name: 'www.example.com', ip: web, ttl_s: 60 },
    { packet: 1, name: 'www.example.com', ip: other, ttl_s: 61 },
  ]

  test('DNS answers go to the host that received them, not to the one that gave them', () => {
    const hosts = directory(host('desk', desk), host('laptop', laptop))
    for (const [from, to, receiver] of [
      [laptop, desk, 'desk'],
      [desk, laptop, 'laptop'],
    ] as const) {
      const batches = captured(open(hosts), request(0, desk, laptop), answered(1, from, to))
      assert.deepEqual(
        batches.map(({ host_id, dns }) => [host_id, dns]),
        ['desk', 'laptop'].map(hostId => [hostId, hostId === receiver ? expected : []]),
      )
    }
    const [server] = captured(open(directory(host('desk', desk))), answered(0, desk, web))
    assert.deepEqual(server!.dns, [])
  })

  test('without hosts the answers ride along in either direction', () => {
    for (const [from, to] of [
      [desk, web],
      [web, desk],
    ] as const) {
      const capture = open(null)
      const [batch] = captured(capture, request(0), answered(1, from, to))
      assert.deepEqual(batch!.dns, expected)
      assert.deepEqual(captured(capture, request(10))[0]!.dns, [])
    }
  })

  test('between two addresses of one host the answers go to it, whichever end gives them', () => {
    for (const [from, to] of [
      [laptop, desk],
      [desk, laptop],
    ] as const) {
      const [batch] = captured(open(directory(host('desk', desk, laptop))), request(0), answered(1, from, to))
      assert.deepEqual(batch!.dns, expected)
    }
  })
})
