import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { deflateRawSync, gzipSync } from 'node:zlib'
import avro from 'avsc'
import { codecs, topics } from '#schemas'
import { readSchema } from '../../schemas/generate-types.ts'
import { detectLog, readSocketLog } from './socket-log.ts'

const SEED = 20_261_123
const seconds = Number(process.env.PROCLABEL_FUZZ_SECONDS ?? 5)

/** Small and repeatable (xorshift32). */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const times = '"time_us":1700000000000000,"monotonic_us":1,"duration_us":1'
const row = '{"id":5,"proto":"tcp","local_ip":"192.0.2.1","local_port":1,"state":"listen","owners":[{"pid":7}]}'
const corpus = [
  '{"topic":"hosts","host_id":"a","names":[],"addresses":[{"ip":"::1"}],"os":"linux","agent_version":"1","updated_us":1}',
  `{"topic":"socket-snapshots","host_id":"a","run_id":"r","seq":0,"polls":[{"poll_seq":0,"kind":"keyframe",${times},"opened":[${row}],"closed":[1]}],"processes":[{"pid":7,"name":"x"}]}`,
  '{"topic":"socket-events","host_id":"a","run_id":"r","seq":0,"source":"etw","complete":true,"until_us":1,"events":[{"kind":"connect","time_us":1,"pid":7,"proto":"tcp","local_ip":"::1","local_port":1}],"processes":[]}',
]
const pieces = [
  'null',
  '-1',
  '1e400',
  '9007199254740993',
  '{}',
  '[]',
  '[[[[',
  '"__proto__":',
  '"',
  '\\u0000',
  '\n',
  ',',
  '\0',
  '\xff\xfe',
  '"listen"',
  'true',
]

function mutate(text: string, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(text)
  for (let edits = random(6); edits > 0; edits--) {
    const at = random(bytes.length + 1)
    const piece = Buffer.from(pieces[random(pieces.length)]!, 'latin1')
    const cut = random(3) === 0 ? random(20) : 0
    bytes = Buffer.concat([
      bytes.subarray(0, at),
      random(2) === 0 ? piece : Buffer.of(random(256)),
      bytes.subarray(at + cut),
    ])
  }
  return bytes
}

async function readFuzzed(file: string, bytes: Buffer): Promise<{ read: number; skipped: number }> {
  writeFileSync(file, bytes)
  const log = readSocketLog(file)
  let read = 0
  for await (const { topic, record } of log) {
    codecs[topic].encode(record as never)
    read++
  }
  await detectLog(file)
  assert.equal(log.counts.read, read)
  return { read, skipped: Object.values(log.counts.skipped).reduce((sum, count) => sum + count, 0) }
}

test(`no log makes the reader fail, hang or hand out an invalid record (seed ${SEED}, ${seconds} s)`, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-fuzz-'))
  const file = path.join(folder, 'log.jsonl')
  const random = createRandom(SEED)
  const total = { files: 0, read: 0, skipped: 0 }
  try {
    for (const until = performance.now() + seconds * 1000; performance.now() < until; total.files++) {
      const lines = Array.from({ length: 1 + random(20) }, () => mutate(`${corpus[random(corpus.length)]}\n`, random))
      let bytes = Buffer.concat(lines)
      if (random(4) === 0) {
        bytes = gzipSync(bytes)
        for (let edits = random(4); edits > 0; edits--) bytes[random(bytes.length)] = random(256)
        bytes = bytes.subarray(0, bytes.length - random(2) * random(bytes.length))
      }
      const { read, skipped } = await readFuzzed(file, bytes)
      total.read += read
      total.skipped += skipped
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  // Mutations that all fail, or all pass, would test nothing.
  assert.ok(total.read > 0 && total.skipped > 0, JSON.stringify(total))
})

const long = avro.Type.forSchema('long')
const sized = (bytes: Buffer): Buffer => Buffer.concat([long.toBuffer(bytes.length), bytes])
const sync = Buffer.alloc(16, 0x5a)
const topicsOfCorpus = ['hosts', 'socket-snapshots', 'socket-events'] as const
const avroSchema = JSON.stringify(topicsOfCorpus.map(topic => readSchema(topics[topic])))
/** The corpus as records of the union in `avroSchema`; the codecs fill in defaults, and their 5 bytes of header go. */
const avroCorpus = topicsOfCorpus.map((topic, i) =>
  Buffer.concat([long.toBuffer(i), codecs[topic].encode(JSON.parse(corpus[i]!)).subarray(5)]),
)
/** Counts and sizes that a decoder should not believe. */
const avroPieces = [-1, 0, 1, 63, 64, 2 ** 20, 2 ** 31, -(2 ** 31), 2 ** 40, -(2 ** 52), 2 ** 52]
  .map(value => long.toBuffer(value))
  .concat(Buffer.alloc(10, 0xff), sync)

function mutateBytes(bytes: Buffer, random: (below: number) => number): Buffer {
  let mutated = bytes
  for (let edits = random(4); edits > 0; edits--) {
    const at = random(mutated.length + 1)
    const piece = random(2) === 0 ? avroPieces[random(avroPieces.length)]! : Buffer.of(random(256))
    mutated = Buffer.concat([mutated.subarray(0, at), piece, mutated.subarray(at + random(4))])
  }
  return mutated
}

/** A container file that is wrong in its schema, in the bodies of its records, in its framing, or in nothing. */
function makeContainer(random: (below: number) => number): Buffer {
  const isPacked = random(2) === 0
  const meta = {
    'avro.schema': random(6) === 0 ? mutate(avroSchema, random) : Buffer.from(avroSchema),
    'avro.codec': Buffer.from(isPacked ? 'deflate' : 'null'),
  }
  const entries = Object.entries(meta).flatMap(([key, value]) => [sized(Buffer.from(key)), sized(value)])
  const blocks = Array.from({ length: random(8) }, () => {
    const records = Array.from({ length: random(4) }, () => mutateBytes(avroCorpus[random(3)]!, random))
    const count = random(8) === 0 ? avroPieces[random(avroPieces.length)]! : long.toBuffer(records.length)
    const body = Buffer.concat(records)
    const block = Buffer.concat([count, sized(isPacked ? deflateRawSync(body) : body), sync])
    return random(4) === 0 ? mutateBytes(block, random) : block
  })
  const file = Buffer.concat([
    ...[Buffer.from('Obj\x01'), long.toBuffer(2), ...entries, long.toBuffer(0), sync],
    ...blocks,
  ])
  return random(4) === 0 ? file.subarray(0, random(file.length)) : file
}

test(`no Avro container makes the reader fail, hang or hand out an invalid record (seed ${SEED}, ${seconds} s)`, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-fuzz-'))
  const file = path.join(folder, 'log.avro')
  const random = createRandom(SEED)
  const total = { files: 0, read: 0, skipped: 0, slowestMs: 0 }
  try {
    for (const until = performance.now() + seconds * 1000; performance.now() < until; total.files++) {
      const bytes = makeContainer(random)
      const begin = performance.now()
      const { read, skipped } = await readFuzzed(file, random(8) === 0 ? gzipSync(bytes) : bytes)
      total.slowestMs = Math.max(total.slowestMs, performance.now() - begin)
      total.read += read
      total.skipped += skipped
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  assert.ok(total.read > 0 && total.skipped > 0, JSON.stringify(total))
  // Files of a few kilobytes: what takes seconds believes a count.
  assert.ok(total.slowestMs < 5000, JSON.stringify(total))
})
