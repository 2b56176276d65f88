import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ethernet, ipv4, udp } from '#core/decode/build-frame.ts'
import { capturesDir } from '../shared/captures-dir.ts'
import { createRandom } from '../shared/mutate.ts'
import { BLOCK_FRAMES, FrameColumns } from './files/frame-columns.ts'
import { compareCaptures, Twins } from './native-capture-fixture.ts'
import type { FrameBlock } from './packet-source.ts'

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
    for (let sent = 0; sent < packets; sent += BLOCK_FRAMES) {
      const block = udpBlock(seconds * 1_000_000, random(2 ** 31), senders)
      twins.run(capture => capture.add(block))
    }
  }
  for (let minute = 0; minute < 4; minute++) add(minute * 45, 100_000, 60_000)
  add(300, 700_000, 2 ** 28)
  add(301, 10_000, 100)
  twins.end()
})

/** A block of UDP frames from as many senders as `senders` says, chosen by a seed. */
function udpBlock(timeUs: number, seed: number, senders: number): FrameBlock {
  const template = ethernet(0x0800, ipv4(17, udp(0, 4000, [1, 2, 3])))
  const random = createRandom(seed)
  const block = new FrameColumns()
  const data = Buffer.alloc(template.length * BLOCK_FRAMES)
  block.data = data
  for (let i = 0; i < BLOCK_FRAMES; i++) {
    const start = i * template.length
    const sender = random(senders)
    data.set(template, start)
    data.writeUInt32BE(0x0a000000 + (sender >>> 16), start + 26)
    data.writeUInt16BE(sender & 0xffff, start + 34)
    block.add(timeUs + i, start, template.length, template.length, 1)
  }
  return block
}
