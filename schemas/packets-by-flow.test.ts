import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { type PacketBatch, PacketBatchBuilder, packetsByFlow, readPacketColumns } from '#schemas'

const packet = fc.record({
  flow: fc.nat(9),
  timeUs: fc.nat(1_000_000),
  length: fc.nat(2 ** 32 - 1),
  tcpFlags: fc.nat(255),
  direction: fc.nat(3),
  sequence: fc.nat(2 ** 32 - 1),
})
const synFlag = 2

function batchOf(rows: readonly (typeof packet extends fc.Arbitrary<infer P> ? P : never)[]): PacketBatch {
  const builder = new PacketBatchBuilder()
  for (let flow = 0; flow < 10; flow++)
    builder.addFlow(
      Int32Array.from({ length: 8 }, (_, i) => flow * i),
      0,
      4,
      flow,
      443,
      6,
      -1,
      null,
    )
  for (const { flow, timeUs, length, tcpFlags, direction, sequence } of rows)
    builder.addPacket(flow, timeUs, length, length >>> 1, length >>> 2, tcpFlags, direction, sequence)
  const names = rows.map((_, i) => ({ packet: i, sni: `${i}`, alpn: [], ja4: null }))
  const dns = rows.map((_, i) => ({ packet: i, name: `${i}`, ip: '1.2.3.4', ttl_s: i }))
  const header = { host_id: 'h', sensor_id: 's', run_id: 'r', seq: 1, until_us: 5, lost: 2 }
  return builder.build({ ...header, names, dns })
}

/** A line for each packet, with what belongs to it. */
function packetsOf(batch: PacketBatch): string[] {
  const columns = readPacketColumns(batch)
  let syn = 0
  return Array.from({ length: columns.packets }, (_, row) => {
    const flags = columns.tcpFlags[row]!
    return JSON.stringify([
      columns.packetFlow[row],
      columns.baseUs + columns.packetTime[row]!,
      columns.wireLength[row],
      columns.ipLength[row],
      columns.payloadLength[row],
      flags,
      columns.direction[row],
      flags & synFlag ? columns.synSequence[syn++] : null,
      batch.names.filter(name => name.packet === row).map(({ sni }) => sni),
      batch.dns.filter(answer => answer.packet === row).map(({ name }) => name),
    ])
  })
}

test('every packet is there with all that belongs to it, in the order of its flow', () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 60 }), rows => {
      const batch = batchOf(rows)
      const flowOf = (line: string) => JSON.parse(line)[0] as number
      const expected = packetsOf(batch)
        .map((line, i) => ({ line, i }))
        .sort((a, b) => flowOf(a.line) - flowOf(b.line) || a.i - b.i)
        .map(({ line }) => line)
      assert.deepEqual(packetsOf(packetsByFlow(batch)), expected)
    }),
  )
})

test('what resembles each other compresses together', () => {
  let random = 1
  const rows = Array.from({ length: 4000 }, (_, i) => {
    random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
    const flow = (random >>> 16) % 10
    return { flow, timeUs: i * 250, length: flow * 100 + 60, tcpFlags: 16, direction: flow % 2, sequence: 0 }
  })
  const bytes = (batch: PacketBatch) =>
    zstdCompressSync(Buffer.concat([batch.packet_flow, batch.packet_wire_length, batch.packet_ip_length])).length
  assert.ok(bytes(packetsByFlow(batchOf(rows))) < bytes(batchOf(rows)) / 2)
})
