import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { at, session, TestHost, words } from './test-host.ts'

const hourMs = 60 * 60_000

describe('again, with more evidence', () => {
  test('late socket data asks for another look and gives the label', () => {
    const host = new TestHost()
    host.pollOn(0, 1_000)
    const facts = session('tcp 40000 > 1.1.1.1:443', 5_000)
    assert.equal(words(host.judge(facts)), 'unknown agent-gap')
    assert.equal(host.matcher.takeRejudge(), null)
    host.poll(4_990)
    host.poll(5_040, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    const range = host.matcher.takeRejudge()
    assert.ok(range && range.fromUs <= facts.firstUs && facts.firstUs <= range.toUs)
    assert.equal(host.matcher.takeRejudge(), null)
    assert.equal(words(host.resolve(facts)), 'A curl:1000')
  })

  test('an offset found later asks for another look', () => {
    const host = new TestHost()
    host.events('sysmon', hourMs, [
      { ms: 11_500, kind: 'connect', ends: 'tcp 10.0.0.1:40000 1.1.1.1:443', process: 'curl' },
      { ms: 12_500, kind: 'connect', ends: 'tcp 10.0.0.1:40001 1.1.1.1:443', process: 'curl' },
    ])
    const early = session('tcp 40000 > 1.1.1.1:443', 0)
    assert.equal(host.matcher.judge(early).label, null, 'judged without having been shown')
    assert.equal(words(host.judge(session('tcp 40001 > 1.1.1.1:443', 1_000))), 'A curl:1000')
    const range = host.matcher.takeRejudge()
    assert.ok(range && range.fromUs <= early.firstUs && early.firstUs <= range.toUs)
    assert.equal(words(host.resolve(early)), 'A curl:1000')
  })

  test('while the offset is not known, an exact 5-tuple may be as far off as clocks are searched for', () => {
    const host = new TestHost()
    host.pollOn(0, 10_000)
    host.pollOn(10_050, 11_000, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    host.pollOn(11_050, 30_000)
    const facts = session('tcp 40000 - 1.1.1.1:443', 1_000)
    assert.equal(host.judge(facts).label, null)
    assert.equal(words(host.resolve(facts)), 'A curl:1000')
    assert.equal(host.resolve(facts).final, false)
    assert.equal(host.resolve(session('tcp 40000 - 1.1.1.1:443', 60_000)).stage === 'A', false)
  })

  test('nothing changes a label after 24 hours', () => {
    const host = new TestHost()
    host.pollOn(0, 1_000)
    const facts = session('tcp 40000 > 1.1.1.1:443', 500)
    assert.equal(host.judge(facts).final, false)
    host.matcher.expire(at(25 * hourMs))
    assert.equal(host.resolve(facts).final, true)
  })
})

test('how often a stage was right says nothing of times when the agent was not heard', () => {
  const host = new TestHost({ confidenceSamples: 5 })
  const judge = (port: number, ms: number) =>
    host.judge(session(`tcp ${port} > 1.1.1.1:443`, ms, { lastUs: at(ms + 10) }))
  for (let i = 0; i < 10; i++) {
    host.pollOn(i * 2_000, i * 2_000 + 1_950, [`tcp 10.0.0.1:${40_000 + i} 1.1.1.1:443`, 'curl'])
    assert.equal(words(judge(40_000 + i, i * 2_000 + 500)), 'A curl:1000')
  }
  host.pollOn(20_000, 25_000)
  host.pollOn(50_000, 55_000)
  const [heard, unheard] = [judge(41_000, 22_025), judge(41_001, 40_000)]
  assert.deepEqual([heard.label?.process, heard.agentGap], ['curl', false])
  assert.deepEqual([unheard.label?.process, unheard.agentGap], ['curl', true])
  assert.ok(heard.confidence! > 0.5)
  assert.equal(unheard.confidence, null)
})
