import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { type OutgoingRecord, Spool, type SpoolOptions } from './spool.ts'
import { createLog, numbered, numberOf, temporaryFolder } from './spool-fixture.ts'

const mib = 1024 * 1024

const openSpool = (folder: string, more: Partial<SpoolOptions> = {}) =>
  Spool.open({ folder, maxBytes: mib, whenFull: 'refuse-newest', log: createLog(), ...more })

/** Reads and acknowledges all. */
async function takeAll(spool: Spool, chunkBytes = 4096): Promise<OutgoingRecord[]> {
  const all: OutgoingRecord[] = []
  while (!spool.isEmpty) {
    const { records, end } = await spool.read(chunkBytes)
    all.push(...records)
    await spool.acknowledge(end)
  }
  return all
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)
const numbersOf = (records: readonly OutgoingRecord[]) => records.map(numberOf)
const filesOf = (folder: string) => readdirSync(folder).sort()
const diskBytes = (folder: string) => filesOf(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)

test('what goes in comes out: topic, key, value, tombstone, order', async t => {
  const spool = await openSpool(temporaryFolder(t))
  const records: OutgoingRecord[] = [
    { topic: 'packets', key: 'büro', value: Buffer.from([0, 255]) },
    { topic: 'hosts', key: '', value: null },
    { topic: '', key: 'k', value: Buffer.alloc(0) },
    numbered(7, 200_000),
  ]
  assert.deepEqual(await spool.append(records), { taken: 4, end: 4 })
  const got = await takeAll(spool, 16)
  assert.deepEqual(
    got.map(({ value, ...rest }) => ({ ...rest, value: value && Buffer.from(value) })),
    records,
  )
  await spool.close()
})

test('what was not acknowledged comes again in the next run, and goes before what that appends', async t => {
  const folder = temporaryFolder(t)
  const first = await openSpool(folder, { maxBytes: 16 * 1024 })
  for (const i of range(0, 100)) await first.append([numbered(i)])
  const chunk = await first.read(1500)
  await first.acknowledge(chunk.end)
  await first.close()
  const again = await openSpool(folder, { maxBytes: 16 * 1024 })
  await again.append(range(100, 110).map(i => numbered(i)))
  const numbers = numbersOf(await takeAll(again))
  assert.ok(numbers[0]! > 0 && numbers[0]! <= chunk.end, `begins with ${numbers[0]}, acknowledged up to ${chunk.end}`)
  assert.deepEqual(numbers, range(numbers[0]!, 110))
  assert.deepEqual(filesOf(folder), [])
  await again.close()
})

test('records are acknowledged by their number, also those that were never read', async t => {
  const spool = await openSpool(temporaryFolder(t), { maxBytes: 16 * 1024 })
  const { end } = await spool.append(range(0, 100).map(i => numbered(i)))
  assert.equal(end, 100)
  await spool.acknowledge(37)
  assert.deepEqual(numbersOf(await takeAll(spool, 300)), range(37, 100))
  await spool.close()
})

test('a full spool refuses the newest, and takes records again when there is room', async t => {
  const folder = temporaryFolder(t)
  const spool = await openSpool(folder, { maxBytes: 32 * 1024 })
  const { taken } = await spool.append(range(0, 1000).map(i => numbered(i, 100)))
  assert.ok(taken > 200 && taken < 300, String(taken))
  assert.equal(spool.refusal, 'spool-full')
  assert.equal((await spool.append([numbered(taken, 100)])).taken, 0)
  assert.ok(diskBytes(folder) <= 32 * 1024)
  const chunk = await spool.read(8 * 1024)
  await spool.acknowledge(chunk.end)
  assert.equal((await spool.append([numbered(taken, 100)])).taken, 1)
  assert.equal(spool.refusal, null)
  assert.deepEqual(numbersOf(await takeAll(spool)), range(chunk.end, taken + 1))
  assert.deepEqual(spool.statistics, { records: 0, bytes: 0, dropped: {} })
  await spool.close()
})

test('a full spool drops whole segments, the oldest first, and counts their records', async t => {
  const folder = temporaryFolder(t)
  const spool = await openSpool(folder, { maxBytes: 32 * 1024, whenFull: 'drop-oldest' })
  for (const i of range(0, 1000)) assert.equal((await spool.append([numbered(i, 100)])).taken, 1)
  assert.ok(diskBytes(folder) <= 32 * 1024 && diskBytes(folder) > 28 * 1024)
  const { dropped, records } = spool.statistics
  assert.deepEqual(numbersOf(await takeAll(spool)), range(dropped['spool-full']!, 1000))
  assert.equal(dropped['spool-full']! + records, 1000)
  await spool.close()
})

test('the segment that is being read may be dropped meanwhile', async t => {
  const spool = await openSpool(temporaryFolder(t), { maxBytes: 32 * 1024, whenFull: 'drop-oldest' })
  await spool.append(range(0, 100).map(i => numbered(i, 100)))
  const chunk = await spool.read(500)
  await spool.append(range(100, 500).map(i => numbered(i, 100)))
  await spool.acknowledge(chunk.end)
  const numbers = numbersOf(await takeAll(spool))
  assert.deepEqual(numbers, range(numbers[0]!, 500))
  await spool.close()
})

test('a spool is one process’s at a time, by whatever path it is named', async t => {
  const folder = join(temporaryFolder(t), 'made')
  const spool = await openSpool(folder)
  symlinkSync(folder, `${folder}-link`)
  for (const path of [folder, `${folder}-link`]) await assert.rejects(openSpool(path), { code: 'PROCLABEL_SPOOL' })
  await spool.close()
  await (await openSpool(folder)).close()
})

test('a damaged segment is given up from the damage on, and counted', async t => {
  const folder = temporaryFolder(t)
  const spool = await openSpool(folder, { maxBytes: 16 * 1024 })
  await spool.append(range(0, 100).map(i => numbered(i)))
  await spool.close()
  const file = join(folder, filesOf(folder)[1]!)
  const bytes = readFileSync(file)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(file, bytes)
  const log = createLog()
  const again = await openSpool(folder, { log })
  const numbers = numbersOf(await takeAll(again))
  assert.deepEqual(
    numbers,
    [...new Set(numbers)].sort((a, b) => a - b),
  )
  assert.ok(numbers.length > 80 && numbers.length < 100 && numbers.at(-1) === 99)
  assert.deepEqual(again.statistics.dropped, { torn: 1 })
  await again.close()
})

test('property: whatever is appended, read and cut off by a kill, whole records come back in order', async t => {
  const command = fc.oneof(
    { weight: 4, arbitrary: fc.record({ append: fc.array(fc.integer({ min: 8, max: 900 }), { maxLength: 12 }) }) },
    { weight: 3, arbitrary: fc.record({ read: fc.integer({ min: 1, max: 4000 }), isKept: fc.boolean() }) },
    { weight: 2, arbitrary: fc.record({ kill: fc.integer({ min: 0, max: 300 }) }) },
  )
  const run = async (commands: (typeof command extends fc.Arbitrary<infer C> ? C : never)[]) => {
    let folder = temporaryFolder(t)
    let spool = await openSpool(folder, { maxBytes: 64 * 1024 })
    let next = 0
    /** Numbers that must come next, in this order. */
    let waiting: number[] = []
    for (const one of commands) {
      if ('append' in one) {
        const records = one.append.map((bytes, i) => numbered(next + i, bytes))
        const { taken } = await spool.append(records)
        waiting.push(...range(next, next + taken))
        next += records.length
      } else if ('read' in one) {
        const { records, end } = await spool.read(one.read)
        assert.deepEqual(numbersOf(records), waiting.slice(0, records.length))
        assert.equal(records.length === 0, waiting.length === 0)
        if (!one.isKept) continue
        await spool.acknowledge(end)
        waiting = waiting.slice(records.length)
      } else {
        // The files as a kill leaves them: whole, or with the end of the last one missing.
        const left = temporaryFolder(t)
        cpSync(folder, left, { recursive: true })
        await spool.close()
        const last = filesOf(left).at(-1)
        if (last) truncateSync(join(left, last), Math.max(0, statSync(join(left, last)).size - one.kill))
        folder = left
        spool = await openSpool(folder, { maxBytes: 64 * 1024 })
        const lost = one.kill
        const numbers = numbersOf((await peekAll(folder)) ?? [])
        const known = waiting.filter(number => numbers.includes(number))
        assert.deepEqual(known, waiting.slice(0, known.length), 'only the end may be missing')
        if (lost === 0) assert.deepEqual(known, waiting)
        assert.deepEqual(numbers.slice(numbers.length - known.length), known, 'what comes again comes before')
        waiting = numbers
      }
    }
    assert.deepEqual(numbersOf(await takeAll(spool, 700)), waiting)
    assert.deepEqual(filesOf(folder), [])
    await spool.close()
  }
  await fc.assert(fc.asyncProperty(fc.array(command, { maxLength: 25 }), run), { numRuns: 60 })

  /** What a copy of the folder holds. */
  async function peekAll(folder: string): Promise<OutgoingRecord[]> {
    const copy = temporaryFolder(t)
    cpSync(folder, copy, { recursive: true })
    const spool = await openSpool(copy, { maxBytes: 64 * 1024 })
    const all = await takeAll(spool)
    await spool.close()
    return all
  }
})

test('kill -9 at any instant: every record whose append was answered is there, once, in order', async t => {
  const module = fileURLToPath(new URL('spool.ts', import.meta.url))
  const fixture = fileURLToPath(new URL('spool-fixture.ts', import.meta.url))
  const program = `
    import { Spool } from ${JSON.stringify(module)}
    import { createLog, numbered } from ${JSON.stringify(fixture)}
    const spool = await Spool.open({ folder: process.argv[1], maxBytes: 1e9, whenFull: 'refuse-newest', log: createLog() })
    for (let i = 0; ; i += 7) {
      await spool.append(Array.from({ length: 7 }, (_, k) => numbered(i + k, 5000)))
      process.stdout.write(i + 6 + '\\n')
    }`
  for (const waitMs of [0, 1, 5, 20, 50, 100]) {
    const folder = temporaryFolder(t)
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program, folder])
    let said = ''
    child.stdout.on('data', bytes => {
      said += bytes
    })
    await once(child.stdout, 'data')
    await new Promise(resolve => setTimeout(resolve, waitMs))
    child.kill('SIGKILL')
    await once(child, 'close')
    const answered = Number(said.trimEnd().split('\n').at(-1))
    const spool = await openSpool(folder, { maxBytes: 1e9 })
    const numbers = numbersOf(await takeAll(spool, mib))
    assert.ok(numbers.length > answered, `${numbers.length} records, ${answered} was answered`)
    assert.deepEqual(numbers, range(0, numbers.length))
    await spool.close()
  }
})

/** A disk of 128 KiB of its own, or null where this test may not mount one. */
function mountSmallDisk(t: TestContext): string | null {
  if (process.getuid?.() !== 0) return null
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', folder])
  t.after(() => {
    execFileSync('umount', [folder])
    rmdirSync(folder)
  })
  return folder
}

test('a full disk refuses, tells once, loses nothing that was taken, and takes again when there is room', async t => {
  const folder = mountSmallDisk(t)
  if (!folder) return t.skip('needs root, to mount a small disk')
  const log = createLog()
  const spool = await openSpool(join(folder, 'spool'), { log, maxBytes: 16 * mib })
  writeFileSync(join(folder, 'other'), Buffer.alloc(50_000))
  let next = 0
  for (let refused = 0; refused < 3; ) {
    const { taken } = await spool.append([numbered(next, 3000)])
    next += taken
    if (taken === 0) refused++
  }
  assert.ok(next > 5)
  assert.equal(spool.refusal, 'disk-full')
  assert.equal(log.lines.length, 1)
  assert.match(log.lines[0]!, /cannot be written.*ENOSPC/s)
  rmSync(join(folder, 'other'))
  assert.equal((await spool.append([numbered(next, 3000)])).taken, 0, 'not tried again at once')
  await new Promise(resolve => setTimeout(resolve, 1010))
  assert.equal((await spool.append([numbered(next, 3000)])).taken, 1)
  assert.match(log.lines[1]!, /can be written again/)
  assert.deepEqual(numbersOf(await takeAll(spool)), range(0, next + 1))
  await spool.close()
})

test('on a full disk the oldest make room where they may, and are counted; the newest are there', async t => {
  const folder = mountSmallDisk(t)
  if (!folder) return t.skip('needs root, to mount a small disk')
  const log = createLog()
  const spool = await openSpool(join(folder, 'spool'), { log, maxBytes: 256 * 1024, whenFull: 'drop-oldest' })
  writeFileSync(join(folder, 'other'), Buffer.alloc(50_000))
  await spool.append(range(0, 5).map(i => numbered(i, 3000)))
  const chunk = await spool.read(5000)
  for (const i of range(5, 200)) assert.equal((await spool.append([numbered(i, 3000)])).taken, 1, String(i))
  assert.equal(spool.refusal, null)
  await spool.acknowledge(chunk.end)
  const { dropped, records } = spool.statistics
  assert.ok(records > 10, `${records}`)
  assert.deepEqual(dropped, { 'disk-full': 200 - records })
  assert.deepEqual(numbersOf(await takeAll(spool)), range(200 - records, 200))
  assert.deepEqual(log.lines, [])
  await spool.close()
})

test('a folder that cannot be made or written is told once and never thrown', async t => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'file'), '')
  const log = createLog()
  const spool = await openSpool(join(folder, 'file', 'spool'), { log })
  assert.deepEqual(await spool.append([numbered(0)]), { taken: 0, end: 0 })
  assert.deepEqual((await spool.read(1000)).records, [])
  assert.equal(log.lines.length, 1)
  await spool.close()

  const disk = mountSmallDisk(t)
  if (!disk) return t.diagnostic('read-only disk not tried: needs root')
  mkdirSync(join(disk, 'spool'))
  execFileSync('mount', ['-o', 'remount,ro', disk])
  const second = createLog()
  const readOnly = await openSpool(join(disk, 'spool'), { log: second })
  assert.equal((await readOnly.append([numbered(0)])).taken, 0)
  assert.match(second.lines.join(), /EROFS/)
  await readOnly.close()
})
