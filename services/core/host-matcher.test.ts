import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { noAgentDecision, SharedNames } from './host-matcher.ts'
import { at, session, TestHost, words } from './test-host.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

describe('stage A, direct', () => {
  test('an exact 5-tuple in the poll after the SYN', () => {
    const host = new TestHost()
    host.poll(0)
    host.poll(50, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    const decision = host.judge(session('tcp 40000 > 1.1.1.1:443', 20))
    assert.equal(words(decision), 'A curl:1000')
    assert.equal(decision.final, true)
    assert.equal(decision.evidence.quality, 'exact')
    assert.equal(decision.evidence.source, 'snapshot')
    assert.equal(decision.evidence.owned_from_us, at(50.3))
  })

  test('a listener owns what comes in, and tells the direction', () => {
    const host = new TestHost()
    host.pollOn(0, 100, ['tcp 0.0.0.0:22 *', 'sshd'])
    const inbound = host.judge(session('tcp 22 - 9.9.9.9:50000', 60))
    assert.equal(words(inbound), 'A sshd:1002')
    assert.equal(inbound.evidence.quality, 'wildcard')
    assert.deepEqual(inbound.direction, { direction: 'in', by: 'listener' })
    assert.equal(inbound.final, false)
  })

  test('a listener does not own what the host opened from its port', () => {
    const host = new TestHost()
    host.pollOn(0, 2_000, ['tcp 0.0.0.0:22 *', 'sshd'])
    assert.notEqual(host.judge(session('tcp 22 > 9.9.9.9:50000', 60)).stage, 'A')
  })

  test('the bound address comes before the wildcard, and the exact 5-tuple before both', () => {
    const host = new TestHost()
    const wildcard = ['udp 0.0.0.0:53 *', 'dns'] as const
    const bound = ['udp 10.0.0.1:53 *', 'python'] as const
    const exact = ['udp 10.0.0.1:53 8.8.8.8:53', 'firefox'] as const
    host.poll(0, wildcard)
    assert.equal(words(host.judge(session('udp 53 < 7.7.7.7:1', 0))), 'A dns:1004')
    host.pollOn(50, 150, wildcard, bound)
    assert.equal(words(host.judge(session('udp 53 < 7.7.7.7:1', 120))), 'A python:1005')
    host.pollOn(200, 300, wildcard, bound, exact)
    assert.equal(words(host.judge(session('udp 53 > 8.8.8.8:53', 270))), 'A firefox:1001')
  })

  test(':: takes IPv4 only where it may, and after 0.0.0.0', () => {
    const host = new TestHost()
    host.poll(0, ['udp :::53 *', 'python'])
    assert.equal(words(host.judge(session('udp 53 < 7.7.7.7:1', 0))), 'A python:1005')
    host.pollOn(50, 150, ['udp :::53 *', 'python'], ['udp 0.0.0.0:53 *', 'dns'])
    assert.equal(words(host.judge(session('udp 53 < 7.7.7.7:1', 120))), 'A dns:1004')
    assert.equal(words(host.judge(session('udp 53 < 2001:db8::7:1', 120, { localIp: '2001:db8::1' }))), 'A python:1005')
  })

  test('a v4-mapped address is the IPv4 address', () => {
    const host = new TestHost()
    host.poll(0)
    host.poll(50, ['tcp ::ffff:10.0.0.1:40000 ::ffff:1.1.1.1:443', 'curl'])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 20))), 'A curl:1000')
  })

  test('a socket gone for up to 10 polls still counts, one gone for longer does not', () => {
    const host = new TestHost()
    host.poll(0, ['udp 10.0.0.1:40000 *', 'dns'])
    host.pollOn(50, 2_000)
    assert.equal(words(host.judge(session('udp 40000 < 1.1.1.1:53', 500))), 'A dns:1004')
    assert.equal(words(host.judge(session('udp 40000 < 1.1.1.1:53', 700))), 'unknown agent-gap')
  })

  test('TIME_WAIT rows leave the socket with its last owner', () => {
    const host = new TestHost()
    const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
    host.poll(0)
    host.poll(50, [ends, 'curl'])
    host.pollOn(100, 900, [ends])
    assert.equal(words(host.judge(session('tcp 40000 - 1.1.1.1:443', 800))), 'A curl:1000')
  })

  test('a new owner of the same 5-tuple owns the session that begins with it', () => {
    const host = new TestHost()
    const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
    host.pollOn(0, 100, [ends, 'curl'])
    host.pollOn(150, 300, [ends, 'firefox'])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 120))), 'A firefox:1001')
  })

  test('several processes of one program give its name without a pid', () => {
    const host = new TestHost()
    host.pollOn(0, 100, ['tcp 0.0.0.0:80 *', 'nginx:10', 'nginx:11', 'nginx:12'])
    const decision = host.judge(session('tcp 80 < 9.9.9.9:50000', 60))
    assert.equal(words(decision), 'A nginx')
    assert.equal(decision.evidence.reason, 'all owners run one program')
  })

  test('init, which hands a listener over, does not count as its user', () => {
    const host = new TestHost()
    host.pollOn(0, 100, ['tcp 0.0.0.0:22 *', 'systemd:1', 'sshd'])
    assert.equal(words(host.judge(session('tcp 22 < 9.9.9.9:50000', 60))), 'A sshd:1002')
  })

  test('a child that inherits a connection later does not take it', () => {
    const host = new TestHost()
    const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
    host.poll(0)
    host.poll(50, [ends, 'python'])
    host.pollOn(100, 300, [ends, 'python', 'curl'])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 20))), 'A python:1005')
  })

  test('an accept event beats the listener', () => {
    const host = new TestHost()
    host.pollOn(0, 2_000, ['tcp 0.0.0.0:80 *', 'nginx:10', 'python'])
    host.events('etw', 2_000, [
      { ms: 1_001, kind: 'accept', ends: 'tcp 10.0.0.1:80 9.9.9.9:50000', process: 'nginx:11' },
    ])
    const decision = host.judge(session('tcp 80 < 9.9.9.9:50000', 1_000))
    assert.equal(words(decision), 'A nginx:11')
    assert.equal(decision.evidence.source, 'etw')
  })

  test('events may name the ends in either order', () => {
    const host = new TestHost()
    host.events('etw', 100, [{ ms: 21, kind: 'accept', ends: 'tcp 9.9.9.9:50000 10.0.0.1:80', process: 'nginx:11' }])
    assert.equal(words(host.judge(session('tcp 80 < 9.9.9.9:50000', 20))), 'A nginx:11')
  })
})

describe('stage A from a log of connections alone', () => {
  const connect = (ms: number, process: string) =>
    ({ ms, kind: 'connect', ends: 'tcp 10.0.0.1:40000 1.1.1.1:443', process }) as const

  test('the event at the SYN', () => {
    const host = new TestHost()
    host.events('sysmon', minuteMs, [connect(0, 'curl')])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'A curl:1000')
  })

  for (const shiftMs of [720, 11_450, -11_450]) {
    test(`the log's clock is off by ${shiftMs} ms`, () => {
      const host = new TestHost()
      host.events('sysmon', hourMs, [connect(shiftMs, 'curl'), connect(shiftMs + 5 * minuteMs, 'firefox')])
      const decision = host.judge(session('tcp 40000 > 1.1.1.1:443', 0))
      assert.equal(words(decision), 'A curl:1000')
      assert.equal(decision.evidence.clock_offset_us, shiftMs * 1_000)
      assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 5 * minuteMs))), 'A firefox:1001')
    })
  }

  test('a log in whole seconds', () => {
    const host = new TestHost()
    host.events('security', minuteMs, [{ ...connect(-700, 'curl'), resolutionMs: 1_000 }])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'A curl:1000')
  })

  test('the same 5-tuple an hour away joins nothing, early or late', () => {
    for (const ms of [-hourMs, hourMs]) {
      const host = new TestHost()
      host.events('sysmon', 2 * hourMs, [connect(-2 * hourMs, 'dns'), connect(ms, 'curl')])
      for (const text of ['tcp 40000 > 1.1.1.1:443', 'tcp 40000 - 1.1.1.1:443']) {
        assert.equal(words(host.judge(session(text, 0))), 'unknown agent-gap')
        assert.equal(words(host.resolve(session(text, 0))), 'unknown agent-gap')
      }
    }
  })

  test('without a SYN an event minutes before counts, until somebody else has the port or the process ends', () => {
    const facts = session('tcp 40000 - 1.1.1.1:443', 5 * minuteMs)
    const calm = new TestHost()
    calm.events('sysmon', hourMs, [connect(0, 'curl')])
    assert.equal(words(calm.judge(facts)), 'A curl:1000')

    const taken = new TestHost()
    const other = { ...connect(minuteMs, 'firefox'), ends: 'tcp 10.0.0.1:40000 2.2.2.2:443' }
    taken.events('sysmon', hourMs, [connect(0, 'curl'), other])
    assert.equal(taken.judge(facts).label, null)

    const ended = new TestHost()
    ended.events('sysmon', hourMs, [connect(0, 'curl'), { ms: minuteMs, kind: 'process_exit', process: 'curl' }])
    assert.equal(ended.judge(facts).label, null)
  })

  test('a UDP datagram shows who has the port', () => {
    const host = new TestHost()
    host.events('sysmon', hourMs, [{ ms: 0, kind: 'send', ends: 'udp 10.0.0.1:5000 1.1.1.1:53', process: 'dns' }])
    assert.equal(words(host.judge(session('udp 5000 > 1.1.1.1:53', 0))), 'A dns:1004')
    assert.equal(words(host.judge(session('udp 5000 > 2.2.2.2:53', 10_000))), 'A dns:1004')
    assert.equal(host.judge(session('udp 5000 > 3.3.3.3:53', 5 * minuteMs)).stage === 'A', false)
  })
})

/** Teaches: sessions of a program with a remote end, each from a port of its own, each exactly labeled. */
function teach(host: TestHost, process: string, remote: string, count: number, fromMs = 0): void {
  const [ip] = remote.split(':')
  for (let i = 0; i < count; i++) {
    const ms = fromMs + i * 100
    const port = 50_000 + ((ms / 100) % 10_000)
    const ends = `tcp 10.0.0.1:${port} ${remote}`
    host.events('etw', ms + 50, [{ ms, kind: 'connect', ends, process }])
    const decision = host.judge(session(`tcp ${port} > ${remote}`, ms, { sni: `www.site-${ip}.example.com`, ja4: 'j' }))
    assert.equal(decision.stage, 'A')
    host.events('etw', ms + 60, [{ ms: ms + 60, kind: 'close', ends, process }])
  }
}

/** A host whose events are whole no longer: from here on sessions may be missed. */
function loseEvents(host: TestHost, ms: number): void {
  host.events('etw', ms, [], { lost: 5 })
}

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

  test('C: the last program at the remote end, outbound only', () => {
    const host = new TestHost({ stages: ['C'] })
    teach(host, 'curl', '1.1.1.1:443', 1)
    teach(host, 'firefox', '1.1.1.1:443', 1, 100)
    loseEvents(host, 1_000)
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 1_000))), 'C firefox')
    assert.equal(host.judge(session('tcp 40000 < 1.1.1.1:443', 1_000)).label, null)
  })

  test('D: 30 sessions with an address, 85 % of one program', () => {
    const host = new TestHost({ stages: ['D'] })
    teach(host, 'curl', '1.1.1.1:443', 26)
    teach(host, 'firefox', '1.1.1.1:80', 3, 3_000)
    loseEvents(host, 4_000)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:8080', 4_000)).label, null, '29 sessions')
    teach(host, 'curl', '1.1.1.1:443', 1, 5_000)
    loseEvents(host, 6_000)
    const decision = host.judge(session('tcp 40000 > 1.1.1.1:8080', 6_000))
    assert.equal(words(decision), 'D curl')
    assert.equal(decision.evidence.support, 30)
    assert.equal(decision.evidence.share, 0.9)
    teach(host, 'firefox', '1.1.1.1:80', 3, 7_000)
    loseEvents(host, 8_000)
    assert.equal(host.judge(session('tcp 40000 > 1.1.1.1:8080', 8_000)).label, null, '27 of 33 are 82 %')
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
    host.tell({ addresses: [hostAddress, '172.17.0.1'] })
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

const hostAddress = '10.0.0.1'

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
