import { suite, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts } from './recorded-hosts.ts'

/** In each: no session lost, none twice, no count or label other than that of an undisturbed run in one process. */
suite('connections that break or say nothing', async () => {
  const inputs = await recordedHosts(12)
  const expected = await labeledInProcess(inputs)
  const half = inputs.length / 2

  test('connections to the broker and to Redis are cut again and again', async t => {
    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    pipeline.startMatcher()
    const publishing = pipeline.publish(inputs, 50, () => sleep(100))
    let cut = 0
    for (let i = 0; i < 8; i++) {
      await sleep(2_500)
      cut += await pipeline.cutConnections()
    }
    await publishing
    const sinceMs = performance.now()
    t.diagnostic(`${cut} connections cut`)
    await pipeline.finish(t, expected, sinceMs)
  })

  test('the broker is frozen for 30 s', async t => {
    const pipeline = await Pipeline.start(t)
    pipeline.startMatcher()
    await pipeline.publish(inputs.slice(0, half))
    await pipeline.untilTold(1)
    const broker = pipeline.stack.kafka!.nodes[0]!
    broker.signal('SIGSTOP')
    const publishing = pipeline.publish(inputs.slice(half))
    await sleep(30_000)
    broker.signal('SIGCONT')
    const sinceMs = performance.now()
    await publishing
    await pipeline.finish(t, expected, sinceMs)
  })
})
