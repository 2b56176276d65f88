import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { addressText } from '../../core/address.ts'
import { FrameDecoder } from '../../core/decode/frame.ts'
import { Packet } from '../../core/decode/packet.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { openCapture } from './open-capture.ts'

/** What the judges' files say, as far as reading and decoding can answer it (the captures' README has the format). */
interface Expected {
  packets: number
  exercises: string[]
  malformed_frames: number[]
  judges_differ?: unknown[]
  sessions: ExpectedSession[]
}

interface ExpectedSession {
  proto: string
  a: string
  a_port: number
  b: string
  b_port: number
  packets_ab: number
  packets_ba: number
  ip_bytes: number
  frag_packets?: number
  first_ts: string
  last_ts: string
  levels: string[]
}

/** All packets of one 5-tuple, however many sessions they are. */
interface Fold {
  packetsFrom: Map<string, number>
  bytes: number
  firstUs: number
  lastUs: number
  fragments: number
  onlyLevel: boolean
  mixedLevels: boolean
}

function newFold(): Fold {
  const none = { bytes: 0, firstUs: Infinity, lastUs: -Infinity, fragments: 0 }
  return { packetsFrom: new Map(), ...none, onlyLevel: true, mixedLevels: false }
}

function foldAt(folds: Map<string, Fold>, key: string): Fold {
  const fold = folds.get(key) ?? newFold()
  folds.set(key, fold)
  return fold
}

function addPackets(fold: Fold, sender: string, count: number): void {
  fold.packetsFrom.set(sender, (fold.packetsFrom.get(sender) ?? 0) + count)
}

function keyOf(proto: string, a: string, aPort: number, b: string, bPort: number): string {
  return [proto, ...[`${a} ${aPort}`, `${b} ${bPort}`].sort()].join(' ')
}

/** `seconds.nanoseconds` to microseconds, fractions cut off as the judges' comparison does. */
function micros(text: string): number {
  const [seconds = '0', fraction = ''] = text.split('.')
  const sign = seconds.startsWith('-') ? -1 : 1
  return Number(seconds) * 1_000_000 + sign * Number(`${fraction}000000`.slice(0, 6))
}

function wantedFolds(expected: Expected): Map<string, Fold> {
  const folds = new Map<string, Fold>()
  for (const session of expected.sessions) {
    const levels = session.levels.join(',').split(',')
    if (!levels.includes('only') && !levels.includes('innermost')) continue
    const fold = foldAt(folds, keyOf(session.proto, session.a, session.a_port, session.b, session.b_port))
    addPackets(fold, session.a, session.packets_ab)
    addPackets(fold, session.b, session.packets_ba)
    fold.bytes += session.ip_bytes
    fold.fragments += session.frag_packets ?? 0
    fold.onlyLevel &&= levels.length === 1 && levels[0] === 'only'
    fold.mixedLevels ||= levels.length > 1
    fold.firstUs = Math.min(fold.firstUs, micros(session.first_ts))
    fold.lastUs = Math.max(fold.lastUs, micros(session.last_ts))
  }
  return folds
}

interface Outcome {
  folds: Map<string, Fold>
  read: number
  skipped: number
}

async function decodeFile(path: string): Promise<Outcome> {
  const folds = new Map<string, Fold>()
  const bytes = new Uint8Array(32)
  const view = new DataView(bytes.buffer)
  const count = (packet: Packet): void => {
    if (packet.protocol !== 6 && packet.protocol !== 17) return
    for (let i = 0; i < 8; i++) view.setInt32(i * 4, packet.addresses[i]!)
    const [source, destination] = [addressText(bytes, 0), addressText(bytes, 16)]
    const proto = packet.protocol === 6 ? 'tcp' : 'udp'
    const fold = foldAt(folds, keyOf(proto, source, packet.sourcePort, destination, packet.destinationPort))
    addPackets(fold, source, 1)
    fold.bytes += packet.ipLength
    fold.firstUs = Math.min(fold.firstUs, packet.timeUs)
    fold.lastUs = Math.max(fold.lastUs, packet.timeUs)
  }
  const decoder = new FrameDecoder(count)
  const packet = new Packet()
  const source = await openCapture(path)
  for await (const block of source.blocks()) {
    for (let i = 0; i < block.count; i++) {
      packet.timeUs = block.timeUs[i]!
      packet.wireLength = block.wireLength[i]!
      const start = block.offset[i]!
      const reason = decoder.decode(block.data, start, start + block.captured[i]!, block.linkType[i]!, packet)
      if (reason === 'ok') count(packet)
    }
  }
  await source.close()
  const { read, skipped } = source.statistics()
  return { folds, read, skipped: Object.values(skipped).reduce((sum, n) => sum + n, 0) }
}

function* differences(wanted: Map<string, Fold>, got: Map<string, Fold>): Generator<string> {
  for (const key of wanted.keys()) if (!got.has(key)) yield `session missing: ${key}`
  for (const key of got.keys()) if (!wanted.has(key)) yield `session nobody else saw: ${key}`
  for (const [key, want] of wanted) {
    const have = got.get(key)
    if (have === undefined || want.mixedLevels) continue
    if (want.fragments > 0) {
      const [wantTotal, haveTotal] = [total(want) + want.fragments, total(have)]
      if (wantTotal !== haveTotal) yield `packets with fragments of ${key}: expected ${wantTotal}, got ${haveTotal}`
      continue
    }
    const [wantPackets, havePackets] = [bySender(want), bySender(have)]
    if (wantPackets !== havePackets) yield `packets of ${key}: expected ${wantPackets}, got ${havePackets}`
    if (want.onlyLevel && want.bytes !== have.bytes)
      yield `IP bytes of ${key}: expected ${want.bytes}, got ${have.bytes}`
    if (Math.abs(want.firstUs - have.firstUs) > 1 || Math.abs(want.lastUs - have.lastUs) > 1) {
      yield `times of ${key}: expected ${want.firstUs} to ${want.lastUs}, got ${have.firstUs} to ${have.lastUs}`
    }
  }
}

function total(fold: Fold): number {
  return [...fold.packetsFrom.values()].reduce((sum, n) => sum + n, 0)
}

function bySender(fold: Fold): string {
  const sent = [...fold.packetsFrom].filter(([, n]) => n > 0)
  return sent
    .map(([sender, n]) => `${sender} ${n}`)
    .sort()
    .join(', ')
}

test('real captures decode to the sessions, packets, bytes and times that independent tools saw', async t => {
  const dir = capturesDir()
  if (dir === null) return t.skip('no captures')
  const problems: string[] = []
  for (const file of readdirSync(join(dir, 'expected'))) {
    const name = file.slice(0, -'.json'.length)
    const expected = JSON.parse(readFileSync(join(dir, 'expected', file), 'utf8')) as Expected
    const readerError = expected.exercises.includes('reader-error')
    const found: string[] = []
    try {
      const outcome = await decodeFile(join(dir, 'captures', name))
      const records = outcome.read + outcome.skipped
      if (!readerError && records !== expected.packets)
        found.push(`records: expected ${expected.packets}, got ${records}`)
      const loose = readerError || expected.malformed_frames.length > 0 || (expected.judges_differ ?? []).length > 0
      if (!loose) found.push(...differences(wantedFolds(expected), outcome.folds))
    } catch (error) {
      if (!readerError) found.push(`${error}`)
    }
    problems.push(...found.map(problem => `${name}: ${problem}`))
  }
  assert.deepEqual(problems, [])
})
