import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '#shared/mutate.ts'
import { kill, Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts } from './recorded-hosts.ts'

/** Kills in the test of them; more by PROCLABEL_FAULT_ROUNDS. */
const rounds = Number(process.env.PROCLABEL_FAULT_ROUNDS ?? 3)

/** In each: no session lost, none twice, no count or label other than that of an undisturbed run in one process. */
suite('matchers on real Kafka and Redis', async () => {
  const inputs = await recordedHosts(12)
  const expected = await labeledInProcess(inputs)
  const half = inputs.length / 2

  test('two make of the records what the embedded mode makes of them', async t => {
    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    pipeline.startMatcher()
    await pipeline.publish(inputs)
    await pipeline.finish(t, expected, performance.now())
  })

  test(`${rounds} times one of two is killed while it works`, async t => {
    const random = createRandom(1)
    const pipeline = await Pipeline.start(t)
    const matchers = [pipeline.startMatcher(), pipeline.startMatcher()]
    const portion = Math.ceil(inputs.length / (rounds + 1))
    let sinceMs = 0
    for (let round = 0; round <= rounds; round++) {
      await pipeline.publish(inputs.slice(round * portion, (round + 1) * portion), 20)
      if (round === rounds) break
      await pipeline.untilMoreToldOr(10_000)
      await sleep(random(300))
      const one = random(2)
      await kill(matchers[one]!)
      sinceMs = performance.now()
      matchers[one] = pipeline.startMatcher()
    }
    await pipeline.finish(t, expected, sinceMs)
  })

  test('one that was frozen wakes up after its partitions have moved', async t => {
    const pipeline = await Pipeline.start(t)
    const sleeper = pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    sleeper.kill('SIGSTOP')
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(half, half + half / 2))
    await sleep(10_000)
    sleeper.kill('SIGCONT')
    const sinceMs = performance.now()
    await pipeline.publish(inputs.slice(half + half / 2))
    await pipeline.finish(t, expected, sinceMs)
  })

  test('one becomes four, and four become two', async t => {
    const pipeline = await Pipeline.start(t)
    const matchers = [pipeline.startMatcher()]
    await pipeline.publish(inputs.slice(0, half), 50)
    await pipeline.untilTold(1)
    for (let i = 0; i < 3; i++) matchers.push(pipeline.startMatcher())
    await pipeline.publish(inputs.slice(half, half + half / 2), 50, () => sleep(200))
    for (const matcher of matchers.slice(2)) matcher.kill('SIGTERM')
    const sinceMs = performance.now()
    await pipeline.publish(inputs.slice(half + half / 2), 50, () => sleep(200))
    await pipeline.finish(t, expected, sinceMs)
  })
})
