import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { noAgentDecision } from './host-matcher.ts'
import { at, hostIp, loseEvents, session, TestHost, teach, words } from './test-host.ts'

const minuteMs = 60_000

describe('unknown causes', () => {
  test('no-agent: the host has no socket data', () => {
    assert.equal(words(noAgentDecision(session('tcp 40000 > 1.1.1.1:443', 0))), 'unknown no-agent')
    assert.equal(words(new TestHost().judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'unknown no-agent')
  })

  test('not-tcp-udp', () => {
    assert.equal(words(noAgentDecision(session('icmp 8 - 1.1.1.1:0', 0))), 'unknown not-tcp-udp')
    const decision = new TestHost().judge(session('icmp 8 - 1.1.1.1:0', 0))
    assert.equal(words(decision), 'unknown not-tcp-udp')
    assert.equal(decision.final, true)
  })

  test('agent-gap: before the first poll, after the last, and between a lost message and the next keyframe', () => {
    const host = new TestHost()
    host.pollOn(0, 1_000)
    host.loseMessage()
    host.pollOn(1_100, 3_000)
    for (const ms of [-500, 1_500, 5_000]) {
      const decision = host.judge(session('tcp 40000 > 1.1.1.1:443', ms))
      assert.equal(words(decision), 'unknown agent-gap')
      assert.equal(decision.evidence.reason, 'no socket data at that time')
    }
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 500, { lastUs: at(900) })).agentGap, false)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 500, { lastUs: at(1_800) })).agentGap, true)
  })

  test('capture-gap: the sensor lost packets', () => {
    const host = new TestHost()
    host.pollOn(0, 3_000)
    assert.equal(
      words(host.judge(session('tcp 40000 > 1.1.1.1:443', 500, { captureGap: true }))),
      'unknown capture-gap',
    )
  })

  test('too-short: no events, and shorter than two polls', () => {
    const host = new TestHost()
    host.pollOn(0, 3_000)
    const brief = session('tcp 40000 > 1.1.1.1:443', 500, { lastUs: at(540) })
    assert.equal(words(host.judge(brief)), 'unknown too-short')
  })

  test('ambiguous: two programs hold the socket', () => {
    const host = new TestHost()
    host.pollOn(0, 100, ['udp 0.0.0.0:5353 *', 'firefox', 'python'])
    const decision = host.judge(session('udp 5353 > 224.0.0.251:5353', 60))
    assert.equal(words(decision), 'unknown ambiguous')
    assert.deepEqual(decision.evidence.candidates, ['firefox:1001', 'python:1005'])
  })

  test('nat: the host has the first address of a private network of its own', () => {
    const host = new TestHost()
    host.tell({ addresses: [hostIp, '172.17.0.1'] })
    host.pollOn(0, 3_000)
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 500))), 'unknown nat')
  })

  test('kernel: SMB without a socket row, and a reset of a stray packet', () => {
    const host = new TestHost()
    host.pollOn(0, 3_000)
    assert.equal(words(host.judge(session('tcp 445 < 1.1.1.1:50000', 500))), 'unknown kernel')
    const stray = session('tcp 40000 - 1.1.1.1:443', 500, { tcpFlags: 0x14, packetsOut: 1, packetsIn: 1 })
    assert.equal(words(host.judge(stray)), 'unknown kernel')
  })

  test("SMB is labeled where the kernel's process owns the socket", () => {
    const host = new TestHost()
    host.pollOn(0, 3_000, ['tcp 0.0.0.0:445 *', 'System:4'])
    assert.equal(words(host.judge(session('tcp 445 < 1.1.1.1:50000', 500))), 'A System:4')
  })

  test('refused: SYN, RST, nothing else', () => {
    const host = new TestHost()
    host.pollOn(0, 3_000)
    const facts = session('tcp 23 < 1.1.1.1:50000', 500, { tcpFlags: 0x16, packetsOut: 1, packetsIn: 1 })
    assert.equal(words(host.judge(facts)), 'unknown refused')
  })

  test('no-socket: events were whole and nobody had the port; no stage may guess', () => {
    const host = new TestHost()
    teach(host, 'curl', '1.1.1.1:443', 40)
    host.events('etw', minuteMs, [])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 20_000))), 'unknown no-socket')
    assert.equal(words(host.resolve(session('tcp 40000 > 1.1.1.1:443', 20_000))), 'unknown no-socket')
  })

  test('no no-socket where events were lost', () => {
    const host = new TestHost({ stages: [] })
    host.events('etw', 0, [])
    loseEvents(host, minuteMs)
    host.events('etw', 2 * minuteMs, [])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 60_500))), 'unknown agent-gap')
  })
})
