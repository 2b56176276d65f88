import assert from 'node:assert/strict'
import test from 'node:test'
import {
  type Finding,
  type HostHeard,
  judgeGroup,
  judgeHosts,
  judgeRedis,
  newHostHeard,
  renderFindings,
} from './doctor-findings.ts'

const well: HostHeard = {
  ...newHostHeard(),
  announced: true,
  agentMessages: 10,
  agentAheadMs: -40,
  packetBatches: 10,
  packets: 5000,
  captureAheadMs: -30,
}
const judge = (hosts: Record<string, HostHeard>) => judgeHosts(new Map(Object.entries(hosts)), 10)
const levels = (findings: readonly Finding[]) => findings.map(({ about, level }) => `${about} ${level}`)

test('all is well where agents speak, packets come and clocks agree', () => {
  assert.deepEqual(levels(judge({ a: well, b: well })), ['agents ok', 'capture ok', 'clocks ok'])
})

test('no host at all, and hosts that are silent', () => {
  assert.deepEqual(levels(judge({})), ['agents failure'])
  const silent = { ...well, agentMessages: 0, agentAheadMs: null }
  const [finding] = judge({ a: well, b: silent })
  assert.equal(finding!.level, 'warning')
  assert.match(finding!.says, /1 of 2 said nothing for 10 s: b$/)
  assert.equal(judge({ a: silent })[0]!.level, 'failure')
})

test('hosts of a monitored network have no agent, and are not called silent', () => {
  const captured = { ...newHostHeard(), packetBatches: 1, packets: 5 }
  const [finding] = judge({ a: well, '10.0.0.5': captured })
  assert.deepEqual([finding!.level, finding!.says], ['ok', 'all 1 speak; 1 more hosts are captured without one'])
  assert.deepEqual(levels(judge({ '10.0.0.5': captured })), ['agents failure', 'capture ok', 'clocks ok'])
})

test('many silent hosts are not all named', () => {
  const hosts = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`h${i}`, { ...well, agentMessages: 0 }]))
  assert.match(judge(hosts)[0]!.says, /h0, h1, h2, h3, h4 and 4 more$/)
})

test('no capture, a capture that sees nothing, one that loses', () => {
  assert.equal(judge({ a: { ...well, packetBatches: 0, packets: 0 } })[1]!.level, 'failure')
  assert.equal(judge({ a: { ...well, packets: 0 } })[1]!.level, 'warning')
  assert.equal(judge({ a: { ...well, lost: 1 } })[1]!.level, 'warning')
  assert.equal(judge({ a: { ...well, lost: 50 } })[1]!.level, 'failure')
})

test('a clock that is off names its host and by how much', () => {
  const [, , clocks] = judge({ a: well, b: { ...well, agentAheadMs: 7300 }, c: { ...well, captureAheadMs: -4000 } })
  assert.equal(clocks!.level, 'warning')
  assert.match(clocks!.says, /b by 7\.3 s, the capture of c by -4\.0 s$/)
})

test('a group without members, one that stands, one that falls behind', () => {
  const seen = { members: 2, lagBefore: 100, lagAfter: 90, moved: true }
  assert.equal(judgeGroup('matcher', seen).level, 'ok')
  assert.equal(judgeGroup('matcher', { ...seen, members: 0 }).level, 'failure')
  assert.equal(judgeGroup('resolver', { ...seen, members: 0 }).level, 'warning')
  assert.equal(judgeGroup('matcher', { ...seen, moved: false }).level, 'failure')
  assert.equal(judgeGroup('matcher', { ...seen, lagBefore: 0, lagAfter: 0, moved: false }).level, 'ok')
  assert.equal(judgeGroup('matcher', { ...seen, lagBefore: 9000, lagAfter: 50_000 }).level, 'warning')
})

test('Redis: eviction, fullness, nothing on disk', () => {
  const info = (used: number, limit: number, policy: string, aof: number) =>
    `# Memory\r\nused_memory:${used}\r\nmaxmemory:${limit}\r\nmaxmemory_policy:${policy}\r\naof_enabled:${aof}\r\n`
  assert.deepEqual(levels(judgeRedis(info(10, 0, 'noeviction', 1))), ['redis ok'])
  assert.deepEqual(levels(judgeRedis(info(10, 100, 'allkeys-lru', 1))), ['redis failure'])
  assert.deepEqual(levels(judgeRedis(info(90, 100, 'noeviction', 1))), ['redis warning'])
  assert.deepEqual(levels(judgeRedis(info(10, 100, 'noeviction', 0))), ['redis warning'])
})

test('what to do stands below what was found', () => {
  const text = renderFindings(judge({}))
  assert.match(text, /^FAIL {2}agents: no agent has ever spoken\n {6}start `proclabel agent`/)
})
