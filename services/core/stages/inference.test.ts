import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { SharedNames } from '../host-matcher.ts'
import { at, loseEvents, session, TestHost, teach, words } from '../test-host.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

describe('the stages that infer', () => {
  test('A2: three sessions with a remote end make a rule, two do not', () => {
    const host = new TestHost({ stages: ['A2'] })
    teach(host, 'curl', '1.1.1.1:443', 2)
    loseEvents(host, 500)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 500)).label, null)
    teach(host, 'curl', '1.1.1.1:443', 1, 1_000)
    loseEvents(host, 2_000)
    const decision = host.judge(session('tcp 40000 > 1.1.1.1:443', 2_000))
    assert.equal(words(decision), 'A2 curl')
    assert.equal(decision.evidence.support, 3)
    assert.equal(decision.final, false)
  })

  test('A2: a disagreement suspends the rule, and the rule ages', () => {
    const host = new TestHost({ stages: ['A2'] })
    teach(host, 'curl', '1.1.1.1:443', 5)
    loseEvents(host, 1_000)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 8 * 24 * hourMs)).label, null)
    teach(host, 'firefox', '1.1.1.1:443', 4, 2_000)
    loseEvents(host, 3_000)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 3_000)).label, null)
  })

  test('an inferred label teaches nothing', () => {
    const host = new TestHost({ stages: ['A2', 'C'], ruleAgreements: 3 })
    teach(host, 'curl', '1.1.1.1:443', 1)
    loseEvents(host, 1_000)
    for (let i = 0; i < 5; i++) {
      assert.equal(words(host.judge(session(`tcp ${40_000 + i} > 1.1.1.1:443`, 1_000 + i))), 'C curl')
    }
  })

  test('a session judged many times teaches once', () => {
    const host = new TestHost({ stages: ['A2'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    for (let i = 0; i < 5; i++) {
      host.judge(session('tcp 50000 > 1.1.1.1:443', 0, { sni: 'www.site-1.1.1.1.example.com', ja4: 'j' }))
    }
    loseEvents(host, 1_000)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 1_000)).label, null)
  })

  test('B: the same 5-tuple minutes later, but not in another hour', () => {
    const host = new TestHost({ stages: ['B'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    loseEvents(host, 2_000)
    assert.equal(words(host.judge(session('tcp 50000 - 1.1.1.1:443', 6 * minuteMs))), 'B curl')
    assert.equal(host.judge(session('tcp 50000 - 1.1.1.1:443', hourMs)).label, null)
  })

  test('B: not after another process had the port', () => {
    const host = new TestHost({ stages: ['B'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    loseEvents(host, 2_000)
    const ends = 'tcp 10.0.0.1:50000 2.2.2.2:80'
    host.events('etw', minuteMs, [{ ms: 30_000, kind: 'connect', ends, process: 'firefox' }])
    assert.equal(host.judge(session('tcp 50000 - 1.1.1.1:443', 6 * minuteMs)).label, null)
  })

  test('C: the program at the remote end, outbound only', () => {
    const host = new TestHost({ stages: ['C'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    loseEvents(host, 1_000)
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 1_000))), 'C curl')
    assert.equal(host.judge(session('tcp 40000 < 1.1.1.1:443', 1_000)).label, null)
  })

  test('C: at a remote end of two programs, who talked to it at almost the same time', () => {
    const host = new TestHost({ stages: ['C'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    loseEvents(host, 4_000)
    teach(host, 'firefox', '1.1.1.1:443', 1, 9_000)
    for (const ms of [12_000, 20_000]) loseEvents(host, ms)
    const judged = (ms: number) => words(host.judge(session('tcp 40000 > 1.1.1.1:443', ms)))
    assert.equal(judged(4_000), 'C curl', 'nearer than the last one')
    assert.equal(judged(12_000), 'C firefox')
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:443', 20_000)).label, null, 'long after both')
  })

  test('C: as the source work did, the last program at a remote end of several', () => {
    const host = new TestHost({ stages: ['C'], remotePortShared: true })
    teach(host, 'curl', '1.1.1.1:443', 1)
    teach(host, 'firefox', '1.1.1.1:443', 1, 100)
    loseEvents(host, 1_000)
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 1_000))), 'C firefox')
    assert.equal(host.judge(session('tcp 40000 < 1.1.1.1:443', 1_000)).label, null)
  })

  test('D: 30 sessions with an address, 85 % of one program; a burst counts once', () => {
    const host = new TestHost({ stages: ['D'] })
    const teachApart = (process: string, remote: string, count: number, fromMs: number) => {
      for (let i = 0; i < count; i++) teach(host, process, remote, 1, fromMs + i * 6_000)
    }
    const judged = (ms: number) => {
      loseEvents(host, ms)
      return host.judge(session('tcp 40000 > 1.1.1.1:8080', ms))
    }
    teachApart('curl', '1.1.1.1:443', 25, 0)
    teach(host, 'curl', '1.1.1.1:443', 30, 150_000)
    teachApart('firefox', '1.1.1.1:80', 3, 156_000)
    assert.equal(judged(180_000).label, null, '29 sessions')
    teachApart('curl', '1.1.1.1:443', 1, 190_000)
    const decision = judged(200_000)
    assert.equal(words(decision), 'D curl')
    assert.equal(decision.evidence.support, 30)
    assert.equal(decision.evidence.share, 0.9)
    teachApart('firefox', '1.1.1.1:80', 3, 210_000)
    assert.equal(judged(230_000).label, null, '27 of 33 are 82 %')
  })

  test('F: a service that had the port before and after a gap of the agent', () => {
    const host = new TestHost({ stages: ['F'] })
    host.pollOn(0, 100, ['tcp 0.0.0.0:22 *', 'sshd:10'])
    host.poll(150)
    host.poll(2 * hourMs, ['tcp 0.0.0.0:22 *', 'sshd:20'])
    const facts = session('tcp 22 < 9.9.9.9:50000', hourMs)
    assert.equal(host.judge(facts).label, null)
    const decision = host.resolve(facts)
    assert.equal(words(decision), 'F sshd')
    assert.equal(decision.evidence.support, 2)
  })

  test('F: not when two programs had the port, nor for a port seen on one side only', () => {
    const shared = new TestHost({ stages: ['F'] })
    shared.pollOn(0, 100, ['tcp 0.0.0.0:8080 *', 'python'])
    shared.poll(150)
    shared.poll(2 * hourMs, ['tcp 0.0.0.0:8080 *', 'nginx'])
    assert.equal(shared.resolve(session('tcp 8080 < 9.9.9.9:50000', hourMs)).label, null)

    const before = new TestHost({ stages: ['F'] })
    before.pollOn(0, 100, ['tcp 0.0.0.0:8080 *', 'python'])
    before.poll(150)
    assert.equal(before.resolve(session('tcp 8080 < 9.9.9.9:50000', hourMs)).label, null)
  })

  test('F: near in time a socket counts that talked to the same address, another does not', () => {
    const host = new TestHost({ stages: ['F'] })
    host.poll(0)
    host.pollOn(50, 100, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    host.pollOn(150, 2_000)
    assert.equal(words(host.resolve(session('tcp 40000 > 1.1.1.1:80', minuteMs))), 'F curl')
    assert.equal(host.resolve(session('tcp 40000 > 2.2.2.2:80', minuteMs)).label, null)
    assert.equal(host.resolve(session('tcp 40000 > 1.1.1.1:80', hourMs)).label, null)
  })

  test('F of the paper profile takes any socket of the port on any day', () => {
    const host = new TestHost({ stages: ['F'], portHistoryReachUs: Number.POSITIVE_INFINITY })
    host.poll(0)
    host.pollOn(50, 100, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    host.pollOn(150, 2_000)
    assert.equal(words(host.resolve(session('tcp 40000 > 2.2.2.2:80', 10 * hourMs))), 'F curl')
  })

  test('N: the server name, then its domain, then the greeting', () => {
    const host = new TestHost({ stages: ['N'] })
    teach(host, 'curl', '1.1.1.1:443', 30)
    loseEvents(host, 4_000)
    const facts = (sni: string | null, ja4: string | null) => session('tcp 40000 > 9.9.9.9:443', 4_000, { sni, ja4 })
    assert.equal(host.judge(facts('www.site-1.1.1.1.example.com', null)).label, null, 'only in post-processing')
    const byName = host.resolve(facts('www.site-1.1.1.1.example.com', null))
    assert.equal(words(byName), 'N curl')
    assert.equal(byName.evidence.reason, 'one program asks for the server name')
    assert.equal(host.resolve(facts('img.example.com', null)).evidence.reason, 'one program asks for the domain')
    assert.equal(host.resolve(facts('other.test', 'j')).evidence.reason, 'one program greets like this')
    assert.equal(host.resolve(facts('other.test', 'k')).label, null)
  })

  test('N: what other hosts learned comes after what this one did', () => {
    const names = new SharedNames()
    const other = new TestHost({ stages: ['N'] }, names)
    teach(other, 'firefox', '1.1.1.1:443', 35)
    const host = new TestHost({ stages: ['N'] }, names)
    loseEvents(host, 1_000)
    const facts = session('tcp 40000 > 9.9.9.9:443', 1_000, { sni: 'www.site-1.1.1.1.example.com' })
    assert.equal(words(host.resolve(facts)), 'N firefox')
    teach(host, 'curl', '1.1.1.1:443', 3, 2_000)
    loseEvents(host, 3_000)
    assert.equal(words(host.resolve({ ...facts, firstUs: at(3_000) })), 'N curl')
  })
})
