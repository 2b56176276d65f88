import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { codecs, type SocketSnapshot } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { runAgentService } from './main.ts'
import { type Polled, TimedSource } from './timed-source-fixture.ts'

/** One socket comes and goes with each poll. */
function createSource(): TimedSource {
  let id = 0
  const poll = (): Polled => {
    const ends = { local_ip: '192.0.2.1', local_port: 1000 + id, remote_ip: null, remote_port: null }
    const rest = { proto: 'udp', state: 'bound', v6_only: false, owners: [], created_us: null } as const
    const closed = id === 0 ? [] : [id - 1]
    return { opened: [{ id: id++, ...ends, ...rest, owners: [] }], closed }
  }
  return new TimedSource(poll, [{ ip: '198.51.100.7', namespace: 4026532500 }])
}

function createService(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-agent-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const got: { topic: string; key: string; value: Uint8Array | null }[] = []
  const bus = {
    isAway: false,
    publish: async (topic: string, records: readonly BusRecord[]) => {
      if (bus.isAway) throw new Error('away')
      got.push(...records.map(({ key, value }) => ({ topic, key, value })))
    },
  }
  const run = async (ms: number) => {
    const health = new Health()
    const metrics = new PrometheusMetrics('agent', '0')
    const { agent } = await runAgentService({
      bus,
      source: createSource(),
      hostId: 'desk',
      pollPeriodMs: 20,
      spool: { folder, maxBytes: 16 * 1024 * 1024 },
      log: createLog('agent', 'silent'),
      metrics,
      health,
      signal: AbortSignal.timeout(ms),
    })
    return { agent, health, metrics }
  }
  const snapshots = (): SocketSnapshot[] =>
    got
      .filter(({ topic }) => topic === 'socket-snapshots')
      .map(({ value }) => codecs['socket-snapshots'].decode(value!))
  return { bus, got, run, snapshots }
}

test('hosts and snapshots are published under the host’s key; what is measured is told', async t => {
  const { got, run, snapshots } = createService(t)
  const { agent, health, metrics } = await run(1500)
  assert.deepEqual(new Set(got.map(({ key }) => key)), new Set(['desk']))
  assert.equal(got[0]!.topic, 'hosts')
  const host = codecs.hosts.decode(got[0]!.value!)
  assert.equal(host.host_id, 'desk')
  assert.equal(host.addresses.find(({ ip }) => ip === '198.51.100.7')?.namespace, 4026532500)
  assert.deepEqual(
    snapshots().flatMap(({ polls }) => polls.map(({ poll_seq }) => poll_seq)),
    Array.from({ length: agent.polls }, (_, i) => i),
  )
  assert.deepEqual([health.notReady(), health.stalled()], [[], []])
  const text = await metrics.text()
  assert.match(text, /proclabel_events_produced_total\{topic="socket-snapshots",service="agent"\} 2/)
  assert.match(text, new RegExp(`proclabel_agent_poll_duration_seconds_count\\{service="agent"\\} ${agent.polls}`))
})

test('a run while the bus is away is published by the next one, before its own, without a gap', async t => {
  const { bus, got, run, snapshots } = createService(t)
  bus.isAway = true
  const { health } = await run(2500)
  assert.deepEqual(got, [])
  assert.deepEqual(health.notReady(), ['bus: the bus does not take records'])
  bus.isAway = false
  await run(1500)
  const runs = Map.groupBy(snapshots(), ({ run_id }) => run_id)
  assert.equal(runs.size, 2)
  for (const messages of runs.values()) {
    assert.deepEqual(
      messages.map(({ seq }) => seq),
      messages.map((_, i) => i),
    )
    assert.equal(messages[0]!.polls[0]!.kind, 'keyframe')
  }
  assert.deepEqual(
    [...runs.keys()],
    [...new Set(snapshots().map(({ run_id }) => run_id))],
    'one run is published before the other begins',
  )
})
