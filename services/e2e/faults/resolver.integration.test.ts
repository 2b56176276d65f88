import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createRandom } from '#shared/mutate.ts'
import { kill, Pipeline } from './pipeline.ts'
import { labeledInProcess, recordedHosts, resolved, silenced } from './recorded-hosts.ts'

const rounds = Number(process.env.PROCLABEL_FAULT_ROUNDS ?? 3)

test(`the resolver is killed ${rounds} times: what other hosts teach labels every session that it should, once`, async t => {
  const inputs = silenced(await recordedHosts(12), new Set(['host-1', 'host-2']))
  const expected = resolved(await labeledInProcess(inputs))
  const random = createRandom(1)
  const pipeline = await Pipeline.start(t)
  pipeline.startMatcher()
  let resolver = pipeline.startResolver()
  let sinceMs = 0
  const portion = Math.ceil(inputs.length / (rounds + 1))
  for (let round = 0; round <= rounds; round++) {
    await pipeline.publish(inputs.slice(round * portion, (round + 1) * portion), 20)
    if (round === rounds) break
    await pipeline.untilMoreToldOr(10_000)
    await sleep(random(1_000))
    await kill(resolver)
    sinceMs = performance.now()
    resolver = pipeline.startResolver()
  }
  // It looks by the clock, every 30 s, at what still waits.
  await pipeline.finish(t, expected, sinceMs, 60_000)
})
