import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { codecs, type PacketBatch, PacketBatchBuilder, readPacketColumns } from '#schemas'

const uint32 = fc.integer({ min: 0, max: 0xffffffff })
const port = fc.integer({ min: 0, max: 0xffff })
const flow = fc.record({
  addresses: fc.array(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), { minLength: 8, maxLength: 8 }),
  local: fc.constantFrom<0 | 4>(0, 4),
  localPort: port,
  remotePort: port,
  protocol: fc.integer({ min: 0, max: 255 }),
  vlan: fc.integer({ min: -1, max: 4095 }),
  tunnel: fc.option(
    fc.record({ kind: fc.constant('vxlan'), source: fc.string(), destination: fc.string(), id: fc.option(uint32) }),
  ),
  peer: fc.option(fc.string({ maxLength: 2 })),
})
const packet = fc.record({
  flow: fc.nat(),
  delta: fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }),
  wireLength: uint32,
  ipLength: uint32,
  payloadLength: uint32,
  tcpFlags: fc.integer({ min: 0, max: 255 }),
  direction: fc.integer({ min: 0, max: 3 }),
  sequence: uint32,
})
const header = { host_id: 'h', sensor_id: 's', run_id: 'r', seq: 7, until_us: 5, lost: 0, names: [], dns: [] }

const wordsOf = (bytes: Uint8Array, at: number) =>
  Array.from({ length: 4 }, (_, i) => Buffer.from(bytes).readInt32BE(at + i * 4))

test('every packet of a batch comes back exactly: 5-tuple, time, lengths, flags', () => {
  const builder = new PacketBatchBuilder()
  fc.assert(
    fc.property(
      fc.array(flow, { minLength: 1, maxLength: 20 }),
      fc.array(packet, { minLength: 1, maxLength: 200 }),
      fc.integer({ min: 0, max: 2 ** 50 }),
      (flows, packets, baseUs) => {
        for (const f of flows)
          builder.addFlow(
            Int32Array.from(f.addresses),
            f.local,
            4 - f.local,
            f.localPort,
            f.remotePort,
            f.protocol,
            f.vlan,
            f.tunnel,
            f.peer,
          )
        const rows = packets.map((p, i) => ({
          ...p,
          flow: p.flow % flows.length,
          timeUs: baseUs + (i === 0 ? 0 : p.delta),
        }))
        for (const p of rows) {
          assert.ok(builder.accepts(p.timeUs))
          builder.addPacket(
            p.flow,
            p.timeUs,
            p.wireLength,
            p.ipLength,
            p.payloadLength,
            p.tcpFlags,
            p.direction,
            p.sequence,
          )
        }
        const columns = readPacketColumns(codecs.packets.decode(codecs.packets.encode(builder.build(header))))
        assert.equal(columns.packets, rows.length)
        assert.equal(columns.flows, flows.length)
        let syn = 0
        rows.forEach((p, i) => {
          const f = flows[p.flow]!
          const at = columns.packetFlow[i]!
          const ends = [f.addresses.slice(0, 4), f.addresses.slice(4)]
          const [local, remote] = f.local === 0 ? ends : ends.reverse()
          assert.deepEqual(wordsOf(columns.flowAddress, at * 32), local)
          assert.deepEqual(wordsOf(columns.flowAddress, at * 32 + 16), remote)
          assert.equal(columns.flowPort[at * 2], f.localPort)
          assert.equal(columns.flowPort[at * 2 + 1], f.remotePort)
          assert.equal(columns.flowProtocol[at], f.protocol)
          assert.equal(columns.flowVlan[at], f.vlan < 0 ? 0xffff : f.vlan)
          assert.deepEqual({ ...(columns.tunnels[columns.flowTunnel[at]!] ?? null) }, { ...f.tunnel })
          assert.equal(columns.peers[columns.flowPeer[at]!] ?? null, f.peer)
          assert.equal(columns.baseUs + columns.packetTime[i]!, p.timeUs)
          assert.equal(columns.wireLength[i], p.wireLength)
          assert.equal(columns.ipLength[i], p.ipLength)
          assert.equal(columns.payloadLength[i], p.payloadLength)
          assert.equal(columns.tcpFlags[i], p.tcpFlags)
          assert.equal(columns.direction[i], p.direction)
          if (p.tcpFlags & 2) assert.equal(columns.synSequence[syn++], p.sequence)
        })
        assert.equal(builder.packets, 0)
      },
    ),
  )
})

test('a builder takes no packet whose time does not fit its base', () => {
  const builder = new PacketBatchBuilder()
  builder.addFlow(new Int32Array(8), 0, 4, 1, 2, 6, -1, null)
  builder.addPacket(0, 1e15, 60, 40, 0, 2, 0, 1)
  assert.ok(builder.accepts(1e15 + 2 ** 31 - 1))
  assert.ok(!builder.accepts(1e15 + 2 ** 31))
  assert.ok(!builder.accepts(1e15 - 2 ** 31))
})

test('columns that do not fit each other are refused with the name of the column', () => {
  const builder = new PacketBatchBuilder()
  const batch = (change: Partial<PacketBatch>) => {
    builder.addFlow(new Int32Array(8), 0, 4, 1, 2, 6, -1, null)
    builder.addPacket(0, 1, 60, 40, 0, 2, 0, 1)
    return { ...builder.build(header), ...change }
  }
  assert.throws(() => readPacketColumns(batch({ packet_time: Buffer.alloc(3) })), /packet_time expected 4 bytes, got 3/)
  assert.throws(() => readPacketColumns(batch({ packet_flow: Buffer.from([1, 0]) })), /packet_flow names flow 1 of 1/)
  assert.throws(() => readPacketColumns(batch({ syn_sequence: Buffer.alloc(0) })), /syn_sequence expected 4/)
  assert.throws(() => readPacketColumns(batch({ flow_tunnel: Buffer.from([3, 0]) })), /flow_tunnel names tunnel 3 of 0/)
  const twoPeers = { peers: ['desk', 'web'], flow_peer: Buffer.from([2, 0]) }
  assert.throws(() => readPacketColumns(batch(twoPeers)), /flow_peer names peer 2 of 2/)
  assert.throws(() => readPacketColumns(batch({ flow_peer: Buffer.from([0, 0]) })), /flow_peer expected 0 bytes, got 2/)
  assert.throws(() => readPacketColumns(batch({ peers: ['desk'] })), /flow_peer expected 2 bytes, got 0/)
  assert.throws(
    () => readPacketColumns(batch({ names: [{ packet: 1, sni: null, alpn: [], ja4: null }] })),
    /names row 1 of 1/,
  )
})
