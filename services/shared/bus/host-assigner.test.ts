import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { assignPartitions, decodeClaim, encodeClaim, type Member } from './host-assigner.ts'

const fresh = (memberId: string): Member => ({ memberId, claim: { generation: 0, partitions: [] } })
const ids = (count: number) => Array.from({ length: count }, (_, i) => `m${i}`)
const claiming = (assignment: Map<string, number[]>, generation: number, who: readonly string[]): Member[] =>
  who.map(memberId => ({ memberId, claim: { generation, partitions: assignment.get(memberId) ?? [] } }))
const all = (count: number) => Array.from({ length: count }, (_, partition) => partition)

test('any members get each partition once, none more than one above another, in any order of joining', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(60), fc.infiniteStream(fc.nat(70)), (members, count, wild) => {
      const claims = ids(members).map(memberId => ({
        memberId,
        claim: { generation: wild.next().value % 3, partitions: Array.from(wild.take(5)) },
      }))
      const assignment = assignPartitions(claims, count)
      assert.deepEqual(
        [...assignment.values()].flat().sort((x, y) => x - y),
        all(count),
      )
      const sizes = [...assignment.values()].map(own => own.length)
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1)
      assert.deepEqual(assignPartitions(claims.reverse(), count), new Map(assignment))
    }),
  )
})

test('nothing moves when the members stay the same', () => {
  for (const count of [1, 2, 3, 5, 7]) {
    const before = assignPartitions(ids(count).map(fresh), 48)
    assert.deepEqual(assignPartitions(claiming(before, 4, ids(count)), 48), before)
  }
})

test('as few partitions move as balance allows when a member comes or goes', () => {
  const moved = (from: number, to: number) => {
    const before = assignPartitions(ids(from).map(fresh), 48)
    const after = assignPartitions(claiming(before, 1, ids(to)), 48)
    const owner = (assignment: Map<string, number[]>, partition: number) =>
      [...assignment].find(([, own]) => own.includes(partition))![0]
    return all(48).filter(partition => owner(before, partition) !== owner(after, partition)).length
  }
  assert.equal(moved(3, 4), 12) // the share of the new one
  assert.equal(moved(4, 3), 12) // the share of the one that left
  assert.equal(moved(5, 7), 13)
})

test('of two that claim a partition, the later generation has it', () => {
  const zombie = { memberId: 'a', claim: { generation: 3, partitions: [0, 1] } }
  const owner = { memberId: 'b', claim: { generation: 5, partitions: [0, 1] } }
  assert.deepEqual(assignPartitions([zombie, owner, fresh('c')], 2).get('b')?.length, 1)
  assert.deepEqual(assignPartitions([zombie, owner], 3).get('b'), [0, 1])
})

test('a claim survives its encoding; what is no claim claims nothing', () => {
  const claim = { generation: 7, partitions: [3, 1] }
  assert.deepEqual(decodeClaim(encodeClaim(claim)), claim)
  for (const bad of [
    '',
    '{',
    '{"generation":1}',
    '{"generation":"1","partitions":[]}',
    '{"generation":1,"partitions":["x"]}',
  ])
    assert.deepEqual(decodeClaim(Buffer.from(bad)), { generation: 0, partitions: [] })
  assert.deepEqual(decodeClaim(null), { generation: 0, partitions: [] })
})
