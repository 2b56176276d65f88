import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { type LabeledSession, readPacketColumns } from '#schemas'
import { batchOf, type PacketText, packetBytes } from './batch-fixture.ts'
import { noAgentDecision } from './match.ts'
import type { Session } from './session.ts'
import { SessionTable } from './session-table.ts'
import { at } from './test-host.ts'

const remote = '192.0.2.7:443'
const out = (ms: number, flags: string, port = 40_000): PacketText => `${ms} tcp ${port} > ${remote} ${flags}`
const back = (ms: number, flags: string, port = 40_000): PacketText => `${ms} tcp ${port} < ${remote} ${flags}`
const udp = (ms: number, port = 5353): PacketText => `${ms} udp ${port} > ${remote}`

/** A table with what it told: at which time (milliseconds), what, the host's port, why it ended, and its packets so far. */
class Watched {
  readonly told: string[] = []
  readonly ended: Session[] = []
  #nowMs = 0
  readonly table = new SessionTable({
    started: ({ localPort }) => void this.told.push(`${this.#nowMs} started ${localPort}`),
    due: session => void this.told.push(`${this.#nowMs} due ${words(session)}`),
    ended: session => {
      this.told.push(`${this.#nowMs} ended ${words(session)}`)
      session.leaveRows()
      this.ended.push(session)
    },
  })

  /** Takes the packets as one batch, whose newest is the time that is told of. */
  see(...packets: PacketText[]): this {
    this.lose(0, ...packets)
    return this
  }

  lose(lost: number, ...packets: PacketText[]): void {
    this.#nowMs = Math.max(...packets.map(packet => Number(packet.split(' ')[0])))
    this.table.apply(readPacketColumns(batchOf(packets)), lost)
  }

  /** Lets time go on second by second. */
  waitUntil(ms: number): this {
    for (let now = this.#nowMs + 1000; now <= ms; now += 1000) {
      this.#nowMs = now
      this.table.advance(at(now))
    }
    return this
  }

  finish(): Session[] {
    while (this.table.finish(2));
    return this.ended
  }
}

const words = (session: Session) => {
  const { localPort, packetsOut, packetsIn } = session.facts('host')
  return `${localPort} ${session.endReason ?? 'open'} ${packetsOut}+${packetsIn}`
}

const opened = [out(0, 'S1'), back(1, 'SA9'), out(2, 'A')]
const closed = [out(10, 'FA'), back(11, 'FA')]

/** What is published of it, but for the label. */
function recordOf(session: Session): LabeledSession {
  session.judge(noAgentDecision({ proto: 'tcp' }))
  return session.toRecord('host', 'closed')
}

suite('the end of a session', () => {
  test('FINs of both ends: told after 5 s of silence, gone after 60 s', () => {
    const { told } = new Watched().see(...opened, ...closed).waitUntil(70_000)
    assert.deepEqual(told, ['11 started 40000', '6011 due 40000 fin 3+2', '61011 ended 40000 fin 3+2'])
  })

  test('the FIN of one end ends nothing', () => {
    const { told } = new Watched().see(...opened, out(10, 'FA'), out(20, 'FA')).waitUntil(9_000)
    assert.deepEqual(told, ['20 started 40000'])
  })

  test('a RST ends it at once, also the answer to the first packet', () => {
    const { told } = new Watched().see(out(0, 'S1'), back(1, 'RA')).waitUntil(7_000)
    assert.deepEqual(told, ['1 started 40000', '6001 due 40000 rst 1+1'])
  })

  test('how it ended is what ended it first', () => {
    const watched = new Watched().see(...opened, ...closed, out(12, 'R'))
    assert.equal(watched.finish()[0]!.endReason, 'fin')
  })

  test('silence: 5 minutes for TCP, one for others', () => {
    const { told } = new Watched().see(...opened, udp(3)).waitUntil(302_003)
    const ends = told.filter(line => line.includes('ended'))
    assert.deepEqual(ends, ['61003 ended 5353 idle 1+0', '301003 ended 40000 idle 2+1'])
  })

  test('silence ends it also when only the next packet tells of it', () => {
    const watched = new Watched().see(udp(0)).see(udp(59_999)).see(udp(120_000))
    assert.deepEqual(watched.finish().map(words), ['5353 idle 2+0', '5353 shutdown 1+0'])
  })

  test('the input ends what is open, in order of the start, in portions', () => {
    const watched = new Watched().see(udp(0, 3), udp(1, 2), udp(2, 1))
    assert.equal(watched.table.finish(2), true)
    assert.deepEqual([watched.ended.length, watched.table.size], [2, 1])
    assert.equal(watched.table.finish(2), false)
    assert.deepEqual(watched.ended.map(words), ['3 shutdown 1+0', '2 shutdown 1+0', '1 shutdown 1+0'])
  })
})

suite('packets after the end', () => {
  test('without SYN they belong to the ended session for 60 s, each from the one before', () => {
    const watched = new Watched().see(...opened, ...closed)
    watched.waitUntil(30_000).see(back(50_000, 'FA')).waitUntil(100_000).see(back(109_000, 'FA')).waitUntil(170_000)
    assert.deepEqual(
      watched.told.map(line => line.replace(/^\d+ /, '')),
      ['started 40000', 'due 40000 fin 3+2', 'due 40000 fin 3+3', 'due 40000 fin 3+4', 'ended 40000 fin 3+4'],
    )
  })

  test('one that comes when the end was told is told after 5 s of silence too', () => {
    const { told } = new Watched()
      .see(...opened, ...closed)
      .waitUntil(18_000)
      .see(back(18_500, 'R'))
      .waitUntil(30_000)
    assert.deepEqual(told.slice(1), ['6011 due 40000 fin 3+2', '24500 due 40000 fin 3+3'])
  })

  test('after that they begin a session of their own', () => {
    const watched = new Watched().see(...opened, ...closed).see(back(60_011, 'FA'))
    assert.deepEqual(watched.finish().map(words), ['40000 fin 3+2', '40000 shutdown 0+1'])
  })

  test('a SYN begins a new session on the same 5-tuple at once', () => {
    const watched = new Watched().see(...opened, ...closed, out(12, 'S500'), back(13, 'SA700'))
    const [first, second] = watched.finish()
    assert.deepEqual([words(first!), words(second!)], ['40000 fin 3+2', '40000 shutdown 1+1'])
    assert.notEqual(first!.sessionId('host'), second!.sessionId('host'))
  })
})

test('a SYN that comes late, when the session has ended, is its own', () => {
  const late = [back(1, 'SA9'), out(2, 'A'), out(3, 'FA'), back(4, 'FA'), out(0, 'S1')]
  const watched = new Watched().see(...late).see(out(5, 'S2'))
  assert.deepEqual(watched.finish().map(words), ['40000 fin 3+2', '40000 shutdown 1+0'])
})

suite('SYNs of a session that goes on', () => {
  test('one that is sent again is the same connection', () => {
    const watched = new Watched().see(out(0, 'S1'), out(1000, 'S1'), back(1001, 'SA9'), out(3000, 'S1'))
    assert.deepEqual(watched.finish().map(words), ['40000 shutdown 3+1'])
  })

  test('one with another sequence number is another connection, though the end of the first was not seen', () => {
    const watched = new Watched().see(...opened, out(100, 'S2'))
    assert.deepEqual(watched.finish().map(words), ['40000 reuse 2+1', '40000 shutdown 1+0'])
  })

  test('the SYN of the other end, too, and a SYN-ACK with another number is no new connection', () => {
    const simultaneous = new Watched().see(out(0, 'S1'), back(1, 'S9'), out(2, 'SA1'), back(3, 'SA9'))
    assert.deepEqual(simultaneous.finish().map(words), ['40000 shutdown 2+2'])
    const answeredTwice = new Watched().see(out(0, 'S1'), back(1, 'SA9'), back(2, 'SA10'))
    assert.deepEqual(answeredTwice.finish().map(words), ['40000 shutdown 1+2'])
  })

  test('a SYN that comes after packets of its connection says who opened it, and begins nothing', () => {
    const watched = new Watched().see(`5 tcp 22 > 192.0.2.7:50000 A`, `6 tcp 22 < 192.0.2.7:50000 S1`)
    const [session, ...more] = watched.finish()
    assert.deepEqual([words(session!), more.length], ['22 shutdown 1+1', 0])
    assert.deepEqual([session!.direction, session!.directionBy], ['in', 'syn'])
  })
})

suite('records while a session goes on', () => {
  test('the first after 10 s, then one every 5 minutes', () => {
    const watched = new Watched().see(udp(0))
    for (let ms = 0; ms < 650_000; ms += 50_000) watched.see(udp(ms + 1)).waitUntil(ms + 49_000)
    const times = watched.told.filter(line => line.includes('due')).map(line => Math.floor(parseInt(line, 10) / 1000))
    // A second is looked at when it is over, so that the first is told at 11.
    assert.deepEqual(times, [11, 311, 611])
  })
})

suite('what a session tells', () => {
  test('packets out of order: the earliest and the latest time, all of the counts', () => {
    const [session] = new Watched().see(udp(50), udp(90), udp(20), udp(70)).finish()
    const { first_us, last_us, packets_out, bytes_out, splt } = recordOf(session!)
    assert.deepEqual([first_us, last_us], [at(20), at(90)])
    assert.deepEqual([packets_out, bytes_out], [4, 4 * packetBytes])
    assert.deepEqual(
      splt.map(({ gap_us }) => gap_us / 1000),
      [0, 40, -70, 50],
    )
  })

  test('loss marks what was open when it was told, and nothing else', () => {
    const watched = new Watched().see(udp(0, 1))
    watched.lose(3, udp(10, 2))
    watched.see(udp(20, 3))
    assert.deepEqual(
      watched.finish().map(({ localPort, captureGap }) => [localPort, captureGap]),
      [
        [1, true],
        [2, false],
        [3, false],
      ],
    )
  })
})

/** All that sessions count, by their id; the order of the first packets is not among it. */
const countsOf = (sessions: readonly Session[]) =>
  new Map(sessions.map(recordOf).map(({ session_id, splt: _, end_reason: __, ...counts }) => [session_id, counts]))

suite('properties', () => {
  const packet = fc.record({
    gapMs: fc.oneof({ weight: 20, arbitrary: fc.nat(2000) }, fc.constantFrom(6_000, 59_999, 60_000, 61_000, 301_000)),
    lateMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(3000)),
    port: fc.integer({ min: 1, max: 3 }),
    flags: fc.constantFrom('S1', 'S2', 'SA1', 'A', 'A', 'A', 'PA', 'FA', 'R', '.'),
    arrow: fc.constantFrom('>', '<'),
    proto: fc.constantFrom('tcp', 'tcp', 'udp'),
  })

  test('whatever comes, every packet is counted once, and every session starts and ends once', () => {
    fc.assert(
      fc.property(fc.array(packet, { minLength: 1, maxLength: 80 }), fc.integer({ min: 1, max: 9 }), (list, size) => {
        const watched = new Watched()
        let nowMs = 10_000
        const packets = list.map(({ gapMs, lateMs, proto, port, arrow, flags }) => {
          nowMs += gapMs
          return `${nowMs - lateMs} ${proto} ${port} ${arrow} ${remote} ${flags}`
        })
        for (let i = 0; i < packets.length; i += size) {
          const batch = packets.slice(i, i + size)
          watched.see(...batch)
          watched.table.advance(Math.max(...batch.map(text => at(Number(text.split(' ')[0])))))
        }
        const sessions = watched.finish()
        assert.equal(
          sessions.map(recordOf).reduce((sum, { packets_out, packets_in }) => sum + packets_out + packets_in, 0),
          packets.length,
        )
        assert.equal(watched.told.filter(line => line.includes('started')).length, sessions.length)
        assert.deepEqual([new Set(sessions).size, watched.table.size], [sessions.length, 0])
        for (const { firstUs, lastUs, endReason } of sessions) assert.ok(firstUs <= lastUs && endReason !== null)
      }),
    )
  })

  test('the order of packets behind a session’s first, and where batches are cut, change no id and no count', () => {
    const connection = fc.record({
      port: fc.constantFrom(1000, 2000, 3000),
      packets: fc.array(fc.constantFrom('> A', '< A', '> PA', '< SA9', '> FA', '< FA', '> S1', '< R'), {
        maxLength: 15,
      }),
    })
    fc.assert(
      fc.property(
        fc.uniqueArray(connection, { minLength: 1, selector: ({ port }) => port }),
        fc.array(fc.nat()),
        fc.integer({ min: 1, max: 9 }),
        (connections, moves, size) => {
          const first = connections.map(({ port }, i) => out(i, 'S1', port))
          const rest = connections.flatMap(({ port, packets }, i) =>
            packets.map((text, j) => `${10 + j * 100 + i} tcp ${port} ${text.replace(' ', ` ${remote} `)}`),
          )
          const shuffled = [...rest]
          for (const [i, move] of moves.entries()) {
            if (shuffled.length > 0) shuffled.push(...shuffled.splice((move + i) % shuffled.length, 1))
          }
          const inOrder = new Watched().see(...first, ...rest).finish()
          const watched = new Watched()
          const all = [...first, ...shuffled]
          for (let i = 0; i < all.length; i += size) watched.see(...all.slice(i, i + size))
          assert.deepEqual(countsOf(watched.finish()), countsOf(inOrder))
        },
      ),
    )
  })
})
