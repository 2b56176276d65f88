import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ProclabelError } from '../errors.ts'
import { Health } from '../health.ts'
import { PrometheusMetrics } from '../metrics.ts'
import { measuredStore } from './measured-store.ts'
import { MemoryStore } from './memory.ts'

/** A store in memory that is away, or refuses. */
class FailingStore extends MemoryStore {
  failure: Error | null = null
  async memory() {
    if (this.failure) throw this.failure
    return { used: 3 << 20, limit: 0 }
  }
  override async load(hostId: string) {
    if (this.failure) throw this.failure
    return super.load(hostId)
  }
}

test('calls are timed by what became of them; a service is ready while the store answers', async t => {
  const inner = new FailingStore()
  const metrics = new PrometheusMetrics('matcher', '0')
  const health = new Health()
  const stop = new AbortController()
  t.after(() => stop.abort())
  const away = new ProclabelError('PROCLABEL_STORE', 'away', { retryable: true })
  inner.failure = away
  const store = measuredStore(inner, { metrics, health: health.component('store'), signal: stop.signal })
  await turn()
  assert.deepEqual(health.notReady(), ['store: the store does not answer'])
  inner.failure = null
  const { version } = await store.load('host')
  assert.deepEqual(health.notReady(), [])
  await store.save('host', { expectedVersion: version, put: new Map(), outbox: [] })
  inner.failure = away
  await assert.rejects(store.load('host'), away)
  assert.equal(health.notReady().length, 1)
  inner.failure = new ProclabelError('PROCLABEL_STORE', 'may not ask')
  await assert.rejects(store.load('host'))
  assert.deepEqual(health.notReady(), [])
  const text = await metrics.text()
  const count = (command: string, result: string) =>
    new RegExp(
      `^proclabel_redis_command_duration_seconds_count\\{[^}]*command="${command}",result="${result}"\\} (\\d+)$`,
      'm',
    ).exec(text)?.[1]
  assert.deepEqual([count('load', 'ok'), count('load', 'error'), count('save', 'ok')], ['1', '2', '1'])
})
