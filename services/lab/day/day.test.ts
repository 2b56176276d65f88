import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { defaultConstants, paperProfile } from '#core/constants.ts'
import { codecs } from '#schemas'
import { tally, wilson } from '../score.ts'
import { scoreInputs } from '../score-inputs.ts'
import type { AgentConditions } from './agent.ts'
import { Day, type DayShape, goodMirror } from './day.ts'
import { disturbances, nextPollUs } from './disturbances.ts'
import { Random } from './random.ts'

const conditions = (host: number): AgentConditions => ({
  ...{ events: true, lostShare: 0, periodUs: 50_000, downs: [], offsetUs: (host - 1) * 1_500_000, driftPpm: 20 },
})
const shape: DayShape = { hosts: 3, sessions: 1500, hours: 0.5, seed: 1, conditions, mirror: goodMirror }
const polling: DayShape = { ...shape, conditions: host => ({ ...conditions(host), events: false }) }

test('the same seed makes the same day, another seed another', () => {
  const digest = (seed: number) => {
    const hash = createHash('sha256')
    for (const { topic, key, value } of new Day({ ...shape, sessions: 200, hours: 0.1, seed }).inputs()) {
      // The builders of snapshots and batches have no other clock than the day's.
      hash.update(`${topic} ${key} `).update(value)
    }
    return hash.digest('hex')
  }
  assert.equal(digest(1), digest(1))
  assert.notEqual(digest(1), digest(2))
})

test('a poller is woken by a tick of the clock, 62.5 ms apart, and stalls a dozen times an hour', () => {
  const hours = 20
  const random = new Random(1)
  const gaps: number[] = []
  for (let timeUs = 0; timeUs < hours * 3_600_000_000; ) {
    const nextUs = nextPollUs(timeUs, random.exponential(disturbances.pollUs), 50_000, random)
    gaps.push(nextUs - timeUs)
    timeUs = nextUs
  }
  gaps.sort((a, b) => a - b)
  assert.equal(gaps[0], 62_500)
  assert.equal(gaps[gaps.length >> 1], 62_500)
  const stalls = gaps.filter(gapUs => gapUs > 150_000).length / hours
  assert.ok(stalls > 6 && stalls < 12, `${stalls} an hour`)
})

test('the inputs are in order of time but for what an agent has to gather, and packets lie within their truth', () => {
  const day = new Day({ ...shape, sessions: 300, hours: 0.1 })
  const truth = [...day.truth()]
  const [fromUs, toUs] = [Math.min(...truth.map(t => t.first_us)), Math.max(...truth.map(t => t.last_us))]
  let packets = 0
  let lastUs = 0
  for (const { topic, value } of day.inputs()) {
    if (topic !== 'packets') continue
    const batch = codecs.packets.decode(value)
    const count = batch.packet_time.length / 4
    packets += count
    if (count > 0) assert.ok(batch.base_us >= fromUs - 1_000_000 && batch.base_us <= toUs, 'within the day')
    assert.ok(batch.until_us >= lastUs)
    lastUs = batch.until_us
  }
  assert.ok(packets > (10 * truth.length) / 3, `${packets} packets`)
})

test('with events and clocks that are off, every session is labeled, and right', async () => {
  const { final, untold } = await scoreInputs(new Day(shape), defaultConstants)
  const { sessions, labeled, right } = tally(final)
  assert.equal(untold, 0)
  assert.ok(sessions > 1450, `${sessions} sessions`)
  assert.equal(labeled, sessions)
  assert.equal(right, labeled)
})

test('polls alone, clocks up to 1.5 s off: more labels than by the matching of the source, and none the worse', async t => {
  const ours = tally((await scoreInputs(new Day(polling), defaultConstants)).final)
  const paper = tally((await scoreInputs(new Day(polling), { ...defaultConstants, ...paperProfile })).final)
  t.diagnostic(`ours ${JSON.stringify(ours)}, paper ${JSON.stringify(paper)}`)
  assert.ok(ours.labeled > paper.labeled)
  assert.ok(ours.right > paper.right)
  // A handful of sessions whose own DNS queries nobody can tell from the DNS client's is wrong either way.
  const [, atBest] = wilson(ours.right, ours.labeled)
  assert.ok(atBest >= paper.right / paper.labeled)
})
