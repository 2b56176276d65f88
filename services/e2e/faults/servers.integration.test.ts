import { cpSync, rmSync } from 'node:fs'
import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts } from './recorded-hosts.ts'

/** In each: no session lost, none twice, no count or label other than that of an undisturbed run in one process. */
suite('a matcher whose servers fail', async () => {
  const inputs = await recordedHosts(12)
  const expected = await labeledInProcess(inputs)
  const half = inputs.length / 2

  test('Redis is restarted with its data', async t => {
    const pipeline = await Pipeline.start(t)
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
    await pipeline.finish(t, expected, sinceMs)
  })

  test('Redis is lost, and all is rebuilt from Kafka', async t => {
    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    const sinceMs = performance.now()
    await pipeline.emptyRedis()
    await pipeline.publish(inputs.slice(half))
    await pipeline.finish(t, expected, sinceMs)
  })

  test('Redis loses its last seconds', async t => {
    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half / 2))
    await pipeline.untilTold(1)
    const redis = pipeline.stack.redis!.nodes[0]!
    const data = `${pipeline.stack.folder}/${redis.name}/appendonlydir`
    const kept = `${data}.kept`
    cpSync(data, kept, { recursive: true })
    await pipeline.publish(inputs.slice(half / 2, half), 50, () => sleep(100))
    await redis.kill()
    const sinceMs = performance.now()
    rmSync(data, { recursive: true })
    cpSync(kept, data, { recursive: true })
    await redis.start()
    await pipeline.publish(inputs.slice(half))
    await pipeline.finish(t, expected, sinceMs)
  })

  test('the broker is frozen, killed and started again', async t => {
    const pipeline = await Pipeline.start(t)
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
    await pipeline.finish(t, expected, sinceMs)
  })
})
