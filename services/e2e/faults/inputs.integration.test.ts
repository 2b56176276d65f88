import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { differences, kill, Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts, type Sessions, twiceAndDisordered, withClocks } from './recorded-hosts.ts'

/** Sessions and what was counted of them, without their label. */
const counted = (sessions: Sessions): Sessions =>
  new Map(
    Array.from(
      sessions,
      ([id, session]) => [id, { ...session, label: null, stage: null, unknown_cause: null }] as const,
    ),
  )

suite('what comes in is not as it was sent', async () => {
  const inputs = await recordedHosts(12)
  const expected = await labeledInProcess(inputs)

  test('every batch twice and neighbours in another order, and a matcher killed among them', async t => {
    const disturbed = twiceAndDisordered(inputs)
    const pipeline = await Pipeline.start(t)
    const matchers = [pipeline.startMatcher(), pipeline.startMatcher()]
    await pipeline.publish(disturbed.slice(0, disturbed.length / 2), 20)
    await pipeline.untilTold(1)
    await kill(matchers[0]!)
    const sinceMs = performance.now()
    await pipeline.publish(disturbed.slice(disturbed.length / 2), 20)
    await pipeline.finish(t, expected, sinceMs)
  })

  test('clocks of hosts 5 s ahead, 5 s behind, and drifting by 5 ms a second', async t => {
    const firstUs = Math.min(...Array.from(expected.values(), ({ first_us }) => first_us))
    const shifted = withClocks(inputs, {
      'host-0': () => 5_000_000,
      'host-1': () => -5_000_000,
      'host-2': timeUs => (timeUs - firstUs) * 0.005,
    })
    const reference = await labeledInProcess(shifted)
    assert.deepEqual(differences(counted(reference), counted(expected)), [], 'the same sessions, the same counts')
    const relabeled = [...reference].filter(([id, session]) => {
      const { label, stage } = expected.get(id)!
      return session.label?.process !== label?.process || session.label?.pid !== label?.pid || session.stage !== stage
    })
    const otherProgram = relabeled.filter(([id, { label }]) => label?.process !== expected.get(id)!.label?.process)
    t.diagnostic(`${relabeled.length} of ${expected.size} labels by another stage than with right clocks`)
    assert.deepEqual(otherProgram, [], 'nobody else')
    assert.ok(relabeled.length <= expected.size / 1000)

    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    await pipeline.publish(shifted)
    await pipeline.finish(t, reference, performance.now())
  })
})
