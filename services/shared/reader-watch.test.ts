import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { ReaderStatistics } from './bus/bus.ts'
import { Health } from './health.ts'
import { PrometheusMetrics } from './metrics.ts'
import { watchReader } from './reader-watch.ts'
import { consumerMetrics } from './service-metrics.ts'

const group = 'matcher'
const idle: ReaderStatistics = {
  lag: [
    { topic: 'hosts', partition: 0, records: 0 },
    { topic: 'packets', partition: 0, records: 0 },
  ],
  oldestMs: null,
  waiting: 0,
  knowsEnd: true,
  rebalances: 1,
  crashes: { restarted: 0, final: 0 },
}

function start(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: 1_000_000 })
  const metrics = new PrometheusMetrics('matcher', '0')
  const health = new Health({ stallMs: 10_000, now: () => Date.now() })
  const stop = new AbortController()
  t.after(() => stop.abort())
  let statistics: ReaderStatistics | null = null
  const done = watchReader({
    bus: { reader: name => (name === group ? statistics : null) },
    group,
    metrics,
    consumed: consumerMetrics(metrics, group, ['hosts', 'packets'], 2),
    health,
    signal: stop.signal,
  })
  const shown = async (name: string) => {
    const lines = (await metrics.text()).split('\n').filter(line => line.startsWith(`proclabel_${name}`))
    return lines.map(line => line.split(' ').at(-1)).join(' ')
  }
  return {
    ...{ health, done, shown },
    say: (more: Partial<ReaderStatistics> | null) => {
      statistics = more && { ...idle, ...more }
    },
    pass: (seconds: number) => {
      for (let second = 0; second < seconds; second++) t.mock.timers.tick(1000)
    },
  }
}

test('it is ready once it is in its group', t => {
  const { health, say, pass } = start(t)
  assert.deepEqual(health.notReady(), ['input: not in its group yet'])
  say({ rebalances: 0 })
  pass(5)
  assert.equal(health.notReady().length, 1)
  say({})
  pass(1)
  assert.deepEqual(health.notReady(), [])
})

test('work that waits while nothing moves is a stall; no work is none, nor is work that moves', t => {
  const { health, say, pass, done } = start(t)
  say({})
  pass(60)
  assert.deepEqual(health.stalled(), [])
  say({ waiting: 3 })
  for (let seconds = 0; seconds < 60; seconds++) {
    pass(1)
    done()
  }
  assert.deepEqual(health.stalled(), [])
  pass(11)
  assert.match(health.stalled().join(), /^input: work waits and nothing has moved for 11 s$/)
  done()
  assert.deepEqual(health.stalled(), [])
})

test('while the store is away, nobody is to start the process anew', t => {
  const { health, say, pass } = start(t)
  const store = health.component('store')
  store.notReady('away')
  say({ waiting: 3 })
  pass(60)
  assert.deepEqual(health.stalled(), [])
  store.ready()
  pass(12)
  assert.equal(health.stalled().length, 1)
})

test('lag is that of the partitions it has, and as old as the oldest record that was not read', async t => {
  const { say, shown } = start(t)
  assert.equal(await shown('consumer_lag_messages'), '0 0 0 0')
  say({ lag: [...idle.lag, { topic: 'packets', partition: 1, records: 7 }], oldestMs: 1_000_000 - 2500 })
  assert.equal(await shown('consumer_lag_messages'), '0 0 0 7')
  assert.equal(await shown('consumer_lag_seconds'), '2.5')
  say({ lag: [{ topic: 'hosts', partition: 0, records: 2 }], oldestMs: 1_000_000 + 50 })
  assert.equal(await shown('consumer_lag_messages'), '2 0 0 0')
  assert.equal(await shown('consumer_lag_seconds'), '0')
  say(null)
  assert.equal(await shown('consumer_lag_messages'), '0 0 0 0')
})

test('rebalances, failures and progress are counted', async t => {
  const { say, shown, done, pass } = start(t)
  say({ rebalances: 2, crashes: { restarted: 1, final: 0 } })
  assert.deepEqual([await shown('consumer_rebalances_total'), await shown('consumer_crashes_total')], ['2', '1 0'])
  say({ rebalances: 3, crashes: { restarted: 1, final: 1 } })
  assert.deepEqual([await shown('consumer_rebalances_total'), await shown('consumer_crashes_total')], ['3', '1 1'])
  assert.equal(await shown('consumer_last_progress_timestamp_seconds'), '0')
  pass(5)
  done()
  assert.equal(await shown('consumer_last_progress_timestamp_seconds'), '1005')
})
