import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openCapture } from '../../capture/files/open-capture.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { createRandom } from '../../shared/mutate.ts'
import { FrameDecoder } from './frame.ts'
import { WireNames } from './names.ts'
import { Packet } from './packet.ts'
import { packetOf } from './tls-fixture.ts'

const SECONDS = Number(process.env.PROCLABEL_FUZZ_SECONDS ?? 5)
const PORTS = [53, 443, 5353]

interface Seed {
  protocol: 'tcp' | 'udp'
  payload: Uint8Array
}

/** Payloads of the captures that hold names: TLS handshake records, long-header QUIC, and DNS. */
async function seedsFrom(dir: string): Promise<Seed[]> {
  const seeds: Seed[] = []
  for (const name of readdirSync(join(dir, 'captures'))) {
    const decoder = new FrameDecoder(() => {})
    const packet = new Packet()
    let left = 20
    try {
      const source = await openCapture(join(dir, 'captures', name))
      for await (const { count, data, offset, captured, linkType } of source.blocks()) {
        for (let i = 0; i < count && left > 0; i++) {
          const reason = decoder.decode(data, offset[i]!, offset[i]! + captured[i]!, linkType[i]!, packet)
          if (reason !== 'ok' || packet.payloadCaptured < 3) continue
          const payload = data.slice(packet.payloadOffset, packet.payloadOffset + packet.payloadCaptured)
          const isDns = PORTS.includes(packet.sourcePort) && packet.sourcePort !== 443
          if (packet.protocol === 6 && (payload[0] === 0x16 || isDns)) seeds.push({ protocol: 'tcp', payload })
          else if (packet.protocol === 17 && (payload[0]! >= 0xc0 || isDns)) seeds.push({ protocol: 'udp', payload })
          else continue
          left--
        }
      }
      await source.close()
    } catch {
      // Files that cannot be opened are the reader's tests.
    }
  }
  return seeds
}

function mutated(payload: Uint8Array, other: Uint8Array, random: (below: number) => number): Uint8Array {
  const bytes = Uint8Array.from(payload)
  for (let edits = random(6); edits > 0; edits--) {
    const at = random(bytes.length)
    if (random(3) === 0) bytes[at] = [0, 1, 0x7f, 0x80, 0xc0, 0xff][random(6)]!
    else if (random(2) === 0) bytes[at]! ^= 1 << random(8)
    else bytes.set(other.subarray(0, bytes.length - at), at)
  }
  return random(4) === 0 ? bytes.subarray(0, 1 + random(bytes.length)) : bytes
}

test(`mutated names for ${SECONDS} s: nothing throws, every bound holds`, async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const seeds = await seedsFrom(dir)
  assert.ok(seeds.length > 500)
  const random = createRandom(20241)
  const limits = { bytesPerFlow: 8192, totalBytes: 65536, flows: 32 }
  const names = new WireNames(limits)
  const end = Date.now() + SECONDS * 1000
  let inputs = 0
  while (Date.now() < end) {
    for (let i = 0; i < 100; i++) {
      const seed = seeds[random(seeds.length)]!
      const data = mutated(seed.payload, seeds[random(seeds.length)]!.payload, random)
      const timeUs = inputs * 1000
      // A flow keeps its protocol and ports: both follow from its number.
      const sourcePort = PORTS[random(3)]!
      const flow = 6 * random(10) + 2 * PORTS.indexOf(sourcePort) + (seed.protocol === 'tcp' ? 0 : 1)
      if (!names.wants(flow) || random(20) === 0) names.release(flow)
      // Pieces of one input, in any order, some far off.
      for (let pieces = 1 + random(4); pieces > 0; pieces--) {
        const from = random(data.length)
        const piece = pieces === 1 ? data : data.subarray(from, from + random(data.length - from) + 1)
        const packet = packetOf(seed.protocol, piece, {
          tcpSequence: (random(8) === 0 ? random(2 ** 31) * 2 : pieces === 1 ? 0 : from) >>> 0,
          tcpFlags: random(16) === 0 ? 2 : 16,
          sourcePort,
          timeUs,
          payloadLength: piece.length + (random(10) === 0 ? 100 : 0),
        })
        if (names.wants(flow)) names.observe(packet, piece, flow, true)
      }
      names.expire(timeUs)
      inputs++
    }
    const { flows, bytes } = names.statistics()
    assert.ok(
      flows <= limits.flows && bytes >= 0 && bytes <= limits.totalBytes + limits.bytesPerFlow,
      `${flows} ${bytes}`,
    )
  }
  for (let flow = 0; flow < 64; flow++) names.release(flow)
  assert.deepEqual([names.statistics().flows, names.statistics().bytes], [0, 0])
  t.diagnostic(`${inputs} inputs from ${seeds.length} seeds`)
})
