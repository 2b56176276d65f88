import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ethernet, ipv4, tcp, udp } from '#core/decode/build-frame.ts'
import { codecs, type Host, type PacketBatch, partitionKey, readPacketColumns } from '#schemas'
import type { Bus, BusRecord, ConsumedRecord } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog, type Log } from '#shared/log.ts'
import { PrometheusMetrics } from '#shared/metrics.ts'
import { at, block, desk, type Frame, frame, host, laptop, web } from './capture-fixture.ts'
import { BLOCK_FRAMES, FrameColumns } from './files/frame-columns.ts'
import { type CaptureServiceOptions, runCaptureService } from './main.ts'
import { NetworksFile } from './networks-file.ts'
import { PacedSource } from './paced-source.ts'
import type { FrameBlock, PacketSource } from './packet-source.ts'

/** A source of these blocks; each is handed out when the one before was taken and `pauseMs` have passed. */
class ListedSource implements PacketSource {
  readonly isLive = true
  /** Frames lost, and before which block. */
  loses: { packets: number; before: FrameBlock } | null = null
  #lost = 0
  isClosed = false
  readonly #blocks: readonly FrameBlock[]
  readonly #pauseMs: number
  #read = 0

  constructor(blocks: readonly FrameBlock[], pauseMs = 0) {
    this.#blocks = blocks
    this.#pauseMs = pauseMs
  }

  async *blocks(signal?: AbortSignal) {
    for (const block of this.#blocks) {
      if (signal?.aborted) return
      if (this.loses?.before === block) this.#lost += this.loses.packets
      yield block
      this.#read += block.count
      await sleep(this.#pauseMs)
    }
  }
  statistics() {
    return { read: this.#read, skipped: {}, dropped: this.#lost, bytesRead: 0 }
  }
  async close() {
    this.isClosed = true
  }
}

/** SYNs to one host, each of a 5-tuple of its own. */
class Flood extends ListedSource {
  readonly #count: number
  readonly #atEnd: () => void
  readonly #residentBytes = process.memoryUsage.rss()
  grownBytes = 0

  constructor(count: number, atEnd: () => void) {
    super([])
    this.#count = count
    this.#atEnd = atEnd
  }

  override async *blocks() {
    const template = Buffer.from(ethernet(0x0800, ipv4(6, tcp(0, 443, [], 2), { to: [10, 0, 0, 1] })))
    const columns = new FrameColumns()
    columns.data = Buffer.concat(Array.from({ length: BLOCK_FRAMES }, () => template))
    const data = columns.data as Buffer
    for (let sent = 0; sent < this.#count; sent += columns.count) {
      columns.count = 0
      for (let i = sent; i < Math.min(sent + BLOCK_FRAMES, this.#count); i++) {
        const start = columns.count * template.length
        data.writeUInt32BE(0xc6000000 + (i >>> 14), start + 26)
        data.writeUInt16BE(1024 + (i & 0x3fff), start + 34)
        columns.add(at(i / 1000), start, template.length, template.length, 1)
      }
      yield columns
      this.grownBytes = Math.max(this.grownBytes, process.memoryUsage.rss() - this.#residentBytes)
      await sleep(0)
    }
    this.#atEnd()
  }
}

const packet = (ms: number, from: string, to: string): Frame =>
  frame(ms, from, to, 17, udp(4000, 5000, new Uint8Array(40)))

/** The in-process bus, whose publish may be made to fail. */
class TestBus implements Bus {
  readonly inner = new InProcessBus()
  isAway = false
  readonly batches: PacketBatch[] = []

  async publish(topic: string, records: readonly BusRecord[]) {
    if (this.isAway && topic === 'packets') throw new Error('away')
    if (topic !== 'packets') return this.inner.publish(topic, records)
    for (const { key, value } of records) {
      const batch = codecs.packets.decode(value!)
      assert.equal(key, partitionKey(batch.host_id))
      this.batches.push(batch)
    }
  }
  readonly #subscribed = Promise.withResolvers<void>()
  readonly isFollowed = this.#subscribed.promise
  subscribe(...all: Parameters<Bus['subscribe']>) {
    this.#subscribed.resolve()
    return this.inner.subscribe(...all)
  }
  reader(group: string) {
    return this.inner.reader(group)
  }
  close() {
    return this.inner.close()
  }
  /** This bus keeps nothing for groups that come later. */
  async tell(told: Host) {
    await this.isFollowed
    await this.inner.publish('hosts', [{ key: told.host_id, value: codecs.hosts.encode(told) }])
  }
  of(hostId: string) {
    return this.batches.filter(({ host_id }) => host_id === hostId)
  }
}

const packetsOf = (batches: readonly PacketBatch[]) =>
  batches.reduce((sum, batch) => sum + readPacketColumns(batch).packets, 0)

function assertNumbered(batches: readonly PacketBatch[]) {
  assert.deepEqual(
    batches.map(({ seq }) => seq),
    batches.map((_, i) => i),
  )
}

function createService(t: TestContext, packets: PacketSource, more: Partial<CaptureServiceOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-capture-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const bus = new TestBus()
  const metrics = new PrometheusMetrics('capture', '0')
  const health = new Health()
  const run = (signal = new AbortController().signal) =>
    runCaptureService({
      bus,
      packets,
      sourceName: 'test0',
      sensorId: 'mirror',
      spool: { folder, maxBytes: 64 * 1024 * 1024 },
      clockUs: null,
      hostsWaitMs: 10_000,
      log: createLog('capture', 'silent'),
      metrics,
      health,
      signal,
      ...more,
    })
  return { bus, metrics, health, run, folder }
}

test('packets of the hosts that the topic names go out under their keys; the rest is counted', async t => {
  const packets = new ListedSource([
    block(packet(0, desk, web), packet(10, web, desk), packet(20, desk, laptop), packet(30, web, '10.9.9.9')),
  ])
  const { bus, metrics, health, run } = createService(t, packets)
  const running = run()
  await bus.isFollowed
  assert.deepEqual(health.notReady(), ['hosts: no host is known yet'])
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  const { frames, lost, dropped } = await running
  assert.deepEqual([packetsOf(bus.of('desk')), packetsOf(bus.of('laptop'))], [3, 1])
  assert.deepEqual([frames.ok, frames['not-monitored'], lost, dropped], [3, 1, 0, 0])
  assert.ok(packets.isClosed)
  assert.deepEqual(health.notReady(), [])
  const produced = `proclabel_events_produced_total{topic="packets",service="capture"} ${bus.batches.length}\n`
  assert.ok((await metrics.text()).includes(produced))
})

test('where hosts must sign, a host that did not is not monitored, and that is counted', async t => {
  const packets = new ListedSource([block(packet(0, desk, web), packet(10, laptop, web))], 100)
  const hostKeys = {
    forgeries: async <R extends ConsumedRecord>(records: readonly R[]) => {
      const foreign = records.filter(({ key }) => key === 'desk')
      return new Map(foreign.map(record => [record, { reason: 'unsigned', detail: '' } as const]))
    },
  }
  const { bus, metrics, run } = createService(t, packets, { hostKeys })
  const running = run()
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  const { frames } = await running
  assert.deepEqual([frames.ok, frames['not-monitored']], [1, 1])
  assert.deepEqual([bus.of('desk').length, packetsOf(bus.of('laptop'))], [0, 1])
  assert.match(await metrics.text(), /^proclabel_capture_host_records_refused_total\{[^}]*\} 1$/m)
})

test('a host that is told at run time is monitored from then on', async t => {
  const packets = new ListedSource(
    Array.from({ length: 20 }, (_, i) => block(packet(i * 1000, desk, web), packet(i * 1000 + 1, laptop, web))),
    100,
  )
  const { bus, run } = createService(t, packets)
  const running = run()
  await bus.tell(host('desk', desk))
  await sleep(1500)
  await bus.tell(host('laptop', laptop))
  await running
  assert.equal(packetsOf(bus.of('desk')), 20)
  const seen = packetsOf(bus.of('laptop'))
  assert.ok(seen > 0 && seen < 20, String(seen))
  assertNumbered(bus.of('laptop'))
})

test('networks of a file are monitored as it names them, without a restart', async t => {
  const packets = new ListedSource(
    Array.from({ length: 30 }, (_, i) => block(packet(i * 1000, desk, web), packet(i * 1000 + 1, laptop, web))),
    100,
  )
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-networks-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'networks')
  writeFileSync(path, `${desk}/32`)
  const { bus, run } = createService(t, packets, { networks: new NetworksFile(path), hostsWaitMs: 0 })
  const running = run()
  await sleep(500)
  writeFileSync(path, 'nothing')
  await sleep(1500)
  writeFileSync(path, `${laptop}/32`)
  await running
  const [before, after] = [bus.of(desk), bus.of(laptop)].map(packetsOf)
  assert.ok(before! > 0 && after! > 0, `${before} and ${after}`)
  assert.equal(before! + after!, 30)
})

test('while Kafka is away a capture begins with the hosts of its last run; without any it says so', async t => {
  const packets = () => new ListedSource([block(packet(0, desk, web), packet(10, web, desk))])
  const first = createService(t, packets())
  const running = first.run()
  await first.bus.tell(host('desk', desk))
  await running
  const { folder } = first
  const spool = { folder, maxBytes: 64 * 1024 * 1024 }
  const again = createService(t, packets(), { spool })
  const { frames } = await again.run()
  assert.equal(frames.ok, 2)
  assert.equal(packetsOf(again.bus.of('desk')), 2)
  assert.deepEqual(again.health.notReady(), ['hosts: the hosts topic is not read yet: hosts are those of the last run'])

  writeFileSync(join(folder, 'hosts.jsonl'), '{"host_id":1}\n')
  const lines: string[] = []
  const log = {
    ...createLog('capture', 'silent'),
    info: () => {},
    warn: (...args: unknown[]) => lines.push(String(args.at(-1))),
  }
  const without = await createService(t, packets(), { spool, hostsWaitMs: 100, log: log as unknown as Log }).run()
  assert.deepEqual(without.frames, { 'not-monitored': 2 })
  assert.match(lines.join('\n'), /hosts of the last run cannot be read\nno host is known: .* not captured/)

  const file = createService(t, packets(), { spool, hostsWaitMs: Number.POSITIVE_INFINITY })
  const reading = file.run()
  await file.bus.tell(host('laptop', laptop))
  assert.deepEqual((await reading).frames, { 'not-monitored': 2 }, 'a file waits for what the topic says')
})

test('every monitored host has a tick each second, also one that was never seen', async t => {
  const packets = new ListedSource([block(packet(0, desk, web))], 4200)
  const startMs = performance.now()
  const clockUs = () => at(Math.round(performance.now() - startMs))
  const { bus, run } = createService(t, packets, { clockUs })
  const running = run()
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  await running
  for (const hostId of ['desk', 'laptop']) {
    const batches = bus.of(hostId)
    assertNumbered(batches)
    const ticks = batches.map(({ until_us }) => (until_us - at(0)) / 1000)
    assert.ok(ticks.length >= 3, `${hostId}: ${ticks}`)
    assert.ok(
      ticks.slice(1).every((ms, i) => ms >= ticks[i]! && ms - ticks[i]! < 2100),
      `${hostId}: ${ticks}`,
    )
  }
  assert.equal(packetsOf(bus.of('desk')), 1)
  assert.equal(packetsOf(bus.of('laptop')), 0)
})

test('while the bus is away packets wait; no packet is lost, none comes twice', async t => {
  const blocks = Array.from({ length: 50 }, (_, i) =>
    block(...Array.from({ length: 20 }, (_, k) => packet(i * 1000 + k, k % 2 ? desk : laptop, web))),
  )
  const { bus, run } = createService(t, new ListedSource(blocks, 40), { clockUs: () => null })
  const running = run()
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  bus.isAway = true
  await sleep(1500)
  assert.equal(bus.batches.length, 0)
  bus.isAway = false
  const { outgoing } = await running
  assert.ok(outgoing.failures > 0)
  for (const hostId of ['desk', 'laptop']) {
    assert.equal(packetsOf(bus.of(hostId)), 500)
    assertNumbered(bus.of(hostId))
    assert.ok(bus.of(hostId).every(({ lost }) => lost === 0))
  }
})

test('packets that are dropped ride in the next batch of their host, and leave a gap in its numbers', async t => {
  const blocks = Array.from({ length: 60 }, (_, i) =>
    block(...Array.from({ length: 100 }, (_, k) => packet(i * 1000 + k, desk, `10.1.${i}.${k}`))),
  )
  const { bus, metrics, run } = createService(t, new ListedSource(blocks, 30), {
    clockUs: () => null,
    maxQueueBytes: 40_000,
    spool: { folder: join(import.meta.filename, 'none'), maxBytes: 1024 * 1024 },
  })
  const running = run()
  await bus.tell(host('desk', desk))
  bus.isAway = true
  await sleep(1700)
  bus.isAway = false
  const { dropped } = await running
  const batches = bus.of('desk')
  assert.ok(dropped > 0)
  assert.equal(packetsOf(batches) + dropped, 6000)
  assert.equal(
    batches.reduce((sum, { lost }) => sum + lost, 0),
    dropped,
  )
  const afterGap = batches.filter(({ seq }, i) => i > 0 && seq !== batches[i - 1]!.seq + 1)
  assert.ok(afterGap.length > 0 && afterGap.every(({ lost }) => lost > 0))
  assert.match(
    await metrics.text(),
    new RegExp(`proclabel_capture_records_dropped_total\\{service="capture"\\} ${dropped}\n`),
  )
})

test('a flood of a million 5-tuples is shed by count, and memory does not grow with it', async t => {
  const syns = 1_000_000
  const mebibyte = 1024 * 1024
  const packets = new Flood(syns, () => {
    service.bus.isAway = false
  })
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-flood-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const service = createService(t, packets, {
    maxQueueBytes: mebibyte,
    spool: { folder, maxBytes: 16 * mebibyte },
    clockUs: () => Date.now() * 1000,
    hostsWaitMs: 2000,
  })
  service.bus.isAway = true
  const running = service.run()
  await service.bus.tell(host('desk', desk))
  const { frames, dropped } = await running
  assert.equal(frames.ok, syns)
  assert.ok(dropped > syns / 2, `${dropped} dropped`)
  assert.equal(packetsOf(service.bus.of('desk')) + dropped, syns)
  // The flow table begins anew at 524,288 flows, some 120 MB; all flows and their packets would be twice that and more.
  t.diagnostic(`${dropped} dropped, ${Math.round(packets.grownBytes / mebibyte)} MiB more`)
  assert.ok(packets.grownBytes < 250 * mebibyte, `${Math.round(packets.grownBytes / mebibyte)} MiB more`)
})

test('what the source loses is told by the first batch after it, of every host', async t => {
  const blocks = Array.from({ length: 4 }, (_, i) => block(packet(i * 1000, desk, laptop)))
  const packets = new ListedSource(blocks)
  packets.loses = { packets: 7, before: blocks[2]! }
  const { bus, run } = createService(t, packets)
  const running = run()
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  const { lost } = await running
  assert.equal(lost, 7)
  for (const hostId of ['desk', 'laptop']) {
    const batches = bus.of(hostId)
    const telling = batches.findIndex(batch => batch.lost > 0)
    assert.deepEqual([packetsOf(batches.slice(0, telling)), packetsOf(batches.slice(telling))], [2, 2])
    assert.deepEqual([batches[telling]!.lost, batches.slice(telling + 1).every(batch => batch.lost === 0)], [7, true])
  }
})

test('every packet is in exactly one count, and every accepted one in a batch and in its host’s file', async t => {
  const malformed = { ms: 3, data: packet(3, desk, web).data.subarray(0, 20) }
  const notIp = { ms: 4, data: Uint8Array.of(...new Uint8Array(12), 8, 6, 0, 1) }
  const blocks = Array.from({ length: 40 }, (_, i) => {
    const ms = i * 1000
    const sent = [desk, laptop, '10.9.9.9'].map((from, k) => packet(ms + k, from, `10.1.${i}.${k}`))
    return block(...sent, sent[0]!, sent[1]!, malformed, notIp)
  })
  const packets = new ListedSource(blocks, 30)
  packets.loses = { packets: 11, before: blocks[20]! }
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-files-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const { bus, metrics, run } = createService(t, packets, {
    clockUs: () => null,
    maxQueueBytes: 6000,
    spool: { folder: join(import.meta.filename, 'none'), maxBytes: 1024 * 1024 },
    duplicateWindowUs: 10_000,
    files: { folder, compression: 'none', snapLength: 100, maxBytes: 1e9, maxAgeUs: null },
  })
  const running = run()
  await bus.tell(host('desk', desk))
  await bus.tell(host('laptop', laptop))
  bus.isAway = true
  while (packets.statistics().read < 30 * 7) await sleep(10)
  bus.isAway = false
  const { dropped, files } = await running
  const text = await metrics.text()
  const metric = (name: string): Record<string, number> =>
    Object.fromEntries(
      Array.from(text.matchAll(new RegExp(`^proclabel_${name}\\{(.*)\\} (\\d+)$`, 'gm')), ([, labels, value]) => [
        /(?:result|reason)="([^"]*)"/.exec(labels!)?.[1] ?? '',
        Number(value),
      ]),
    )
  const results = metric('capture_packets_total')
  assert.deepEqual(results, {
    accepted: 80,
    filtered: 40,
    duplicate: 80,
    malformed: 80,
    'kernel-dropped': 11,
    'queue-dropped': 0,
  })
  const sum = (counts: Record<string, number>) => Object.values(counts).reduce((a, b) => a + b, 0)
  assert.equal(sum(results), 40 * 7 + 11)
  assert.equal(sum(metric('parse_errors_total')), 80)
  assert.ok(dropped > 0)
  assert.equal(metric('capture_records_dropped_total')[''], dropped)
  assert.equal(packetsOf(bus.batches) + dropped, results.accepted)
  assert.deepEqual(metric('capture_file_packets_total'), { written: 80, 'queue-full': 0, quota: 0, 'disk-error': 0 })
  assert.equal(files!.written, 80)
})

test('a paced source takes the time that the capture took, and tells capture time', async () => {
  const frames = [0, 5, 100, 101, 350].map(ms => frame(ms, desk, web, 6, tcp(1, 2)))
  const paced = new PacedSource(new ListedSource([block(...frames.slice(0, 3)), block(...frames.slice(3))]))
  assert.equal(paced.nowUs, null)
  const startMs = performance.now()
  const seen: number[] = []
  for await (const { count, timeUs } of paced.blocks()) {
    const lateMs = performance.now() - startMs - (timeUs[count - 1]! - at(0)) / 1000
    // How late it may be is the machine's affair.
    assert.ok(lateMs > -2, `${lateMs} ms late`)
    assert.ok(paced.nowUs! >= timeUs[count - 1]! - 2000)
    seen.push(count)
  }
  assert.deepEqual(seen, [2, 1, 1, 1])
})
