import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { codecs } from '#schemas'
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
      writeFileSync(file, bytes)
      const log = readSocketLog(file)
      let read = 0
      for await (const { topic, record } of log) {
        codecs[topic].encode(record as never)
        read++
      }
      await detectLog(file)
      assert.equal(log.counts.read, read)
      total.read += read
      total.skipped += Object.values(log.counts.skipped).reduce((sum, count) => sum + count, 0)
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  // Mutations that all fail, or all pass, would test nothing.
  assert.ok(total.read > 0 && total.skipped > 0, JSON.stringify(total))
})
