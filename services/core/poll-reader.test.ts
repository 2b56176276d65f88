import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Poll, Socket, SocketSnapshot } from '#schemas'
import { at, session, TestHost, words } from './test-host.ts'

function row(id: number, port: number, pid: number, more: Partial<Socket> = {}): Socket {
  return {
    id,
    proto: 'tcp',
    local_ip: '10.0.0.1',
    local_port: port,
    remote_ip: '1.1.1.1',
    remote_port: 443,
    state: 'established',
    v6_only: false,
    owners: pid === 0 ? [] : [{ pid, start_us: 1 }],
    created_us: null,
    ...more,
  }
}

function poll(seq: number, kind: Poll['kind'], ms: number, opened: Socket[], closed: number[] = []): Poll {
  return { poll_seq: seq, kind, time_us: at(ms), monotonic_us: ms * 1_000, duration_us: 0, opened, closed }
}

function message(runId: string, seq: number, ...polls: Poll[]): SocketSnapshot {
  const names = ['init', 'curl', 'wget']
  const processes = [1, 2].map(pid => {
    const process = { pid, start_us: 1, name: names[pid]!, path: null, parent_pid: null, services: [] }
    return { ...process, container_id: null, pod: null, parent_name: null, container_image: null, user: null }
  })
  return { host_id: 'host', run_id: runId, seq, polls, processes }
}

/** Who has the connection from this port at `ms`, by stage A alone. */
function ownerAt(host: TestHost, ms: number, port = 40_000): string {
  return words(host.matcher.judge(session(`tcp ${port} - 1.1.1.1:443`, ms, { lastUs: at(ms) })))
}

describe('polls', () => {
  test('several in one message, each with its time', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(
      message(
        'run',
        0,
        poll(0, 'keyframe', 0, []),
        poll(1, 'delta', 50, [row(1, 40_000, 1)]),
        poll(2, 'delta', 100, []),
        poll(3, 'delta', 150, [], [1]),
        poll(4, 'delta', 3_000, []),
      ),
    )
    assert.equal(ownerAt(host, 60), 'A curl:1')
    assert.notEqual(ownerAt(host, 1_500), 'A curl:1')
    assert.equal(host.matcher.watermarkUs(), at(3_000))
  })

  test('a keyframe closes what it does not show', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, [row(1, 40_000, 1), row(2, 40_001, 2)])))
    host.matcher.applySnapshot(message('run', 1, poll(1, 'keyframe', 50, [row(2, 40_001, 2)])))
    host.matcher.applySnapshot(message('run', 2, poll(2, 'delta', 3_000, [])))
    assert.equal(ownerAt(host, 2_000, 40_000), 'unknown agent-gap')
    assert.equal(ownerAt(host, 2_000, 40_001), 'A wget:2')
  })

  test('a lost delta leaves a gap; the next keyframe repairs the table', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, [row(1, 40_000, 1)])))
    // Message 1, which closed socket 1, never came.
    host.matcher.applySnapshot(message('run', 2, poll(2, 'delta', 100, [row(3, 40_002, 2)])))
    host.matcher.applySnapshot(message('run', 3, poll(3, 'keyframe', 1_000, [row(3, 40_002, 2)])))
    host.matcher.applySnapshot(message('run', 4, poll(4, 'delta', 1_050, [])))
    assert.equal(ownerAt(host, 110, 40_002), 'A wget:2')
    assert.equal(ownerAt(host, 1_600, 40_000), 'unknown agent-gap')
    const across = session('tcp 40000 - 1.1.1.1:443', 0, { lastUs: at(500) })
    assert.equal(host.matcher.judge(across).agentGap, true)
    const after = session('tcp 40002 - 1.1.1.1:443', 1_000, { lastUs: at(1_050) })
    assert.equal(host.matcher.judge(after).agentGap, false)
  })

  test('a new run of the agent shows the same sockets under new ids', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, [row(1, 40_000, 1), row(2, 40_001, 2)])))
    host.matcher.applySnapshot(message('later', 0, poll(0, 'keyframe', 500, [row(1, 40_001, 2)])))
    assert.equal(host.matcher.intervalCount, 2)
    host.matcher.applySnapshot(message('later', 1, poll(1, 'delta', 3_000, [])))
    assert.equal(ownerAt(host, 2_500, 40_001), 'A wget:2')
    assert.equal(ownerAt(host, 2_500, 40_000), 'unknown agent-gap')
  })

  test('two sockets of one process on one port: closing one leaves the other', () => {
    const listener = { remote_ip: null, remote_port: null, state: 'listen', local_ip: '0.0.0.0' } as const
    const host = new TestHost({ stages: [] })
    const both = [row(1, 80, 1, listener), row(2, 80, 1, listener)]
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, both), poll(1, 'delta', 50, [], [1])))
    host.matcher.applySnapshot(message('run', 1, poll(2, 'delta', 100, []), poll(3, 'delta', 2_000, [])))
    assert.equal(ownerAt(host, 1_500, 80), 'A curl:1')
  })

  test('a socket that changes hands has its new owner from then on', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, [row(1, 40_000, 1)]), poll(1, 'delta', 50, [])))
    host.matcher.applySnapshot(message('run', 1, poll(2, 'delta', 100, [row(1, 40_000, 2)]), poll(3, 'delta', 150, [])))
    host.matcher.applySnapshot(message('run', 2, poll(4, 'delta', 2_000, [])))
    assert.equal(ownerAt(host, 10), 'A curl:1')
    assert.equal(ownerAt(host, 75), 'unknown ambiguous', 'between the two polls it may have been either')
    assert.equal(ownerAt(host, 1_000), 'A wget:2')
  })

  test('a time of creation tells the birth exactly', () => {
    const host = new TestHost({ stages: [] })
    const created = row(1, 40_000, 1, { created_us: at(-5_000) })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 0, [created]), poll(1, 'delta', 50, [])))
    const decision = host.matcher.judge(session('tcp 40000 - 1.1.1.1:443', -4_000))
    assert.equal(words(decision), 'A curl:1')
    assert.equal(decision.evidence.owned_from_us, at(-5_000))
    assert.equal(ownerAt(host, -6_000), 'unknown agent-gap')
  })

  test('a host clock that is set back does not invent or lose owners', () => {
    const host = new TestHost({ stages: [] })
    host.matcher.applySnapshot(message('run', 0, poll(0, 'keyframe', 10_000, [])))
    host.matcher.applySnapshot(
      message('run', 1, poll(1, 'delta', 2_000, [row(1, 40_000, 1)]), poll(2, 'delta', 2_050, [])),
    )
    assert.equal(ownerAt(host, 2_010), 'A curl:1')
    assert.equal(ownerAt(host, 1_000), 'unknown agent-gap')
  })

  for (const [way, hourMs] of [
    ['ahead', 3_600_000],
    ['back', -3_600_000],
  ] as const) {
    test(`a host clock that is stepped ${way} by an hour names no wrong owner, and all owners again once it is right`, () => {
      const host = new TestHost({ stages: [] })
      const port = 'udp 0.0.0.0:2000 *'
      const listener = ['tcp 0.0.0.0:22 *', 'sshd'] as const
      host.pollOn(0, 2_000, [port, 'curl'], listener)
      host.pollOn(2_050 + hourMs, 10_000 + hourMs, [port, 'firefox'], listener)
      host.pollOn(10_050, 12_000, [port, 'dns'], listener)
      const ownerAt = (ms: number) => words(host.judge(session('udp 2000 > 1.1.1.1:53', ms)))
      assert.equal(ownerAt(1_000), 'A curl:1000')
      assert.equal(ownerAt(11_000), 'A dns:1004')
      for (const ms of [1_000, 11_000])
        assert.equal(words(host.judge(session('tcp 22 < 9.9.9.9:50000', ms))), 'A sshd:1002')
      for (let ms = 3_500; ms < 9_000; ms += 500) assert.match(ownerAt(ms), /firefox|unknown/)
    })
  }
})
