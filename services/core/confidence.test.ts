import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ShadowScores, stratumOf, wilsonLowerBound } from './confidence.ts'
import { defaultConstants } from './constants.ts'
import { session } from './test-host.ts'

const facts = session('tcp 40000 > 1.1.1.1:443', 0)
const reason = 'last program at the remote end'
const stratum = stratumOf(facts, reason, defaultConstants)

test('the lower bound is where the observed share is 1.96 standard errors away, seen from the bound', () => {
  for (const [right, total] of [
    [1, 2],
    [270, 300],
    [9_999, 10_000],
  ] as const) {
    const bound = wilsonLowerBound(right, total)
    const standardError = Math.sqrt((bound * (1 - bound)) / total)
    assert.ok(Math.abs((right / total - bound) / standardError - 1.959964) < 1e-6)
  }
  assert.equal(wilsonLowerBound(0, 0), 0)
  assert.equal(wilsonLowerBound(0, 300), 0)
})

test('there is no confidence below 300 samples', () => {
  const scores = new ShadowScores(defaultConstants)
  for (let i = 0; i < 299; i++) scores.add('C', stratum, true, false)
  assert.equal(scores.confidence('C', stratum), null)
  scores.add('C', stratum, true, false)
  assert.equal(scores.confidence('C', stratum), wilsonLowerBound(300, 300))
})

test('strata are apart: duration, protocol, direction, reason', () => {
  const scores = new ShadowScores(defaultConstants)
  for (let i = 0; i < 300; i++) scores.add('C', stratum, true, false)
  const brief = { ...facts, lastUs: facts.firstUs + 50_000 }
  for (const others of [{ ...facts, direction: 'in' as const }, brief, { ...facts, proto: 'udp' }])
    assert.equal(scores.confidence('C', stratumOf(others, reason, defaultConstants)), null)
  assert.equal(scores.confidence('C', stratumOf(facts, 'another', defaultConstants)), null)
  assert.equal(scores.confidence('D', stratum), null)
})

test('sessions that polls missed count alone once there are enough of them', () => {
  const scores = new ShadowScores(defaultConstants)
  for (let i = 0; i < 1_000; i++) scores.add('C', stratum, true, false)
  for (let i = 0; i < 300; i++) scores.add('C', stratum, i % 2 === 0, true)
  assert.equal(scores.confidence('C', stratum), wilsonLowerBound(150, 300))
})

test('a stage that is right in less than 80 % abstains, after 300 samples', () => {
  const scores = new ShadowScores(defaultConstants)
  for (let i = 0; i < 299; i++) scores.add('D', stratum, false, false)
  assert.equal(scores.mustAbstain('D', stratum), false)
  scores.add('D', stratum, false, false)
  assert.equal(scores.mustAbstain('D', stratum), true)
  for (let i = 0; i < 1_200; i++) scores.add('D', stratum, true, false)
  assert.equal(scores.mustAbstain('D', stratum), false)
})

test('scores of several are added as counts', () => {
  const parts = [1, 2].map(missed => {
    const scores = new ShadowScores(defaultConstants)
    for (let i = 0; i < 150; i++) scores.add('N', stratum, i > 0, i < missed)
    return scores
  })
  const sum = new ShadowScores(defaultConstants)
  for (const part of parts) sum.addScores(part.scores())
  const total = { right: 298, total: 300, missedRight: 1, missedTotal: 3 }
  assert.deepEqual(sum.scores(), [{ stage: 'N', stratum, ...total }])
  assert.equal(sum.confidence('N', stratum), wilsonLowerBound(298, 300))
  assert.equal(parts[0]!.scores()[0]!.total, 150)
})
