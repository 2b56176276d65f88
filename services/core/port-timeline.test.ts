import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { OwnershipInterval } from './ownership.ts'
import { PortTimeline } from './port-timeline.ts'

const interval = (remoteIp: string | null, remotePort: number | null) => ({ remoteIp, remotePort }) as OwnershipInterval
const ends = [
  ['10.0.0.1', 443],
  ['10.0.0.2', 443],
  ['10.0.0.1', 80],
  [null, null],
] as const

test('a remote end has its intervals in the order they came, in short lists as in long ones, and made again', () => {
  const port = new PortTimeline()
  const added: OwnershipInterval[] = []
  for (let round = 0; round < 5; round++) {
    for (const [ip, remotePort] of ends) {
      added.push(interval(ip, remotePort))
      port.add(added.at(-1)!)
      for (const one of [port, new PortTimeline(added)]) {
        assert.deepEqual(one.all, added)
        for (const [remoteIp, askedPort] of ends) {
          const expected = added.filter(known => known.remoteIp === remoteIp && known.remotePort === askedPort)
          const found = one.of(remoteIp, askedPort)
          assert.equal(found.length, expected.length)
          assert.ok(found.every((known, i) => known === expected[i]))
        }
      }
    }
  }
  assert.deepEqual(port.of('10.0.0.3', 443), [])
})
