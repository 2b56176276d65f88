import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ethernet, ipv4, tcp, udp } from '#core/decode/build-frame.ts'
import { helloMessage, records, serverName } from '#core/decode/tls-fixture.ts'
import type { PacketBatch } from '#schemas'
import { capturesDir } from '../shared/captures-dir.ts'
import { createRandom } from '../shared/mutate.ts'
import { block, desk, type Frame, frame, web } from './capture-fixture.ts'
import { BLOCK_FRAMES, FrameColumns } from './files/frame-columns.ts'
import { compareCaptures, Twins } from './native-capture-fixture.ts'
import type { FrameBlock } from './packet-source.ts'

type Random = ReturnType<typeof createRandom>

/** Names are looked for between blocks, so short blocks take other ways than long ones. */
for (const [monitored, frames] of [
  ['bare', 4096],
  ['hosts', 5],
  ['hosts-only', 64],
] as const)
  test(`native and portable capture agree on every capture: ${monitored}, blocks of ${frames} frames`, async t => {
    const dir = capturesDir()
    if (dir === null) return t.skip('no captures')
    for (const name of readdirSync(path.join(dir, 'captures')))
      await compareCaptures(path.join(dir, 'captures', name), monitored, frames).catch(error => {
        throw new Error(name, { cause: error })
      })
  })

test('native and portable capture agree while flows come, go and come again by the ten thousand, and in a flood', () => {
  const twins = new Twins('bare')
  const random = createRandom(1)
  const add = (seconds: number, packets: number, senders: number) => {
    for (let done = 0; done < packets; done += 2 * BLOCK_FRAMES) {
      // Twice, so that it shows whether a flow that was just there is remembered.
      const sent = udpBlock(seconds * 1_000_000, random(2 ** 31), senders)
      for (let time = 0; time < 2; time++) twins.run(capture => capture.add(sent))
    }
  }
  for (let minute = 0; minute < 4; minute++) add(minute * 45, 100_000, 60_000)
  add(300, 1_600_000, 2 ** 28)
  add(301, 10_000, 100)
  twins.end()
})

test('native and portable capture find the same names in streams that are cut, late, repeated and out of order', () => {
  const random = createRandom(1)
  let names = 0
  for (let round = 0; round < 100; round++) {
    const twins = new Twins('bare')
    const streams = Array.from({ length: 1 + random(4) }, (_, i) => shaken(segmentsOf(i, random), random))
    const segments = streams.flat()
    const count = (batches: readonly PacketBatch[]) => {
      for (const batch of batches) names += batch.names.length
    }
    while (segments.length > 0) {
      const some = block(...segments.splice(0, 1 + random(20)))
      count(twins.run(capture => capture.add(some)))
    }
    count(twins.run(capture => capture.flush()))
    twins.end()
  }
  assert.ok(names > 100, `${names} names`)
})

/** A TCP connection's frames: perhaps a SYN, other bytes up to beyond the 64 KiB that are looked at, a ClientHello in pieces, more. */
function segmentsOf(number: number, random: Random): Frame[] {
  const hello = records(
    helloMessage({ extensions: [serverName(`host-${number}.example`), [21, new Uint8Array(random(2000))]] }),
  )
  const junk = (length: number) => new Uint8Array(length).fill(random(256))
  const before = [0, 0, 100, 3_900, 65_000, 65_400, 70_000][random(7)]!
  const falseStart = random(3) === 0 ? [Uint8Array.of(0x16, 3, 1)] : []
  const stream = Buffer.concat([junk(before), ...falseStart, junk(random(600))])
  let sequence = random(2 ** 32)
  const frames: Frame[] = []
  const send = (payload: Uint8Array, flags = 0x10) => {
    const segment = tcp(40_000 + number, 443, payload, flags)
    new DataView(segment.buffer).setUint32(4, sequence)
    frames.push(frame(frames.length, desk, web, 6, segment))
    sequence += payload.length + (flags & 2 ? 1 : 0)
  }
  if (random(3) > 0) send(new Uint8Array(0), 2)
  const sizes = [40, 200, 1400][random(3)]!
  for (let at = 0; at < stream.length; at += sizes) send(stream.subarray(at, at + sizes))
  const piece = 1 + random(hello.length)
  for (let at = 0; at < hello.length; at += piece) send(hello.subarray(at, at + piece))
  send(junk(500))
  return frames
}

/** Some neighbours change places, some come twice, some are lost. */
function shaken(frames: readonly Frame[], random: Random): Frame[] {
  const [swaps, repeats, losses] = [0, 1, 2].map(() => (random(2) === 0 ? 0 : 1 + random(8))) as [
    number,
    number,
    number,
  ]
  const result = [...frames]
  const anywhere = () => random(result.length)
  for (let i = 0; i < swaps; i++) {
    const at = anywhere()
    result.splice(at, 2, ...result.slice(at, at + 2).reverse())
  }
  for (let i = 0; i < repeats; i++) result.splice(anywhere(), 0, result[anywhere()]!)
  for (let i = 0; i < losses && result.length > 1; i++) if (random(3) === 0) result.splice(anywhere(), 1)
  return result
}

/** A block of UDP frames from as many senders as `senders` says, chosen by a seed. */
function udpBlock(timeUs: number, seed: number, senders: number): FrameBlock {
  const template = ethernet(0x0800, ipv4(17, udp(0, 4000, [1, 2, 3])))
  const random = createRandom(seed)
  const columns = new FrameColumns()
  const data = Buffer.alloc(template.length * BLOCK_FRAMES)
  columns.data = data
  let sender = 0
  for (let i = 0; i < BLOCK_FRAMES; i++) {
    const start = i * template.length
    // Some frames have the sender of the one before, so that batches do not fill up just between blocks.
    if (i % 4 !== 3) sender = random(senders)
    data.set(template, start)
    data.writeUInt32BE(0x0a000000 + (sender >>> 16), start + 26)
    data.writeUInt16BE(sender & 0xffff, start + 34)
    columns.add(timeUs + i, start, template.length, template.length, 1)
  }
  return columns
}
