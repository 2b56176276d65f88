import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { udp } from '#core/decode/build-frame.ts'
import { InputError } from '#shared/errors.ts'
import { at, block, desk, directory, type Frame, frame, host, laptop, web } from '../capture-fixture.ts'
import { createCapture } from '../create-capture.ts'
import { openCapture } from '../files/open-capture.ts'
import { pcapHeader, pcapRecord } from '../files/write-pcap.ts'
import type { FrameChunk } from '../host-frames.ts'
import { compressions, HostFiles, type HostFilesOptions } from './host-files.ts'

const quiet = { info: () => {}, warn: () => {} }
/** Minutes of capture time begin here: `at(0)` is 20 s into one. */
const minute = (n: number) => at(-20_000 + n * 60_000)
const name = (n: number) => `${new Date(minute(n) / 1000).toISOString().slice(0, 16).replace(':', '-')}Z.pcap`

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-files-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

const open = (folder: string, more: Partial<HostFilesOptions> = {}) =>
  HostFiles.open({ folder, compression: 'none', maxBytes: 1e9, maxAgeUs: null, log: quiet, ...more })

/** A chunk of one packet whose frame has so many bytes. */
const chunk = (hostId: string, n: number, frameBytes = 100): FrameChunk => ({
  hostId,
  linkType: 1,
  minuteUs: minute(n),
  packets: 1,
  records: pcapRecord(minute(n) + 5, new Uint8Array(frameBytes).fill(n)),
})

const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(basename(entry.parentPath), entry.name))
    .sort()

async function framesOf(path: string) {
  const source = await openCapture(path)
  const frames: { timeUs: number; wireLength: number; data: Buffer }[] = []
  for await (const { count, data, offset, captured, wireLength, timeUs } of source.blocks())
    for (let i = 0; i < count; i++)
      frames.push({
        timeUs: timeUs[i]!,
        wireLength: wireLength[i]!,
        data: Buffer.from(data.subarray(offset[i]!, offset[i]! + captured[i]!)),
      })
  await source.close()
  return { frames, skipped: source.statistics().skipped }
}

for (const compression of compressions)
  test(`each host has its frames of each minute in a file of its own: ${compression}`, async t => {
    const folder = temporary(t)
    const hosts = directory(host('desk', desk), host('lap/top', laptop))
    const snapLength = 60
    const capture = createCapture({ sensorId: 's', runId: 'r', hosts, keepUnmonitored: false, snapLength })
    const files = await open(folder, { compression })
    const packet = (ms: number, from: string, to: string) => frame(ms, from, to, 17, udp(1, 2, new Uint8Array(ms % 90)))
    const frames = Array.from({ length: 300 }, (_, i): Frame => {
      const [from, to] = [
        [desk, web],
        [web, desk],
        [laptop, desk],
        [web, '10.9.9.9'],
      ][i % 4] as [string, string]
      return packet(i * 500, from, to)
    })
    for (let i = 0; i < frames.length; i += 7) {
      capture.add(block(...frames.slice(i, i + 7)))
      files.write(capture.takeFrames(), capture.nowUs)
    }
    capture.flush()
    files.write(capture.takeFrames(), capture.nowUs)
    await files.close()

    const suffix = { none: '', gzip: '.gz', zstd: '.zst' }[compression]
    const expected = new Map<string, { timeUs: number; wireLength: number; data: Buffer }[]>()
    for (const [i, { ms, data }] of frames.entries())
      for (const hostId of [['desk'], ['desk'], ['desk', 'lap%2Ftop'], []][i % 4]!) {
        const file = `${hostId}/${name(Math.floor((ms + 20_000) / 60_000))}${suffix}`
        const kept = { timeUs: at(ms), wireLength: data.length, data: Buffer.from(data.subarray(0, snapLength)) }
        expected.set(file, [...(expected.get(file) ?? []), kept])
      }
    assert.deepEqual(filesIn(folder), [...expected.keys()].sort())
    assert.equal(expected.size, 6)
    for (const [file, wanted] of expected)
      assert.deepEqual(await framesOf(join(folder, file)), { frames: wanted, skipped: {} }, file)
    assert.deepEqual(files.statistics, {
      written: 300,
      dropped: { 'queue-full': 0, quota: 0, 'disk-error': 0 },
      bytes: filesIn(folder).reduce((sum, file) => sum + statSync(join(folder, file)).size, 0),
    })
  })

test('a file has its name only when its minute is over for ten seconds; what comes later gets a file of its own', async t => {
  const folder = temporary(t)
  const files = await open(folder)
  // Large enough to be written at once.
  files.write([chunk('desk', 1, 600_000)], minute(1))
  const until = async (wanted: string[]) => {
    for (let i = 0; i < 500 && String(filesIn(folder)) !== String(wanted); i++)
      await new Promise(resolve => setTimeout(resolve, 10))
    assert.deepEqual(filesIn(folder), wanted)
  }
  await until([`desk/${name(1)}.part`])
  files.write([chunk('desk', 2, 600_000)], minute(2) + 9_000_000)
  await until([`desk/${name(1)}.part`, `desk/${name(2)}.part`])
  files.write([chunk('lab', 2)], minute(2) + 10_000_000)
  await until([`desk/${name(1)}`, `desk/${name(2)}.part`])
  files.write([chunk('desk', 1)], minute(2) + 11_000_000)
  await files.close()
  const second = name(1).replace('.pcap', '-2.pcap')
  assert.deepEqual(filesIn(folder), [`desk/${second}`, `desk/${name(1)}`, `desk/${name(2)}`, `lab/${name(2)}`].sort())
  assert.equal((await framesOf(join(folder, 'desk', second))).frames.length, 1)
})

test('what a killed run left is finished by the next; a copy that was being compressed is not a second file', async t => {
  const folder = temporary(t)
  mkdirSync(join(folder, 'desk'))
  const left = Buffer.concat([pcapHeader(1), pcapRecord(minute(1), new Uint8Array(60))])
  const write = (file: string) => writeFileSync(join(folder, 'desk', file), left)
  for (const file of [`${name(1)}.part`, `${name(1)}.zst.part`, `${name(2)}.gz`, `${name(2)}.part`, 'notes.part'])
    write(file)
  const files = await open(folder)
  assert.deepEqual(filesIn(folder), [`desk/${name(1)}`, `desk/${name(2)}.gz`, 'desk/notes.part'])
  files.write([chunk('desk', 1)], minute(1))
  await files.close()
  assert.equal((await framesOf(join(folder, 'desk', name(1)))).frames.length, 1)
  assert.equal((await framesOf(join(folder, 'desk', name(1).replace('.pcap', '-2.pcap')))).frames.length, 1)
})

test('the oldest minutes go, with the files of all hosts, when the size or the age is beyond what is allowed', async t => {
  const folder = temporary(t)
  const fill = async (more: Partial<HostFilesOptions>, ...minutes: number[]) => {
    const files = await open(folder, more)
    for (const n of minutes) files.write([chunk('desk', n, 10_000), chunk('lab', n, 10_000)], minute(n))
    await files.close()
    return files.statistics
  }
  const both = (...minutes: number[]) => minutes.flatMap(n => [`desk/${name(n)}`, `lab/${name(n)}`]).sort()
  await fill({}, 1, 2, 3)
  assert.deepEqual(filesIn(folder), both(1, 2, 3))
  const { bytes } = await fill({ maxBytes: 70_000 }, 4)
  assert.deepEqual(filesIn(folder), both(2, 3, 4))
  assert.ok(bytes <= 70_000)
  await fill({ maxAgeUs: 60_000_000 }, 5)
  assert.deepEqual(filesIn(folder), both(3, 4, 5))
})

test('packets that cannot be written are counted by reason, and the others are in their files', async t => {
  const folder = temporary(t)
  writeFileSync(join(folder, 'desk'), 'no folder')
  const files = await open(folder, { maxQueueBytes: 30_000 })
  files.write([chunk('desk', 1), chunk('lab', 1, 20_000), chunk('lab', 1, 20_000)], minute(1))
  await files.close()
  assert.deepEqual(files.statistics.dropped, { 'queue-full': 1, quota: 0, 'disk-error': 1 })
  assert.equal(files.statistics.written, 1)
  assert.equal((await framesOf(join(folder, 'lab', name(1)))).frames.length, 1)

  const small = await open(folder, { maxBytes: 50_000 })
  small.write([chunk('lab', 2, 30_000), chunk('lab', 2, 30_000)], minute(2))
  await small.close()
  assert.deepEqual([small.statistics.written, small.statistics.dropped.quota], [1, 1])
})

test('a folder that another process uses, or that cannot be one, is refused in a sentence', async t => {
  const folder = temporary(t)
  const file = join(folder, 'file')
  writeFileSync(file, '')
  await assert.rejects(open(file), {
    code: 'PROCLABEL_OUTPUT',
    message: `capture files cannot be kept in ${file}: EEXIST`,
  })
  rmSync(file)
  const files = await open(folder)
  await assert.rejects(open(folder), (error: unknown) => {
    assert.ok(error instanceof InputError)
    assert.match(error.message, /^the folder of capture files .* is used by another process: give each its own$/)
    return true
  })
  await files.close()
})
