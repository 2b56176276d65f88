import assert from 'node:assert/strict'
import { suite, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts } from './recorded-hosts.ts'

/** In each: no session lost, none twice, no count or label other than that of an undisturbed run in one process. */
suite('a matcher whose servers fail', async () => {
  const inputs = await recordedHosts(12)
  const expected = await labeledInProcess(inputs)
  const half = inputs.length / 2

  const start = async (t: TestContext) => {
    const pipeline = await Pipeline.start()
    t.after(() => pipeline.stop())
    return pipeline
  }
  const finish = async (t: TestContext, pipeline: Pipeline, sinceMs: number) => {
    await pipeline.settle(expected)
    t.diagnostic(`${expected.size} sessions, all told ${Math.round(performance.now() - sinceMs)} ms after the fault`)
    assert.deepEqual(pipeline.contradictions, [])
  }

  test('Redis is restarted with its data', async t => {
    const pipeline = await start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    const redis = pipeline.stack.redis!.nodes[0]!
    await sleep(2_000)
    await redis.kill()
    const sinceMs = performance.now()
    await pipeline.publish(inputs.slice(half))
    await sleep(3_000)
    await redis.start()
    await finish(t, pipeline, sinceMs)
  })

  test('Redis is lost, and all is rebuilt from Kafka', async t => {
    const pipeline = await start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    const sinceMs = performance.now()
    await pipeline.emptyRedis()
    await pipeline.publish(inputs.slice(half))
    await finish(t, pipeline, sinceMs)
  })

  test('the broker is frozen, killed and started again', async t => {
    const pipeline = await start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    const broker = pipeline.stack.kafka!.nodes[0]!
    broker.signal('SIGSTOP')
    await sleep(8_000)
    broker.signal('SIGCONT')
    await pipeline.publish(inputs.slice(half, half + half / 2))
    await broker.kill()
    await broker.start()
    const sinceMs = performance.now()
    await pipeline.publish(inputs.slice(half + half / 2))
    await finish(t, pipeline, sinceMs)
  })
})
