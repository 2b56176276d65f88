import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { Health, serveHealth } from './health.ts'
import { PrometheusMetrics } from './metrics.ts'

function create() {
  let nowMs = 0
  const health = new Health({ stallMs: 30_000, now: () => nowMs })
  const pass = (seconds: number) => {
    nowMs += seconds * 1000
  }
  return { health, pass }
}

test('idle for hours is healthy; work that waits while nothing moves is not', () => {
  const { health, pass } = create()
  const consumer = health.component('consumer')
  pass(10_000)
  consumer.progress()
  pass(10_000)
  assert.deepEqual(health.stalled(), [])
  consumer.waiting(true)
  pass(30)
  assert.deepEqual(health.stalled(), [])
  pass(1)
  assert.deepEqual(health.stalled(), ['consumer: work waits and nothing has moved for 31 s'])
  consumer.progress()
  assert.deepEqual(health.stalled(), [])
})

test('saying again that work waits is no progress; having none left is', () => {
  const { health, pass } = create()
  const consumer = health.component('consumer')
  for (let i = 0; i < 4; i++) {
    consumer.waiting(true)
    pass(10)
  }
  assert.equal(health.stalled().length, 1)
  consumer.waiting(false)
  assert.deepEqual(health.stalled(), [])
  consumer.waiting(true)
  assert.deepEqual(health.stalled(), [])
})

test('ready only when every part is', () => {
  const { health } = create()
  const [bus, registry] = [health.component('bus'), health.component('registry')]
  bus.ready()
  assert.deepEqual(health.notReady(), ['registry: starting'])
  registry.ready()
  assert.deepEqual(health.notReady(), [])
  bus.notReady('the broker is away')
  assert.deepEqual(health.notReady(), ['bus: the broker is away'])
})

test('probes and metrics by HTTP', async t => {
  const { health, pass } = create()
  const consumer = health.component('consumer')
  const metrics = new PrometheusMetrics('matcher', '1.0.0')
  const server = await serveHealth({ host: '127.0.0.1', port: 0 }, { health, metrics })
  t.after(() => server.close())
  const ask = async (path: string, method = 'GET') => {
    const response = await fetch(`http://${server.address}${path}`, { method })
    return [response.status, await response.text()]
  }
  assert.deepEqual(await ask('/readyz'), [503, 'consumer: starting\n'])
  assert.deepEqual(await ask('/healthz'), [200, 'ok\n'])
  consumer.ready()
  consumer.waiting(true)
  pass(31)
  assert.deepEqual(await ask('/readyz?verbose'), [200, 'ok\n'])
  assert.deepEqual(await ask('/healthz'), [503, 'consumer: work waits and nothing has moved for 31 s\n'])
  assert.match(String((await ask('/metrics'))[1]), /^proclabel_build_info\{/m)
  assert.equal((await ask('/other'))[0], 404)
  assert.equal((await ask('/metrics', 'POST'))[0], 405)

  const taken = Number(server.address.split(':')[1])
  await assert.rejects(serveHealth({ host: '127.0.0.1', port: taken }, { health, metrics }), {
    code: 'PROCLABEL_HTTP',
    message: /in use: give another --metrics-address/,
  })
})

test('it closes also while a client holds a connection', async () => {
  const metrics = new PrometheusMetrics('matcher', '1.0.0')
  const server = await serveHealth({ host: '::1', port: 0 }, { health: new Health(), metrics })
  const client = connect({ host: '::1', port: Number(server.address.split(']:')[1]) })
  await new Promise(resolve => client.once('connect', resolve))
  client.write('GET /healthz HTTP/1.1\r\n')
  client.on('error', () => {})
  await server.close()
})
