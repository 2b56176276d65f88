import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Packet } from '#core/decode/packet.ts'
import { entryWords } from '#core/five-tuple-table.ts'
import { FlowTable } from './flow-table.ts'

/** An IPv4 address and a port. */
type End = readonly [address: number, port: number]

const low: End = [0x0a000001, 40_000]
const high: End = [0x0a000002, 443]

function packet(from: End, to: End, timeUs = 0, protocol = 6): Packet {
  const addresses = Int32Array.of(0, 0, 0xffff, from[0], 0, 0, 0xffff, to[0])
  return Object.assign(new Packet(), { addresses, sourcePort: from[1], destinationPort: to[1], protocol, timeUs })
}

/** Expires what is older, and answers with the numbers that were told. */
function expired(table: FlowTable, beforeUs: number): number[] {
  const numbers: number[] = []
  table.expire(beforeUs, flow => void numbers.push(flow))
  return numbers
}

function numbersOf(table: FlowTable): number[] {
  const numbers: number[] = []
  table.forEach(flow => void numbers.push(flow))
  return numbers
}

test('both directions are one flow, the end with the lower address first', () => {
  const table = new FlowTable()
  const flow = table.find(packet(high, low))
  assert.deepEqual([table.fromLow, table.isNew], [false, true])
  assert.equal(table.find(packet(low, high)), flow)
  assert.deepEqual([table.fromLow, table.isNew], [true, false])
  const at = flow * entryWords
  const ports = (low[1] << 16) | high[1]
  assert.deepEqual([...table.entries.subarray(at, at + 10)], [0, 0, 0xffff, low[0], 0, 0, 0xffff, high[0], ports, 6])
})

test('between two ports of one address the lower port is the low end', () => {
  const table = new FlowTable()
  const flow = table.find(packet([low[0], 40_000], [low[0], 443]))
  assert.equal(table.fromLow, false)
  assert.equal(table.find(packet([low[0], 443], [low[0], 40_000])), flow)
  assert.equal(table.fromLow, true)
})

test('protocol and ports tell flows apart', () => {
  const table = new FlowTable()
  const flows = [
    packet(low, high),
    packet(low, high, 0, 17),
    packet([low[0], 40_001], high),
    packet(low, [high[0], 80]),
  ]
  assert.equal(new Set(flows.map(each => table.find(each))).size, 4)
})

test('a flow lives from its last packet on, not from its first; its number is then free for another', () => {
  const table = new FlowTable()
  const flow = table.find(packet(low, high, 0))
  const other = table.find(packet(low, high, 0, 17))
  table.find(packet(high, low, 50))
  assert.deepEqual(expired(table, 50), [other])
  assert.equal(table.find(packet(low, high, 60)), flow)
  assert.equal(table.isNew, false)
  assert.equal(table.find(packet([1, 1], [2, 2], 60)), other)
  assert.deepEqual([table.isNew, table.size], [true, 2])
  assert.deepEqual(expired(table, 61).toSorted(), [flow, other].toSorted())
  assert.deepEqual([table.size, numbersOf(table), expired(table, 1000)], [0, [], []])
})

test('beyond the initial size every flow keeps its number and its time', () => {
  const table = new FlowTable()
  const flows = Array.from({ length: 5000 }, (_, i) => table.find(packet(low, [high[0] + i, 443], i)))
  assert.deepEqual(new Set(numbersOf(table)), new Set(flows))
  assert.deepEqual(
    flows.map((_, i) => table.find(packet([high[0] + i, 443], low, i))),
    flows,
  )
  assert.deepEqual(new Set(expired(table, 4000)), new Set(flows.slice(0, 4000)))
})

test('any packets and expiries leave the flows that a Map would hold', () => {
  const end = fc.tuple(fc.constantFrom(1, 2, 0x7fffffff, -1), fc.constantFrom(0, 1, 0xffff))
  const seen = fc.record({ from: end, to: end, protocol: fc.constantFrom(6, 17) })
  const step = fc.oneof({ weight: 9, arbitrary: seen }, { weight: 1, arbitrary: fc.nat(30).map(age => ({ age })) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), steps => {
      const table = new FlowTable()
      const model = new Map<string, { flow: number; lastUs: number }>()
      steps.forEach((now, timeUs) => {
        if ('age' in now) {
          const old = [...model].filter(([, { lastUs }]) => lastUs < timeUs - now.age)
          const numbers = old.map(([key, { flow }]) => model.delete(key) && flow)
          assert.deepEqual(
            expired(table, timeUs - now.age),
            numbers.toSorted((a, b) => Number(a) - Number(b)),
          )
        } else {
          const { from, to, protocol } = now
          const key = `${protocol} ${[String(from), String(to)].toSorted()}`
          const known = model.get(key)
          const flow = table.find(packet(from, to, timeUs, protocol))
          assert.equal(table.isNew, known === undefined)
          if (known) assert.equal(flow, known.flow)
          model.set(key, { flow, lastUs: timeUs })
        }
        const numbers = [...model.values()].map(({ flow }) => flow).toSorted((a, b) => a - b)
        assert.deepEqual([table.size, numbersOf(table)], [numbers.length, numbers])
      })
    }),
    { numRuns: 200 },
  )
})
