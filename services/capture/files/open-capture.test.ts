import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { constants, gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { InputError } from '../../shared/errors.ts'
import { openCapture } from './open-capture.ts'
import { pcapHeader, pcapRecord } from './write-pcap.ts'

const folder = mkdtempSync(join(tmpdir(), 'proclabel-capture-'))
after(() => rmSync(folder, { recursive: true }))

interface Frame {
  timeUs: number
  bytes: number[]
  wireLength: number
  linkType: number
}

async function readAll(file: Uint8Array) {
  const path = join(folder, 'input')
  writeFileSync(path, file)
  const source = await openCapture(path)
  const frames: Frame[] = []
  for await (const block of source.blocks()) {
    for (let i = 0; i < block.count; i++) {
      frames.push({
        timeUs: block.timeUs[i]!,
        bytes: [...block.data.subarray(block.offset[i]!, block.offset[i]! + block.captured[i]!)],
        wireLength: block.wireLength[i]!,
        linkType: block.linkType[i]!,
      })
    }
  }
  await source.close()
  return { frames, statistics: source.statistics() }
}

/** Numbers in one byte order, by hand. */
function writer(littleEndian: boolean) {
  const number = (size: 2 | 4) => (value: number) => {
    const view = new DataView(new ArrayBuffer(size))
    if (size === 2) view.setUint16(0, value, littleEndian)
    else view.setUint32(0, value, littleEndian)
    return new Uint8Array(view.buffer)
  }
  return { u16: number(2), u32: number(4) }
}

function pcap(littleEndian: boolean, magic: number, records: Uint8Array[], version: [number, number] = [2, 4]) {
  const { u16, u32 } = writer(littleEndian)
  return Buffer.concat([u32(magic), u16(version[0]), u16(version[1]), u32(0), u32(0), u32(65535), u32(1), ...records])
}

function pcapng(littleEndian: boolean) {
  const { u16, u32 } = writer(littleEndian)
  const block = (type: number, ...body: Uint8Array[]) => {
    const content = Buffer.concat(body)
    const padded = Buffer.concat([content, Buffer.alloc(-content.length & 3)])
    return Buffer.concat([u32(type), u32(padded.length + 12), padded, u32(padded.length + 12)])
  }
  const option = (code: number, value: Uint8Array) => [
    u16(code),
    u16(value.length),
    value,
    Buffer.alloc(-value.length & 3),
  ]
  return {
    block,
    option,
    section: block(0x0a0d0d0a, u32(0x1a2b3c4d), u16(1), u16(0), u32(0xffffffff), u32(0xffffffff)),
    interface: (linkType: number, ...options: Uint8Array[]) => block(1, u16(linkType), u16(0), u32(4), ...options),
    enhanced: (
      index: number,
      ticks: bigint,
      data: number[],
      wireLength = data.length,
      ...options: readonly Uint8Array[]
    ) => {
      const time = [u32(Number(ticks >> 32n)), u32(Number(ticks & 0xffffffffn))]
      const padded = Buffer.concat([Uint8Array.from(data), Buffer.alloc(options.length > 0 ? -data.length & 3 : 0)])
      return block(6, u32(index), ...time, u32(data.length), u32(wireLength), padded, ...options)
    },
    old: (index: number, ticks: number, data: number[]) =>
      block(2, u16(index), u16(0), u32(0), u32(ticks), u32(data.length), u32(data.length), Uint8Array.from(data)),
    simple: (wireLength: number, data: number[]) => block(3, u32(wireLength), Uint8Array.from(data)),
  }
}

for (const littleEndian of [true, false]) {
  const order = littleEndian ? 'little-endian' : 'big-endian'
  const { u16, u32 } = writer(littleEndian)

  test(`pcap, ${order}: microseconds, nanoseconds rounded down, and the modified format`, async () => {
    const record = [u32(10), u32(1999), u32(2), u32(60)]
    const data = Uint8Array.of(7, 8)
    const frame = { bytes: [7, 8], wireLength: 60, linkType: 1 }
    const micro = await readAll(pcap(littleEndian, 0xa1b2c3d4, [...record, data]))
    assert.deepEqual(micro.frames, [{ ...frame, timeUs: 10_001_999 }])
    const nano = await readAll(pcap(littleEndian, 0xa1b23c4d, [...record, data]))
    assert.deepEqual(nano.frames, [{ ...frame, timeUs: 10_000_001 }])
    const extra = [u32(3), u16(8), Uint8Array.of(0, 0)]
    const modified = await readAll(
      pcap(littleEndian, 0xa1b2cd34, [...record, ...extra, data, ...record, ...extra, data]),
    )
    assert.deepEqual(modified.frames, Array(2).fill({ ...frame, timeUs: 10_001_999 }))
  })

  test(`pcapng, ${order}: interfaces with their own link types and clocks, all packet blocks, unknown blocks`, async () => {
    const { section, interface: iface, enhanced, old, simple, block, option } = pcapng(littleEndian)
    const offset = Buffer.concat(littleEndian ? [u32(100), u32(0)] : [u32(0), u32(100)])
    const file = Buffer.concat([
      section,
      iface(1),
      iface(101, ...option(9, Uint8Array.of(9)), ...option(14, offset)),
      iface(
        113,
        ...option(2, Buffer.from('name')),
        ...option(9, Uint8Array.of(0x80 | 10)),
        ...option(0, Buffer.alloc(0)),
      ),
      enhanced(0, 1_700_000_000_000_001n, [1]),
      block(0xbad, Buffer.alloc(3_000_000)),
      enhanced(1, 1_700_000_000_000_001_999n, [2, 3], 9),
      enhanced(2, 2047n, [4]),
      old(2, 1024, [5, 6, 7, 8, 9]),
      simple(6, [1, 2, 3, 4]),
    ])
    const { frames, statistics } = await readAll(file)
    assert.deepEqual(frames, [
      { timeUs: 1_700_000_000_000_001, bytes: [1], wireLength: 1, linkType: 1 },
      { timeUs: 1_700_000_100_000_001, bytes: [2, 3], wireLength: 9, linkType: 101 },
      { timeUs: 1_999_023, bytes: [4], wireLength: 1, linkType: 113 },
      { timeUs: 1_000_000, bytes: [5, 6, 7, 8, 9], wireLength: 5, linkType: 113 },
      { timeUs: 0, bytes: [1, 2, 3, 4], wireLength: 6, linkType: 1 },
    ])
    assert.deepEqual(statistics, { read: 5, skipped: {}, dropped: null, bytesRead: file.length })
  })
}

test('pcapng: a drop count parts the blocks, and is known when the block behind the loss is', async () => {
  const { section, interface: iface, enhanced, option } = pcapng(true)
  const lost = (count: number) => option(4, Buffer.from(BigInt64Array.of(BigInt(count)).buffer))
  const comment = option(1, Buffer.from('why'))
  const path = join(folder, 'drops')
  writeFileSync(
    path,
    Buffer.concat([
      ...[section, iface(1), enhanced(0, 1n, [1]), enhanced(0, 2n, [2], 1, ...comment)],
      ...[enhanced(0, 3n, [3], 1, ...comment, ...lost(5)), enhanced(0, 4n, [4], 1, ...lost(0))],
      enhanced(0, 5n, [5], 1, ...lost(2)),
    ]),
  )
  const source = await openCapture(path)
  const told: [times: number[], dropped: number | null][] = []
  for await (const { timeUs, count } of source.blocks()) {
    told.push([[...timeUs.subarray(0, count)], source.statistics().dropped])
  }
  await source.close()
  assert.deepEqual(told, [
    [[1, 2], null],
    [[3, 4], 5],
    [[5], 7],
  ])
  assert.deepEqual(source.statistics().skipped, {})
})

test('pcapng: a section of the other byte order has interfaces of its own', async () => {
  const [little, big] = [pcapng(true), pcapng(false)]
  const { frames, statistics } = await readAll(
    Buffer.concat([
      ...[little.section, little.interface(1), little.enhanced(0, 5n, [1])],
      ...[big.section, big.enhanced(0, 6n, [2]), big.interface(101), big.enhanced(0, 7n, [3])],
    ]),
  )
  assert.deepEqual(
    frames.map(frame => [frame.timeUs, frame.linkType]),
    [
      [5, 1],
      [7, 101],
    ],
  )
  assert.deepEqual(statistics.skipped, { 'unknown-interface': 1 })
})

test('old pcap versions swap captured and wire length', async () => {
  const { u32 } = writer(true)
  const record = [u32(1), u32(0), u32(60), u32(1), Uint8Array.of(9)]
  const frame = { timeUs: 1_000_000, bytes: [9], wireLength: 60, linkType: 1 }
  assert.deepEqual((await readAll(pcap(true, 0xa1b2c3d4, record, [2, 2]))).frames, [frame])
  assert.deepEqual((await readAll(pcap(true, 0xa1b2c3d4, record, [2, 3]))).frames, [frame])
})

const arbitraryFrames = fc.array(
  fc.record({
    timeUs: fc.nat({ max: 4_294_967_295_999_999 }),
    bytes: fc.array(fc.nat(255), { maxLength: 300 }),
    cut: fc.nat(2000),
  }),
  { maxLength: 50 },
)

function written(frames: { timeUs: number; bytes: number[]; cut: number }[], linkType: number): Uint8Array {
  const records = frames.map(({ timeUs, bytes, cut }) => pcapRecord(timeUs, Uint8Array.from(bytes), bytes.length + cut))
  return Buffer.concat([pcapHeader(linkType), ...records])
}

test('what is written is read again, plain and gzip', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryFrames, fc.boolean(), async (frames, compressed) => {
      const file = written(frames, 113)
      const { frames: got, statistics } = await readAll(compressed ? gzipSync(file) : file)
      const expected = frames.map(({ timeUs, bytes, cut }) => ({
        timeUs,
        bytes,
        wireLength: bytes.length + cut,
        linkType: 113,
      }))
      assert.deepEqual(got, expected)
      assert.deepEqual(statistics.skipped, {})
    }),
    { numRuns: 50 },
  )
})

test('a file cut anywhere yields every whole record and counts the cut one', async () => {
  await fc.assert(
    fc.asyncProperty(arbitraryFrames, fc.double({ min: 0, max: 1, noNaN: true }), async (frames, share) => {
      const file = written(frames, 1)
      const cut = 24 + Math.floor((file.length - 24) * share)
      let whole = 0
      let end = 24
      for (const { bytes } of frames) {
        if (end + 16 + bytes.length > cut) break
        end += 16 + bytes.length
        whole++
      }
      const { frames: got, statistics } = await readAll(file.subarray(0, cut))
      assert.equal(got.length, whole)
      assert.deepEqual(statistics.skipped, cut > end ? { 'truncated-record': 1 } : {})
    }),
    { numRuns: 100 },
  )
})

test('many blocks: frames that straddle the reads, in a file larger than the buffer', async () => {
  const data = new Uint8Array(1400).map((_, i) => i)
  const records = Array.from({ length: 2500 }, (_, i) => pcapRecord(i, data.subarray(0, 500 + (i % 900))))
  const { frames, statistics } = await readAll(Buffer.concat([pcapHeader(1), ...records]))
  assert.equal(statistics.read, 2500)
  frames.forEach((frame, i) => {
    assert.equal(frame.timeUs, i)
    assert.deepEqual(frame.bytes, [...data.subarray(0, 500 + (i % 900))])
  })
})

test('hostile lengths are counted and cost nothing', async () => {
  const { u32 } = writer(true)
  const good = pcapRecord(1, Uint8Array.of(1))
  const huge = Buffer.concat([u32(1), u32(0), u32(0x7fffffff), u32(0x7fffffff)])
  const broken = await readAll(Buffer.concat([pcapHeader(1), good, huge, good]))
  assert.deepEqual([broken.frames.length, broken.statistics.skipped], [1, { 'bad-length': 1 }])

  const { section, interface: iface, enhanced, block } = pcapng(true)
  const start = [section, iface(1), enhanced(0, 1n, [1])]
  const claims = block(6, u32(0), u32(0), u32(1), u32(5000), u32(5000), Uint8Array.of(1))
  const inside = await readAll(Buffer.concat([...start, claims, enhanced(0, 2n, [2])]))
  assert.deepEqual([inside.frames.length, inside.statistics.skipped], [2, { 'bad-length': 1 }])
  const zero = await readAll(Buffer.concat([...start, u32(6), u32(0), u32(0), u32(0)]))
  assert.deepEqual([zero.frames.length, zero.statistics.skipped], [1, { 'bad-length': 1 }])
  const endless = await readAll(Buffer.concat([...start, u32(0xbad), u32(0xfffffffc), Buffer.alloc(100)]))
  assert.deepEqual([endless.frames.length, endless.statistics.skipped], [1, { 'truncated-record': 1 }])
})

test('a damaged gzip stream yields what is in front of the damage', async () => {
  const noise = (i: number) => Uint8Array.from({ length: 400 }, (_, k) => Math.imul(i * 400 + k + 1, 0x9e3779b1) >>> 24)
  const file = gzipSync(
    Buffer.concat([pcapHeader(1), ...Array.from({ length: 500 }, (_, i) => pcapRecord(i, noise(i)))]),
  )
  const half = file.subarray(0, file.length / 2)
  const inflatable = gunzipSync(half, { finishFlush: constants.Z_SYNC_FLUSH }).length
  const cut = await readAll(half)
  assert.equal(cut.frames.length, Math.floor((inflatable - 24) / 416))
  assert.deepEqual(cut.statistics.skipped, { 'truncated-gzip': 1 })
  const checksum = Buffer.from(file)
  checksum[file.length - 6]! ^= 1
  const wrong = await readAll(checksum)
  assert.equal(wrong.frames.length, 500)
  assert.deepEqual(wrong.statistics.skipped, { 'corrupt-gzip': 1 })
})

test('what is no capture is refused in one sentence with a code', async () => {
  const refuses = async (path: string, code: string, message: RegExp) => {
    await assert.rejects(openCapture(path), (error: unknown) => {
      assert.ok(error instanceof InputError)
      assert.equal(error.code, code)
      assert.match(error.message, message)
      return true
    })
  }
  const put = (name: string, content: Uint8Array | string) => {
    writeFileSync(join(folder, name), content)
    return join(folder, name)
  }
  await refuses(join(folder, 'absent'), 'PROCLABEL_CAPTURE_NOT_FOUND', /does not exist$/)
  await refuses(folder, 'PROCLABEL_CAPTURE_DIRECTORY', /is a directory/)
  await refuses(put('empty', ''), 'PROCLABEL_CAPTURE_EMPTY', /is empty$/)
  await refuses(put('text', 'hello, this is no capture at all\n'), 'PROCLABEL_CAPTURE_FORMAT', /not a pcap or pcapng/)
  await refuses(put('short', pcapHeader(1).subarray(0, 20)), 'PROCLABEL_CAPTURE_FORMAT', /not a pcap or pcapng/)
  await refuses(put('gz', gzipSync('hello')), 'PROCLABEL_CAPTURE_FORMAT', /not a pcap or pcapng/)
})

test('standard input is read like a file', () => {
  const code = `
    const { openCapture } = await import(${JSON.stringify(new URL('./open-capture.ts', import.meta.url).href)})
    const source = await openCapture('-')
    for await (const block of source.blocks()) {}
    console.log(JSON.stringify(source.statistics()))`
  const file = Buffer.concat([
    pcapHeader(1),
    ...Array.from({ length: 3000 }, (_, i) => pcapRecord(i, new Uint8Array(60))),
  ])
  for (const input of [file, gzipSync(file)]) {
    const run = spawnSync(process.execPath, ['--input-type=module', '-e', code], { input })
    assert.equal(run.stderr.toString(), '')
    const expected = { read: 3000, skipped: {}, dropped: null, bytesRead: input.length }
    assert.deepEqual(JSON.parse(run.stdout.toString()), expected)
  }
})

test('reading stops when the signal aborts', async () => {
  const path = join(folder, 'long')
  const record = pcapRecord(1, new Uint8Array(60))
  writeFileSync(path, Buffer.concat([pcapHeader(1), ...new Array(20_000).fill(record)]))
  const source = await openCapture(path)
  const abort = new AbortController()
  let blocks = 0
  for await (const _ of source.blocks(abort.signal)) {
    blocks++
    abort.abort()
  }
  await source.close()
  assert.equal(blocks, 1)
  assert.ok(source.statistics().read < 20_000)
})
