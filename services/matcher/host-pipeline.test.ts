import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { batchOf, type PacketText } from '#core/batch-fixture.ts'
import { defaultConstants } from '#core/constants.ts'
import { ServerNames } from '#core/stages/server-name.ts'
import { at, hostIp, TestHost } from '#core/test-host.ts'
import type { Host, LabeledSession } from '#schemas'
import { HostPipeline } from './host-pipeline.ts'

const server = '192.0.2.7:443'
const ends = `tcp ${hostIp}:40000 ${server}`

function open(provisional: boolean, hostId = 'host'): HostPipeline {
  return new HostPipeline(hostId, {
    constants: defaultConstants,
    sharedNames: new ServerNames(defaultConstants),
    provisional,
  })
}

const hostRecord = (host_id: string, ip: string): Host => ({
  host_id,
  names: [],
  addresses: [{ ip, since_us: null, until_us: null, namespace: null }],
  os: 'linux',
  agent_version: 'test',
  poll_period_us: 50_000,
  boot_id: null,
  updated_us: at(0),
})

/** A connection of the host that lasts from one time to another, ended by FINs. */
const connection = (fromMs: number, untilMs: number, port = 40_000): PacketText[] => [
  `${fromMs} tcp ${port} > ${server} S1`,
  `${fromMs + 1} tcp ${port} < ${server} SA2`,
  `${untilMs} tcp ${port} > ${server} FA`,
  `${untilMs} tcp ${port} < ${server} FA`,
]

/** What a record says in short. */
const told = ({ state, revision, label, stage, unknown_cause, label_final }: LabeledSession) =>
  `${state} ${revision} ${label ? `${stage} ${label.process}` : unknown_cause}${label_final ? '' : ' not final'}`

/** The agent of the host polls up to a time and finds the socket of the connection. */
function tellSockets(pipeline: HostPipeline, untilMs: number, owner: string | null = 'curl'): void {
  const agent = new TestHost()
  pipeline.applyHost(hostRecord('host', hostIp))
  for (let ms = -100; ms <= untilMs; ms += 50) {
    const rows = owner !== null && ms >= 0 ? [[ends, owner] as const] : []
    pipeline.applySnapshot(agent.pollMessage(ms, ...rows))
  }
}

suite('when records come out', () => {
  test('offline a session comes out once, when it has left the table', () => {
    const pipeline = open(false)
    tellSockets(pipeline, 15_000)
    pipeline.applyPackets(batchOf(connection(10, 14_000)), 0)
    assert.deepEqual(pipeline.take(), [])
    pipeline.applyPackets(batchOf([], { until_us: at(30_000) }), 0)
    assert.deepEqual([pipeline.take(), pipeline.size], [[], 1])
    pipeline.applyPackets(batchOf([], { until_us: at(80_000) }), 0)
    assert.deepEqual(pipeline.take().map(told), ['closed 0 A curl'])
    assert.equal(pipeline.size, 0)
    pipeline.end(10)
    pipeline.finish(null)
    assert.deepEqual(pipeline.take(), [])
  })

  test('live it comes out while it goes on, and when it has ended', () => {
    const pipeline = open(true)
    tellSockets(pipeline, 15_000)
    pipeline.applyPackets(batchOf(connection(10, 14_000).slice(0, 2)), 0)
    const records = [12_000, 13_000].flatMap(ms => {
      pipeline.applyPackets(batchOf([], { until_us: at(ms) }), 0)
      return pipeline.take()
    })
    assert.deepEqual(records.map(told), ['open 0 A curl'])
    assert.deepEqual([records[0]!.packets_out, records[0]!.end_reason], [1, null])
    pipeline.applyPackets(batchOf(connection(10, 14_000).slice(2)), 0)
    pipeline.applyPackets(batchOf([], { until_us: at(21_000) }), 0)
    const closed = pipeline.take()
    assert.deepEqual(closed.map(told), ['closed 1 A curl'])
    assert.deepEqual([closed[0]!.packets_out, closed[0]!.end_reason], [2, 'fin'])
    assert.equal(closed[0]!.session_id, records[0]!.session_id)
    // Nothing has changed when it leaves the table, so nothing more is told.
    pipeline.applyPackets(batchOf([], { until_us: at(90_000) }), 0)
    assert.deepEqual([pipeline.take(), pipeline.size], [[], 0])
  })

  test('a packet after the end of a session that was told makes a revision', () => {
    const pipeline = open(true)
    tellSockets(pipeline, 3_000)
    pipeline.applyPackets(batchOf(connection(10, 1_000)), 0)
    pipeline.applyPackets(batchOf([], { until_us: at(7_000) }), 0)
    pipeline.applyPackets(batchOf([`8000 tcp 40000 < ${server} FA`]), 0)
    pipeline.applyPackets(batchOf([], { until_us: at(70_000) }), 0)
    assert.deepEqual(
      pipeline.take().map(record => [told(record), record.packets_in]),
      [
        ['closed 0 A curl', 2],
        ['closed 1 A curl', 3],
      ],
    )
  })

  test('a label that may still change waits offline for the end, and is told live as not final', () => {
    for (const [provisional, expected] of [
      [false, [[], ['closed 0 too-short']]],
      [true, [['closed 0 too-short not final'], ['closed 1 too-short']]],
    ] as const) {
      const pipeline = open(provisional)
      tellSockets(pipeline, 3_000, null)
      pipeline.applyPackets(batchOf(connection(10, 20)), 0)
      pipeline.applyPackets(batchOf([], { until_us: at(66_000) }), 0)
      const before = pipeline.take().map(told)
      assert.equal(pipeline.size, 1)
      pipeline.end(10)
      pipeline.finish(null)
      assert.deepEqual([before, pipeline.take().map(told)], expected)
      assert.equal(pipeline.size, 0)
    }
  })

  test('socket data is waited for until the session is told; what comes later makes a revision', () => {
    for (const [cameMs, expected] of [
      [1_900, ['closed 0 A curl']],
      [4_000, ['closed 0 A curl']],
      [40_000, ['closed 0 agent-gap not final', 'closed 1 A curl']],
    ] as const) {
      const pipeline = open(true)
      tellSockets(pipeline, -50)
      pipeline.applyPackets(batchOf(connection(10, 900)), 0)
      pipeline.applyPackets(batchOf([], { until_us: at(cameMs) }), 0)
      tellSockets(pipeline, 1_000)
      for (const ms of [cameMs + 6_000, cameMs + 70_000]) pipeline.applyPackets(batchOf([], { until_us: at(ms) }), 0)
      assert.deepEqual(pipeline.take().map(told), expected)
    }
  })

  test('what a host learned in the hour after a session tells whose that was', () => {
    const pipeline = open(true)
    const agent = new TestHost()
    pipeline.applyHost(hostRecord('host', hostIp))
    const connect = (fromMs: number, port: number, to: string) => {
      const row = [`tcp ${hostIp}:${port} ${to}`, 'curl'] as const
      pipeline.applySnapshot(agent.pollMessage(fromMs - 50))
      for (let ms = fromMs; ms <= fromMs + 1_000; ms += 50) pipeline.applySnapshot(agent.pollMessage(ms, row))
      const packets = connection(fromMs + 10, fromMs + 900, port)
      pipeline.applyPackets(batchOf(packets.map(packet => packet.replace(server, to))), 0)
    }
    const pass = (untilMs: number) => pipeline.applyPackets(batchOf([], { until_us: at(untilMs) }), 0)
    const tell = () => pipeline.take().map(told)
    connect(0, 50_000, '192.0.2.8:443') // by which the clocks are known to agree
    pass(100_000)
    assert.deepEqual(tell(), ['closed 0 A curl'])
    pipeline.applyPackets(batchOf(connection(100_010, 100_020)), 0)
    pass(200_000)
    assert.deepEqual(tell(), ['closed 0 agent-gap not final'])
    for (const i of [1, 2, 3]) connect(200_000 + 60_000 * i, 50_000 + i, server)
    pass(500_000)
    assert.deepEqual(tell(), Array(3).fill('closed 0 A curl'))
    pass(3_690_000)
    assert.deepEqual(tell(), [])
    pass(3_730_000)
    assert.deepEqual(tell(), ['closed 1 A2 curl not final'])
  })

  test('when what it rests on is forgotten, a day later, a label stays as it was, for ever', () => {
    const dayMs = 86_400_000
    for (const [provisional, whileReading, atEnd] of [
      [true, ['closed 0 A curl not final', 'closed 1 A curl'], []],
      [false, [], ['closed 0 A curl']],
    ] as const) {
      const pipeline = open(provisional)
      const agent = new TestHost()
      pipeline.applyHost(hostRecord('host', hostIp))
      for (let ms = -100; ms <= 3_000; ms += 50)
        pipeline.applySnapshot(agent.pollMessage(ms, ['udp 0.0.0.0:40000 *', 'curl']))
      pipeline.applyPackets(batchOf([`10 udp 40000 > ${server}`, `500 udp 40000 < ${server}`]), 0)
      for (const ms of [70_000, dayMs + 70_000, dayMs + 140_000])
        pipeline.applyPackets(batchOf([], { until_us: at(ms) }), 0)
      assert.deepEqual(pipeline.take().map(told), whileReading)
      pipeline.end(10)
      pipeline.finish(null)
      assert.deepEqual(pipeline.take().map(told), atEnd)
      assert.equal(pipeline.size, 0)
    }
  })

  test('at the end of the input sessions come out in portions, in the order in which they began', () => {
    const pipeline = open(false)
    const packets = Array.from({ length: 10 }, (_, i) => `${i} udp ${1000 + i} > ${server}`)
    pipeline.applyPackets(batchOf(packets, { until_us: at(5_000) }), 0)
    const portions: (string | number | null)[][] = []
    for (let more = true; more; ) {
      more = pipeline.end(4)
      portions.push(pipeline.take().flatMap(({ local_port, end_reason }) => [local_port, end_reason]))
    }
    const ended = (from: number, count: number) =>
      Array.from({ length: count }, (_, i) => [from + i, 'shutdown']).flat()
    assert.deepEqual(portions, [ended(1000, 4), ended(1004, 4), ended(1008, 2)])
  })
})

suite('what records say', () => {
  test('without any word of an agent every session is unknown for want of it, and final', () => {
    const pipeline = open(false)
    pipeline.applyPackets(batchOf(connection(0, 10)), 0)
    pipeline.end(10)
    assert.deepEqual(pipeline.take().map(told), ['closed 0 no-agent'])
  })

  test('losses mark the sessions that were open, not those that begin after', () => {
    const pipeline = open(false)
    pipeline.applyPackets(batchOf([`0 udp 1000 > ${server}`]), 0)
    pipeline.applyPackets(batchOf([`1 udp 2000 > ${server}`]), 5)
    pipeline.end(10)
    assert.deepEqual(
      pipeline.take().map(({ local_port, capture_gap }) => [local_port, capture_gap]),
      [
        [1000, true],
        [2000, false],
      ],
    )
  })

  test('a DNS answer names the remote end of what follows', () => {
    const pipeline = open(false)
    const dns = [{ packet: 0, name: 'www.example.com', ip: '192.0.2.7', ttl_s: 60 }]
    pipeline.applyPackets(batchOf(['0 udp 5353 < 192.0.2.53:53', ...connection(1, 10)], { dns }), 0)
    pipeline.end(10)
    assert.deepEqual(
      pipeline.take().map(({ remote_ip, dns_name }) => [remote_ip, dns_name]),
      [
        ['192.0.2.53', null],
        ['192.0.2.7', 'www.example.com'],
      ],
    )
  })

  test('a bare capture has no host: the end that opened a session is its local end, and names are its own', () => {
    const pipeline = open(false, '')
    const dns = [
      { packet: 0, name: 'www.example.com', ip: '192.0.2.7', ttl_s: 60 },
      { packet: 1, name: 'other.example.com', ip: hostIp, ttl_s: 60 },
    ]
    const answers = ['0 udp 5353 < 192.0.2.53:53', `1 udp 53 > 192.0.2.9:5353`]
    const accepted = [`20 tcp 22 < 192.0.2.9:50000 S1`, `21 tcp 22 > 192.0.2.9:50000 SA1`]
    pipeline.applyPackets(batchOf([...answers, ...connection(2, 10), ...accepted], { host_id: '', dns }), 0)
    pipeline.end(10)
    const records = pipeline.take().filter(({ proto }) => proto === 'tcp')
    assert.deepEqual(
      records.map(record => [
        record.host_id,
        `${record.local_ip} ${record.local_port} ${record.direction} ${record.remote_ip} ${record.remote_port}`,
        record.dns_name,
        record.splt[0]!.len,
      ]),
      [
        [null, `${hostIp} 40000 out 192.0.2.7 443`, 'www.example.com', 60],
        [null, `192.0.2.9 50000 out ${hostIp} 22`, 'other.example.com', 60],
      ],
    )
  })
})
