import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { at, hostIp, session, TestHost, words } from '../test-host.ts'

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

  test('a listener whose connections others have tells their program, not its own process', () => {
    const host = new TestHost()
    const listener = ['tcp 0.0.0.0:22 *', 'sshd'] as const
    host.pollOn(0, 1_000, [...listener], ['tcp 10.0.0.1:22 9.9.9.9:50000', 'sshd-session'])
    host.pollOn(1_050, 2_000, [...listener])
    assert.equal(words(host.judge(session('tcp 22 < 9.9.9.9:50001', 1_510))), 'A sshd-session')
    host.pollOn(2_050, 3_000, [...listener], ['tcp 10.0.0.1:22 9.9.9.9:50002', 'sshd'])
    assert.equal(words(host.judge(session('tcp 22 < 9.9.9.9:50003', 2_510))), 'A sshd:1002', 'it keeps some')
  })

  test('an agent that fell silent vouches for its last sockets ten polls long, and for none after that', () => {
    const host = new TestHost()
    host.pollOn(0, 1_000, ['tcp 0.0.0.0:22 *', 'sshd'], ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    const soon = host.judge(session('tcp 22 < 9.9.9.9:50000', 1_300))
    assert.equal(words(soon), 'A sshd:1002')
    assert.equal(soon.final, false)
    assert.equal(words(host.judge(session('tcp 22 < 9.9.9.9:50001', 2_000))), 'unknown agent-gap')
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 60_000))), 'unknown agent-gap')
  })

  test('a connection that no poll caught is not that of the socket before or after it on the same 5-tuple', () => {
    const host = new TestHost()
    const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
    const sessions = [100, 1_000, 1_110].map(ms => session('tcp 40000 > 1.1.1.1:443', ms, { lastUs: at(ms + 20) }))
    for (const facts of sessions) host.matcher.observeSession(facts)
    host.poll(0)
    host.pollOn(50, 100)
    host.pollOn(150, 900, [ends, 'curl'])
    host.pollOn(950, 1_100)
    host.pollOn(1_150, 2_000, [ends, 'firefox'])
    assert.deepEqual(
      sessions.map(facts => words(host.judge(facts))),
      ['A curl:1000', 'B curl', 'A firefox:1001'],
    )
  })

  test('a SYN does not belong to a socket that was connected long before', () => {
    const host = new TestHost()
    host.pollOn(0, 10_000, ['tcp 10.0.0.1:40000 1.1.1.1:443', 'curl'])
    assert.equal(words(host.judge(session('tcp 40000 - 1.1.1.1:443', 5_000))), 'A curl:1000')
    assert.notEqual(host.judge(session('tcp 40000 > 1.1.1.1:443', 5_000)).stage, 'A')
  })

  test('a TIME_WAIT row is never the beginning of the next socket', () => {
    const host = new TestHost()
    const ends = 'tcp 10.0.0.1:40000 1.1.1.1:443'
    const missed = session('tcp 40000 > 1.1.1.1:443', 110, { lastUs: at(130) })
    const seen = session('tcp 40000 > 1.1.1.1:443', 190)
    for (const facts of [missed, seen]) host.matcher.observeSession(facts)
    host.pollOn(0, 100)
    const timeWait = host.pollMessage(150, [ends])
    host.matcher.applySnapshot(timeWait)
    const next = host.pollMessage(200, [ends, 'curl'])
    // The agent knows a socket by its cookie: this is another one.
    const [poll] = next.polls
    poll!.opened[0]!.id = 99
    poll!.closed = [timeWait.polls[0]!.opened[0]!.id]
    host.matcher.applySnapshot(next)
    assert.equal(words(host.judge(missed)), 'unknown too-short')
    assert.equal(words(host.judge(seen)), 'A curl:1000')
  })

  test('one socket and two sessions of its 5-tuple, with nothing to tell whose it was: neither has it', () => {
    const host = new TestHost()
    const [first, second] = [session('tcp 40000 > 1.1.1.1:443', 0), session('tcp 40000 > 1.1.1.1:443', 15_000)]
    for (const facts of [first, second]) host.matcher.observeSession(facts)
    host.events('sysmon', 10_000, [
      { ms: 10_000, kind: 'connect', ends: 'tcp 10.0.0.1:40000 1.1.1.1:443', process: 'curl' },
    ])
    for (const facts of [first, second]) assert.notEqual(host.resolve(facts).stage, 'A')
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

  test('sockets of the host on all addresses take nothing for the addresses of its containers', () => {
    const host = new TestHost()
    const toContainer = { localIp: '172.17.0.2' }
    host.tell({ ofContainers: ['172.17.0.2'] })
    const wildcards = [['tcp 0.0.0.0:80 *', 'sshd'] as const, ['udp :::53 *', 'sshd'] as const]
    host.pollOn(0, 100, ...wildcards, ['tcp 172.17.0.2:443 *', 'curl'])
    assert.equal(words(host.judge(session('tcp 80 < 9.9.9.9:50000', 60))), 'A sshd:1002')
    assert.equal(words(host.judge(session('tcp 443 < 9.9.9.9:50000', 60, toContainer))), 'A curl:1000')
    assert.match(words(host.judge(session('tcp 80 < 9.9.9.9:50000', 60, toContainer))), /^unknown/)
    assert.match(words(host.judge(session('udp 53 < 9.9.9.9:50000', 60, toContainer))), /^unknown/)
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

  test('a row that came without its owner is of none of those who sent from its UDP port, whichever is told first', () => {
    const port = 'udp 0.0.0.0:2000 *'
    const sends = (ms: number, process: string) => ({ ms, kind: 'send', ends: port, process }) as const
    const facts = session('udp 2000 > 1.1.1.1:53', 1_530, { lastUs: at(1_540) })
    const [before, during] = [sends(1_000, 'curl'), sends(1_530, 'dns')]

    const told = new TestHost()
    told.pollOn(0, 1_500)
    told.events('etw', 1_510, [before])
    told.poll(1_550, [port])
    told.pollOn(1_600, 1_700)
    assert.equal(told.judge({ ...facts, sessionId: 'early' }).label, null)
    told.events('etw', 1_700, [during])
    assert.equal(words(told.judge(facts)), 'A dns:1004')

    const shown = new TestHost()
    shown.pollOn(0, 1_500)
    shown.poll(1_550, [port])
    shown.pollOn(1_600, 1_700)
    shown.events('etw', 1_700, [before, during])
    assert.equal(words(shown.judge(facts)), 'A dns:1004')
  })

  test('a UDP server owns the request that it answers a little later', () => {
    const socket = ['udp 0.0.0.0:5000 *', 'dns'] as const
    const answer = { ms: 1_090, kind: 'send', ends: 'udp 0.0.0.0:5000 *', process: 'dns' } as const
    const request = session('udp 5000 < 9.9.9.9:50000', 1_055)
    for (const isToldFirst of [true, false]) {
      const host = new TestHost()
      host.pollOn(0, 1_050)
      if (isToldFirst) host.events('etw', 1_095, [answer])
      host.pollOn(1_100, 1_200, socket)
      if (!isToldFirst) host.events('etw', 1_095, [answer])
      assert.equal(words(host.judge(request)), 'A dns:1004')
    }
  })

  test('several processes on one UDP port within a moment: the remote end tells whose a session is', () => {
    const host = new TestHost()
    const sends = (ms: number, remote: string, process: string) =>
      ({ ms, kind: 'send', ends: `udp 0.0.0.0:5353 ${remote}`, process }) as const
    const own = `${hostIp}:6000`
    host.events('etw', 100, [sends(10, '1.1.1.1:53', 'curl'), sends(14, '2.2.2.2:53', 'dns'), sends(18, own, 'sshd')])
    const decision = host.judge(session('udp 5353 > 1.1.1.1:53', 10, { lastUs: at(20) }))
    assert.equal(words(decision), 'A curl:1000')
    assert.equal(decision.evidence.quality, 'remote')
    assert.equal(words(host.judge(session('udp 5353 > 2.2.2.2:53', 14, { lastUs: at(20) }))), 'A dns:1004')
    assert.equal(words(host.judge(session(`udp 5353 > ${own}`, 18, { lastUs: at(20) }))), 'A sshd:1002')
    assert.equal(words(host.judge(session('udp 5353 > 3.3.3.3:53', 14, { lastUs: at(20) }))), 'unknown ambiguous')
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

  test('where the port is used again within seconds, an event tells of the session nearest to it', () => {
    const host = new TestHost({ stages: [] })
    host.events('sysmon', minuteMs, [connect(0, 'curl'), connect(4_000, 'firefox')])
    const sessions = [0, 2_000, 4_000].map(ms => session('tcp 40000 > 1.1.1.1:443', ms, { lastUs: at(ms + 100) }))
    for (const facts of sessions) host.matcher.observeSession(facts)
    const labels = sessions.map(facts => words(host.resolve(facts)))
    assert.deepEqual(labels, ['A curl:1000', 'unknown agent-gap', 'A firefox:1001'])
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

test('what an importer tells once more, as a run of its own, changes no label', () => {
  const connect = (ms: number, process: string) =>
    ({ ms, kind: 'connect', ends: 'tcp 10.0.0.1:40000 1.1.1.1:443', process }) as const
  const told = [
    connect(0, 'curl'),
    connect(4_000, 'firefox'),
    { ms: 9_000, kind: 'process_exit', process: 'firefox' },
  ] as const
  const judgeAll = (host: TestHost) =>
    [0, 4_000, 60_000].map(ms => {
      const { label, evidence } = host.judge(session('tcp 40000 > 1.1.1.1:443', ms, { lastUs: at(ms + 100) }))
      return [label?.pid, evidence.owned_from_us]
    })
  const once = new TestHost({ stages: [] })
  once.events('sysmon', minuteMs, [...told])
  const twice = new TestHost({ stages: [] })
  twice.events('sysmon', minuteMs, [...told])
  twice.events('sysmon', minuteMs, [...told], { run_id: 'again', seq: 0 })
  assert.deepEqual(judgeAll(twice), judgeAll(once))
  assert.deepEqual(
    judgeAll(once).map(([pid]) => pid),
    [1000, 1001, undefined],
  )
})

describe('stage A from a log that tells the remote end alone', () => {
  const connect = (ms: number, process: string) =>
    ({ ms, kind: 'connect', ends: 'tcp * 1.1.1.1:443', process, resolutionMs: 1 }) as const

  test('the session that began there at that time', () => {
    const host = new TestHost({ stages: [] })
    host.events('auditd', minuteMs, [connect(0, 'curl')])
    const decision = host.judge(session('tcp 40000 > 1.1.1.1:443', 5))
    assert.deepEqual([words(decision), decision.evidence.quality, decision.final], ['A curl:1000', 'remote-end', false])
    assert.equal(words(host.judge(session('tcp 40001 > 1.1.1.1:443', 1_100))), 'unknown agent-gap')
    assert.equal(words(host.judge(session('tcp 40002 > 1.1.1.1:80', 5))), 'unknown agent-gap')
    assert.equal(words(host.judge(session('tcp 40003 < 1.1.1.1:443', 5))), 'unknown agent-gap')
  })

  test('of two programs that did at the same time none is chosen; two processes of one program share the name', () => {
    const host = new TestHost({ stages: [] })
    host.events('auditd', minuteMs, [connect(0, 'curl'), connect(900, 'firefox')])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'unknown ambiguous')
    const alike = new TestHost({ stages: [] })
    alike.events('auditd', minuteMs, [connect(0, 'curl:1'), connect(900, 'curl:2')])
    assert.equal(words(alike.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'A curl')
  })

  test('once connections whose ports are told have shown the clock, nearer in time', () => {
    const host = new TestHost({ stages: [] })
    const told = [200, 500, 700].map(ms => ({ ...connect(ms, 'nginx'), ends: `tcp 10.0.0.1:${ms} 2.2.2.2:80` }))
    for (const ms of [200, 500, 700]) host.matcher.observeSession(session(`tcp ${ms} > 2.2.2.2:80`, ms))
    host.events('auditd', minuteMs, [connect(0, 'curl'), ...told, connect(900, 'firefox')])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 5))), 'A curl:1000')
    assert.equal(words(host.judge(session('tcp 40001 > 1.1.1.1:443', 905))), 'A firefox:1001')
    assert.equal(words(host.judge(session('tcp 40002 > 1.1.1.1:443', 450))), 'unknown agent-gap')
  })

  test('it teaches no other stage', () => {
    const host = new TestHost()
    host.events('auditd', minuteMs, [connect(0, 'curl')])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'A curl:1000')
    assert.equal(words(host.judge(session('tcp 40001 > 1.1.1.1:443', 5_000))), 'unknown agent-gap')
  })

  test('a socket whose port is told comes first', () => {
    const host = new TestHost({ stages: [] })
    host.events('auditd', minuteMs, [connect(0, 'curl')])
    host.events('sysmon', minuteMs, [{ ...connect(0, 'firefox'), ends: 'tcp 10.0.0.1:40000 1.1.1.1:443' }])
    assert.equal(words(host.judge(session('tcp 40000 > 1.1.1.1:443', 0))), 'A firefox:1001')
  })

  test('who accepted a peer, and who sent a datagram', () => {
    const host = new TestHost({ stages: [] })
    host.events('auditd', minuteMs, [
      { ms: 0, kind: 'accept', ends: 'tcp * 9.9.9.9:50000', process: 'nginx' },
      { ms: 10, kind: 'send', ends: 'udp * 8.8.8.8:53', process: 'dns' },
    ])
    assert.match(words(host.judge(session('tcp 80 < 9.9.9.9:50000', 0))), /^A nginx/)
    assert.match(words(host.judge(session('udp 40000 > 8.8.8.8:53', 10))), /^A dns/)
    assert.equal(words(host.judge(session('udp 40000 > 8.8.8.8:53', 10_000))), 'unknown agent-gap')
  })
})
