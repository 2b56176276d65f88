import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { tcp, udp } from '#core/decode/build-frame.ts'
import { dnsMessage, record } from '#core/decode/dns-fixture.ts'
import { capturesDir } from '#shared/captures-dir.ts'
import { createRandom } from '#shared/mutate.ts'
import { block, desk, type Frame, frame, laptop, web } from '../capture/capture-fixture.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import type { FrameBlock, PacketSource } from '../capture/packet-source.ts'
import { compareBare } from './label-bare-fixture.ts'

type Random = ReturnType<typeof createRandom>

test('the sessions of every capture are the same in C++ and in TypeScript', async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  let sessions = 0
  for (const name of readdirSync(path.join(dir, 'captures'))) {
    const open = () => openCapture(path.join(dir, 'captures', name))
    const lines = await compareBare(open).catch(error => {
      throw new Error(name, { cause: error })
    })
    sessions += lines.length
  }
  assert.ok(sessions > 1000, `${sessions} sessions`)
})

test('connections that are reused, fall silent, end and go on are the same sessions, lost packets or not', async () => {
  const reasons = new Set<string>()
  for (let seed = 1; seed <= 40; seed++) {
    const random = createRandom(seed)
    const blocks = Array.from({ length: 30 }, () => ({ frames: [] as Frame[], lost: random(4) === 0 ? 1 : 0 }))
    // A day of few packets, or an hour of many; some come late.
    const longestMs = [40, 2_000, 90_000, 400_000][random(4)]!
    let ms = 0
    for (const { frames } of blocks) {
      for (let i = random(200); i >= 0; i--) {
        ms += random(longestMs)
        frames.push(anyFrame(random(10) === 0 ? Math.max(0, ms - random(5_000)) : ms, random))
      }
    }
    const open = async () => new Blocks(blocks.map(({ frames, lost }) => ({ block: block(...frames), lost })))
    for (const line of await compareBare(open)) {
      const { end_reason, capture_gap } = JSON.parse(line)
      reasons.add(end_reason)
      if (capture_gap) reasons.add('capture gap')
    }
  }
  assert.deepEqual([...reasons].sort(), ['capture gap', 'fin', 'idle', 'reuse', 'rst', 'shutdown'])
})

test('megabytes of records at once have each its own DNS name', async () => {
  const servers = Array.from({ length: 3000 }, (_, i) => `203.0.${i >> 8}.${i & 255}`)
  const named = servers.filter((_, i) => i % 7 === 0)
  const answer = (server: string, i: number) => {
    const name = `www${i}.example`
    const data = Buffer.from(server.split('.').map(Number))
    return frame(i, web, desk, 17, udp(53, 5353, dnsMessage({ question: name, answers: [record(name, 'A', data)] })))
  }
  const asked = named.map(answer)
  const used = servers.map(server => frame(1000, desk, server, 17, udp(4000, 5000, [1])))
  const lines = await compareBare(
    async () => new Blocks([asked, used].map(some => ({ block: block(...some), lost: 0 }))),
  )
  assert.equal(lines.filter(line => JSON.parse(line).dns_name !== null).length, named.length)
  assert.ok(lines.join('').length > 2 ** 21)
})

/** A packet of one of few connections, so that they meet again. */
function anyFrame(ms: number, random: Random): Frame {
  const [from, to] = random(2) === 0 ? [desk, web] : [laptop, desk]
  const [near, far] = [40_000 + random(3), [443, 5_000][random(2)]!]
  const back = random(2) === 0
  const ends = back ? ([to, from] as const) : ([from, to] as const)
  const ports = back ? ([far, near] as const) : ([near, far] as const)
  const payload = new Uint8Array(random(50))
  if (random(4) === 0) return frame(ms, ...ends, 17, udp(...ports, payload))
  if (random(20) === 0) return frame(ms, ...ends, random(2) === 0 ? 1 : 132, Uint8Array.of(8, 0, 0, 0, 0, 1, 0, 1))
  const flags = [0x10, 0x10, 0x10, 0x18, 0x02, 0x12, 0x11, 0x11, 0x14][random(9)]!
  const segment = tcp(...ports, payload, flags)
  new DataView(segment.buffer).setUint32(4, random(3))
  return frame(ms, ...ends, 6, segment)
}

/** Generated frames as a source; `lost` frames went missing before each block. */
class Blocks implements PacketSource {
  readonly isLive = false
  readonly #blocks: readonly { block: FrameBlock; lost: number }[]
  #read = 0
  #dropped = 0

  constructor(blocks: readonly { block: FrameBlock; lost: number }[]) {
    this.#blocks = blocks
  }

  async *blocks(): AsyncIterable<FrameBlock> {
    for (const { block, lost } of this.#blocks) {
      this.#dropped += lost
      this.#read += block.count
      yield block
    }
  }

  statistics = () => ({ read: this.#read, skipped: {}, dropped: this.#dropped, bytesRead: 0 })

  close = async (): Promise<void> => {}
}
