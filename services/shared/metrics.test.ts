import assert from 'node:assert/strict'
import { test } from 'node:test'
import { everyMetric } from '../deploy/every-metric.ts'
import { noMetrics, PrometheusMetrics } from './metrics.ts'

const create = () => new PrometheusMetrics('matcher', '1.2.3')

/** The value of one series, as `name{labels}` without the label that every series has; null where there is none. */
async function value(metrics: PrometheusMetrics, series: string): Promise<number | null> {
  for (const line of (await metrics.text()).split('\n')) {
    if (line.startsWith('#')) continue
    const [name, number] = line.split(/ (?=[^ ]+$)/)
    if (name!.replace(/service="matcher",|,?service="matcher"/, '').replace('{}', '') === series) return Number(number)
  }
  return null
}

test('a metric with labels shows all its series at 0 before anything was counted', async () => {
  const metrics = create()
  metrics.counter({ name: 'a_total', help: 'A', labels: { x: ['1', '2'], y: ['3'] } })
  metrics.histogram({ name: 'b_seconds', help: 'B', labels: { x: ['1'] }, buckets: [1] })
  metrics.gauge({ name: 'c', help: 'C', labels: { x: ['1'] } })
  for (const series of [
    'proclabel_a_total{x="1",y="3"}',
    'proclabel_a_total{x="2",y="3"}',
    'proclabel_b_seconds_count{x="1"}',
    'proclabel_c{x="1"}',
  ])
    assert.equal(await value(metrics, series), 0, series)
})

test('of values that nobody knows beforehand, as many as come first have series of their own', async () => {
  const metrics = new PrometheusMetrics('matcher', '1')
  const counter = metrics.counter({ name: 'a_total', help: 'a', labels: { x: { first: 2 } } })
  assert.equal(await value(metrics, 'proclabel_a_total{x="other"}'), 0)
  for (const x of ['p', 'q', 'r', 'p', 's']) counter.add(1, { x })
  assert.equal(await value(metrics, 'proclabel_a_total{x="p"}'), 2)
  assert.equal(await value(metrics, 'proclabel_a_total{x="q"}'), 1)
  assert.equal(await value(metrics, 'proclabel_a_total{x="other"}'), 2)
})

test('a label value that was not declared is counted as other', async () => {
  const metrics = create()
  const counter = metrics.counter({ name: 'a_total', help: 'A', labels: { x: ['1'] } })
  counter.add(2, { x: '1' })
  for (const x of ['10.0.0.1', '10.0.0.2', '__proto__']) counter.add(1, { x })
  assert.equal(await value(metrics, 'proclabel_a_total{x="1"}'), 2)
  assert.equal(await value(metrics, 'proclabel_a_total{x="other"}'), 3)
  assert.equal((await metrics.text()).match(/^proclabel_a_total/gm)?.length, 2)
})

test('a gauge can be read when it is asked for', async () => {
  const metrics = create()
  let hosts = 1
  metrics.gauge({ name: 'hosts', help: 'Hosts' }, () => hosts)
  assert.equal(await value(metrics, 'proclabel_hosts'), 1)
  hosts = 2
  assert.equal(await value(metrics, 'proclabel_hosts'), 2)
})

test('build, process and Node are told of', async () => {
  const text = await create().text()
  assert.match(text, /^proclabel_build_info\{version="1\.2\.3",node_version="v[^"]+",service="matcher"\} 1$/m)
  assert.match(text, /^process_resident_memory_bytes/m)
  assert.match(text, /^nodejs_eventloop_lag_p99_seconds/m)
})

test('names carry the prefix, base units and _total; no label is unbounded', async () => {
  const text = await everyMetric().text()
  const types = [...text.matchAll(/^# TYPE (proclabel_\S+) (\S+)$/gm)]
  assert.ok(types.length > 25)
  for (const [, name, type] of types) {
    assert.equal(name!.endsWith('_total'), type === 'counter', name)
    assert.doesNotMatch(name!, /_(ms|us|micros|millis|kb|mb|count)(_|$)/, name)
    assert.equal(type === 'histogram', /_(seconds|messages)$/.test(name!) && type !== 'gauge', name)
  }
  const labels = new Set([...text.matchAll(/[{,](\w+)="/g)].map(match => match[1]!))
  assert.ok(!['host', 'host_id', 'ip', 'sni', 'session_id', 'member_id'].some(label => labels.has(label)))
})

test('without measuring, the same calls do nothing', () => {
  const counter = noMetrics.counter({ name: 'a_total', help: 'A', labels: { x: ['1'] } })
  counter.add(1, { x: '1' })
})
