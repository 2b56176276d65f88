import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test } from 'node:test'
import { defaultConstants } from '#core/constants.ts'
import { ethernet, ipv4, tcp, udp } from '#core/decode/build-frame.ts'
import { type LabeledSession, type PacketBatch, readPacketColumns } from '#schemas'
import { labelCapture } from '../embedded/label.ts'
import { createRandom } from '../shared/mutate.ts'
import { Capture } from './capture.ts'
import { at, block, desk, directory, type Frame, frame, host, laptop, rows, web } from './capture-fixture.ts'
import { createCapture } from './create-capture.ts'
import { FrameColumns } from './files/frame-columns.ts'
import { captureFiles, mergeCaptures } from './files/merge-captures.ts'
import { HostFiles } from './host-files/host-files.ts'
import { isByHost } from './host-files/minute-files.ts'

const hosts = () => directory(host('desk', desk), host('laptop', laptop))
const open = (more: { duplicateWindowUs?: number; snapLength?: number } = {}) =>
  createCapture({ sensorId: 'mirror', runId: 'run', hosts: hosts(), keepUnmonitored: false, ...more })

const ofHost = (batches: readonly PacketBatch[], hostId: string) => batches.filter(({ host_id }) => host_id === hostId)
const packetsOf = (batches: readonly PacketBatch[], hostId: string) => ofHost(batches, hostId).flatMap(rows)

/** Packets of a connection between a host and a server, one each millisecond, each with an identification and a sequence number of its own. */
const conversation = (count: number, peer = web): Frame[] =>
  Array.from({ length: count }, (_, i) => {
    const isOut = i % 3 !== 0
    const segment = isOut ? tcp(40_000, 443, new Uint8Array(i % 50)) : tcp(443, 40_000, new Uint8Array(i % 7))
    new DataView(segment.buffer).setUint32(4, i)
    return frame(i, isOut ? desk : peer, isOut ? peer : desk, 6, segment, { id: i })
  })

/** As a switch's other port has the frame: another tag, other link addresses, one hop less. */
function copyOf({ ms, data }: Frame, laterMs: number): Frame {
  const copy = Buffer.concat([data.subarray(0, 12), Buffer.of(0x81, 0, 0, 7), data.subarray(12)])
  copy.fill(0x5a, 0, 12)
  copy[4 + 14 + 8]!--
  return { ms: ms + laterMs, data: copy }
}

/** Every order of some things. */
function ordersOf<T>(things: readonly T[]): T[][] {
  if (things.length <= 1) return [[...things]]
  return things.flatMap((first, i) => ordersOf(things.toSpliced(i, 1)).map(rest => [first, ...rest]))
}

suite('what a mirror port delivers', () => {
  test('copies of a mirror of both directions are counted once, in whatever order they come, and told apart from the rest', () => {
    const random = createRandom(1)
    const once = conversation(500, laptop)
    const twice = [...once, ...once.map(each => copyOf(each, random(9)))].sort((a, b) => a.ms - b.ms)
    for (let i = 0; i + 1 < twice.length; i += 2) if (random(2) === 0) twice.splice(i, 2, twice[i + 1]!, twice[i]!)
    const capture = open({ duplicateWindowUs: 10_000 })
    const batches = [...capture.add(block(...twice)), ...capture.flush()]
    assert.deepEqual(capture.frames, { ok: 500, duplicate: 500 })
    for (const hostId of ['desk', 'laptop']) assert.equal(packetsOf(batches, hostId).length, 500)
    assert.deepEqual(open().frames, {})
    const asItIs = open()
    asItIs.add(block(...twice))
    assert.deepEqual(asItIs.frames, { ok: 1000 })
  })

  test('a segment that is sent again is no copy: it has another identification, or comes later', () => {
    const segment = tcp(40_000, 443, [1, 2, 3])
    const sent = [frame(0, desk, web, 6, segment, { id: 1 }), frame(5, desk, web, 6, segment, { id: 2 })]
    const late = frame(30, desk, web, 6, segment, { id: 1 })
    const capture = open({ duplicateWindowUs: 10_000 })
    capture.add(block(...sent, late))
    assert.deepEqual(capture.frames, { ok: 3 })
  })

  test('copies of fragments are counted once in every order, later ones before their first too', () => {
    const datagram = udp(5000, 53, new Uint8Array(200).fill(9))
    const cuts = [0, 72, 144, datagram.length]
    const parts = [0, 1, 2].map(i =>
      frame(i, desk, web, 17, datagram.subarray(cuts[i], cuts[i + 1]), {
        ...{ id: 7, fragmentOffset: cuts[i]!, moreFragments: i < 2 },
      }),
    )
    const twice = [...parts, ...parts.map(each => copyOf(each, 1))]
    const options = { sensorId: 'mirror', runId: 'run', keepUnmonitored: false, duplicateWindowUs: 10_000 }
    for (const order of ordersOf(twice)) {
      const frames = block(...order)
      const captures = [new Capture({ ...options, hosts: hosts() }), createCapture({ ...options, hosts: hosts() })]
      const [portable, native] = captures.map(capture => {
        const batches = [...capture.add(frames), ...capture.flush()]
        const { ok = 0, duplicate, 'fragment-held': held = 0 } = capture.frames
        assert.deepEqual({ packets: ok + held, duplicate }, { packets: 3, duplicate: 3 })
        assert.equal(packetsOf(batches, 'desk').length, 3)
        return batches
      })
      assert.deepEqual(native, portable)
    }
  })

  test('packets out of order keep their times and are all counted', () => {
    const random = createRandom(2)
    const frames = conversation(300)
    const shuffled = frames.toSorted((a, b) => a.ms + random(5) - (b.ms + random(5)))
    const capture = open()
    const seen = packetsOf([...capture.add(block(...shuffled)), ...capture.flush()], 'desk')
    const times = seen.map(row => Number.parseInt(row, 10))
    assert.notDeepEqual(
      times,
      frames.map(({ ms }) => ms),
    )
    assert.deepEqual(
      times.toSorted((a, b) => a - b),
      frames.map(({ ms }) => ms),
    )
  })

  test('a super-frame of receive offload counts whole, and checksums that the card was to fill in do not matter', () => {
    const segment = tcp(443, 40_000, new Uint8Array(60_000))
    new DataView(segment.buffer).setUint16(16, 0xbeef)
    const capture = open()
    const batches = [...capture.add(block(frame(0, web, desk, 6, segment))), ...capture.flush()]
    const columns = ofHost(batches, 'desk')
      .map(readPacketColumns)
      .find(({ packets }) => packets > 0)!
    assert.deepEqual([...columns.payloadLength, ...columns.wireLength], [60_000, 60_054])
  })

  test('a frame that a snap length cut counts with its length on the wire', () => {
    const { data } = frame(0, web, desk, 6, tcp(443, 40_000, new Uint8Array(1400)))
    const columns = new FrameColumns()
    columns.data = data
    columns.add(at(0), 0, 60, data.length, 1)
    const capture = open()
    const batches = [...capture.add(columns), ...capture.flush()]
    const [seen] = ofHost(batches, 'desk')
      .map(readPacketColumns)
      .filter(({ packets }) => packets > 0)
    assert.deepEqual([...seen!.wireLength, ...seen!.ipLength, ...seen!.payloadLength], [1454, 1440, 1400])
  })

  test('ERSPAN and VXLAN to the address of the sensor: the session is that of the mirrored frame', () => {
    const inner = frame(0, desk, web, 6, tcp(40_000, 443)).data
    const sensor = { from: [192, 0, 2, 1], to: [192, 0, 2, 2] }
    const vxlan = udp(50_000, 4789, Buffer.concat([Buffer.of(8, 0, 0, 0, 0, 0, 9, 0), inner]))
    // GRE with a sequence number, then the 8 bytes of ERSPAN type II: version 1, session 100.
    const erspan = Buffer.concat([
      Buffer.of(0x10, 0, 0x88, 0xbe, 0, 0, 0, 1),
      Buffer.of(0x10, 0, 0, 100, 0, 0, 0, 0),
      inner,
    ])
    const frames = [
      { ms: 0, data: ethernet(0x0800, ipv4(17, vxlan, sensor)) },
      { ms: 1, data: ethernet(0x0800, ipv4(47, erspan, sensor)) },
    ]
    for (const [i, [kind, id]] of (
      [
        ['vxlan', 9],
        ['erspan', 100],
      ] as const
    ).entries()) {
      const capture = open()
      const batches = [...capture.add(block(frames[i]!)), ...capture.flush()]
      assert.deepEqual(packetsOf(batches, 'desk'), [`${i} ms ${desk} 40000 > ${web} 443`])
      const tunnels = ofHost(batches, 'desk').flatMap(batch => batch.tunnels)
      assert.deepEqual(tunnels, [{ kind, source: '192.0.2.1', destination: '192.0.2.2', id }])
    }
  })
})

test('label over the files of several hosts counts a packet between two of them once', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-label-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const capture = open({ snapLength: 65_535 })
  const files = await HostFiles.open({
    folder,
    compression: 'zstd',
    maxBytes: 1e9,
    maxAgeUs: null,
    log: { info: () => {}, warn: () => {} },
  })
  const frames = [...conversation(200, laptop), ...conversation(100)].map(({ ms, data }) => ({ ms: ms * 900, data }))
  capture.add(block(...frames.sort((a, b) => a.ms - b.ms)))
  capture.flush()
  files.write(capture.takeFrames(), capture.nowUs)
  await files.close()
  const paths = await captureFiles([folder])
  assert.equal(paths.length, 8)
  assert.ok(isByHost(paths))
  const sessions: LabeledSession[] = []
  const packets = await mergeCaptures(paths)
  const { frames: fates } = await labelCapture({
    packets,
    logs: null,
    constants: defaultConstants,
    sensorId: 'mirror',
    duplicateWindowUs: 0,
    sink: session => void sessions.push(session),
  })
  await packets.close()
  assert.deepEqual(fates, { ok: 300, duplicate: 200 })
  assert.equal(
    sessions.reduce((sum, { packets_out, packets_in }) => sum + packets_out + packets_in, 0),
    300,
  )
})
