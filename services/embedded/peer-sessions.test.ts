import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { defaultConstants } from '#core/constants.ts'
import { tcp, udp } from '#core/decode/build-frame.ts'
import type { Host, LabeledSession, PacketBatch } from '#schemas'
import { block, type Frame, frame, host } from '../capture/capture-fixture.ts'
import { Twins } from '../capture/native-capture-fixture.ts'
import { HostPipeline } from '../matcher/host-pipeline.ts'

/** Three that become hosts, one that is none, and one of a monitored network, which is a host from the beginning. */
const [desk, laptop, web, other, ofNetwork] = ['172.16.0.1', '172.16.0.2', '172.16.0.7', '172.16.0.8', '10.0.0.9']

/** What the matcher makes of the batches, each host by itself, as where each has a matcher of its own. */
function sessionsOf(batches: readonly PacketBatch[]): LabeledSession[] {
  const pipelines = new Map<string, HostPipeline>()
  for (const batch of batches) {
    const options = { constants: defaultConstants, sharedNames: null, provisional: false }
    const pipeline = pipelines.get(batch.host_id) ?? new HostPipeline(batch.host_id, options)
    pipelines.set(batch.host_id, pipeline)
    pipeline.applyPackets(batch, 0)
  }
  return [...pipelines.values()].flatMap(pipeline => {
    pipeline.end(Number.POSITIVE_INFINITY)
    return pipeline.take()
  })
}

/** Frames and announcements of hosts, in this order, through both captures. */
function captured(steps: readonly (Frame | Host)[]): LabeledSession[] {
  const twins = new Twins('hosts-only')
  const batches: PacketBatch[] = []
  for (const step of steps) {
    if ('host_id' in step) twins.learn(step)
    else batches.push(...twins.run(capture => capture.add(block(step))))
  }
  batches.push(...twins.run(capture => capture.flush()))
  return sessionsOf(batches)
}

const hosts = { desk: host('desk', desk), laptop: host('laptop', laptop), web: host('web', web) }
const syn = 0x02
const ack = 0x10
const request = (ms: number, flags = ack, port = 40_000) => frame(ms, desk, web, 6, tcp(port, 443, [], flags))
const reply = (ms: number, flags = ack, port = 40_000) => frame(ms, web, desk, 6, tcp(443, port, [], flags))
const peers = (sessions: readonly LabeledSession[]) => {
  const nameOf = new Map(sessions.map(({ session_id, host_id, first_us }) => [session_id, `${host_id} ${first_us}`]))
  return sessions.map(session => [
    nameOf.get(session.session_id)!.split(' ')[0],
    session.peer_session_id === null ? null : (nameOf.get(session.peer_session_id)?.split(' ')[0] ?? 'nobody'),
  ])
}

test('two monitored hosts have a session each, which name each other', () => {
  const sessions = captured([hosts.desk, hosts.web, request(0, syn), reply(1, syn | ack), request(2)])
  assert.deepEqual(peers(sessions), [
    ['desk', 'web'],
    ['web', 'desk'],
  ])
  const [here, there] = sessions
  assert.deepEqual([here!.direction, there!.direction], ['out', 'in'])
  assert.equal(here!.community_id, there!.community_id)
  assert.deepEqual(peers(captured([hosts.desk, request(0), frame(1, desk, other, 17, udp(1, 2))])), [
    ['desk', null],
    ['desk', null],
  ])
})

test('where one host was announced in the midst of a session, the next one is the first that has a peer', () => {
  const later = 300_000
  const sessions = captured([
    hosts.desk,
    request(0, syn),
    hosts.web,
    reply(1, syn | ack),
    request(5_000, syn, 40_001),
    request(5_000, ack, 40_002),
    request(later, ack),
    request(later * 2, ack),
  ])
  assert.deepEqual(
    peers(sessions)
      .map(([from, to]) => `${from} ${to}`)
      .toSorted(),
    ['desk null', 'desk null', 'desk web', 'desk web', 'web desk', 'web desk', 'web null', 'web null'],
  )
})

const seconds = fc.oneof(fc.nat(10), fc.nat(100), fc.nat(400))
const addresses = fc.constantFrom(desk, laptop, web, other, ofNetwork)
const packet = fc.record({
  seconds,
  ends: fc.tuple(addresses, addresses).filter(([from, to]) => from !== to),
  isTcp: fc.boolean(),
  flags: fc.constantFrom(syn, syn | ack, ack, ack, ack | 1, 4),
  sequence: fc.nat(2),
  port: fc.constantFrom(40_000, 40_001),
})
const announcement = fc.constantFrom(...Object.values(hosts))

test('whatever happens and whenever hosts are announced: a session that is named is there, and names the other back', () => {
  let named = 0
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 9, arbitrary: packet }, announcement), { maxLength: 60 }),
      fc.boolean(),
      (drawn, early) => {
        let ms = 0
        const steps = drawn.map((one): Frame | Host => {
          if ('host_id' in one) return one
          const { ends, isTcp, flags, sequence, port } = one
          ms += one.seconds * 1000 + 1
          const segment = isTcp ? tcp(port, 40_000, [], flags) : udp(port, 40_000)
          if (isTcp) new DataView(segment.buffer, segment.byteOffset).setUint32(4, sequence)
          return frame(ms, ...ends, isTcp ? 6 : 17, segment)
        })
        const sessions = captured(early ? [...Object.values(hosts), ...steps] : steps)
        const byId = new Map(sessions.map(session => [session.session_id, session]))
        for (const session of sessions) {
          const { session_id, peer_session_id, remote_ip } = session
          if (early) assert.equal(peer_session_id === null, remote_ip === other)
          if (peer_session_id === null) continue
          const peer = byId.get(peer_session_id)
          assert.deepEqual([peer?.peer_session_id, peer?.local_ip], [session_id, remote_ip])
          assert.equal(peer!.packets_out, session.packets_in)
          named++
        }
      },
    ),
    { numRuns: 200 },
  )
  assert.ok(named > 100, `${named} named`)
})
