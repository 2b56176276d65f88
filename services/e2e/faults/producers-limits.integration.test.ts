import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ethernet, ipv4, udp } from '#core/decode/build-frame.ts'
import { codecs, type PacketBatch, type Process, readPacketColumns, type Socket, type SocketSnapshot } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { kafkaOf, unique, until } from '#shared/bus/kafka-fixture.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { runAgentService } from '../../agent/main.ts'
import { TimedSource } from '../../agent/timed-source-fixture.ts'
import { openCapture } from '../../capture/files/open-capture.ts'
import { pcapHeader, pcapRecord } from '../../capture/files/write-pcap.ts'
import { runCaptureService } from '../../capture/main.ts'
import { PacedSource } from '../../capture/paced-source.ts'
import { applyTopics } from '../../cli/apply-topics.ts'
import { type Stack, startStack } from '../stack/stack.ts'

/** Agent and capture on real Kafka with very many sockets, and with a disk that is full while the broker is frozen. */
const desk = [10, 0, 0, 1]
const startUs = 1_700_000_000_000_000

let stack: Stack
let bus: KafkaBus
let reading: Promise<void>
const stopped = new AbortController()
const snapshots: SocketSnapshot[] = []
const batches: PacketBatch[] = []

before(async () => {
  stack = await startStack({ kafka: true })
  const { brokers } = stack.kafka!
  const admin = kafkaOf(brokers).admin()
  await admin.connect()
  await applyTopics(admin, { partitions: 3, replication: 1 })
  await admin.disconnect()
  bus = new KafkaBus({ brokers, clientId: 'limits' })
  reading = (async () => {
    for await (const batch of bus.subscribe(['packets', 'socket-snapshots'], unique('limits'), stopped.signal)) {
      for (const { topic, value } of batch.records)
        if (topic === 'packets') batches.push(codecs.packets.decode(value!))
        else snapshots.push(codecs['socket-snapshots'].decode(value!))
      await batch.commit()
    }
  })()
})

after(async () => {
  stopped.abort()
  await reading
  await bus?.close()
  await stack?.stop()
})

const broker = () => stack.kafka!.nodes[0]!

/** `count` sockets at first; then as many new ones a poll as `turnover` says, in place of the oldest. */
function createSource(count: number, turnover: number): TimedSource {
  let first = 0
  let next = 0
  const processes = Array.from({ length: 300 }, (_, i): Process => {
    const names = {
      name: `program-${i}`,
      path: `/usr/bin/program-${i}`,
      user: null,
      container_id: null,
      pod: null,
      parent_name: null,
      container_image: null,
    }
    return { pid: 1000 + i, start_us: startUs, parent_pid: 1, services: [], ...names }
  })
  const socket = (id: number): Socket => ({
    ...{ id, proto: 'tcp', local_ip: `10.0.${id % 4}.${id % 250}`, local_port: 1024 + (id % 60_000) },
    ...{ remote_ip: `203.0.${(id * 31) % 256}.${(id * 17) % 256}`, remote_port: 443, state: 'established' },
    ...{ v6_only: false, owners: [{ pid: 1000 + (id % 300), start_us: startUs }], created_us: null },
  })
  return new TimedSource(() => {
    const isFirst = next === 0
    const opened = Array.from({ length: isFirst ? count : turnover }, () => socket(next++))
    const closed = isFirst ? [] : Array.from({ length: turnover }, () => first++)
    return { opened, closed, processes }
  })
}

interface Spooled {
  folder: string
  maxBytes: number
}

function runAgent(hostId: string, source: TimedSource, spool: Spooled, signal: AbortSignal) {
  const parts = { log: createLog('agent', 'silent'), metrics: noMetrics, health: new Health() }
  const own = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'agent' })
  const run = runAgentService({ ...parts, bus: own, source, hostId, pollPeriodMs: 100, spool, signal })
  return run.finally(() => own.close())
}

/** A disk of so many KiB of its own; null where this test may not mount one. */
function mountDisk(t: TestContext, kib: number): string | null {
  if (process.getuid?.() !== 0) return null
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-disk-'))
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', folder])
  t.after(() => {
    execFileSync('umount', [folder])
    rmSync(folder, { recursive: true })
  })
  return folder
}

/** Each once: a reader skips numbers that are not higher than the last. */
const once = <M extends { seq: number }>(messages: readonly M[]): M[] => {
  let last = -1
  return messages.filter(({ seq }) => {
    const isNew = seq > last
    last = Math.max(last, seq)
    return isNew
  })
}

const packetsOf = (of: readonly PacketBatch[]) => of.reduce((sum, one) => sum + readPacketColumns(one).packets, 0)

test('a host with 50,000 sockets: every keyframe arrives whole', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-limits-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const hostId = unique('host')
  const stop = new AbortController()
  const running = runAgent(hostId, createSource(50_000, 10), { folder, maxBytes: 64 << 20 }, stop.signal)
  const keyframes = () =>
    snapshots
      .filter(({ host_id }) => host_id === hostId)
      .flatMap(({ polls }) => polls.filter(p => p.kind === 'keyframe'))
  await until('two keyframes have come', () => keyframes().length >= 2, 90_000)
  stop.abort()
  const { outgoing } = await running
  assert.deepEqual(outgoing.dropped, {})
  for (const { opened } of keyframes()) assert.equal(opened.length, 50_000)
  const seqs = once(snapshots.filter(({ host_id }) => host_id === hostId)).map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    seqs.map((_, i) => i),
  )
})

test('agent, its disk full while the broker is frozen: the oldest go, counted; the newest come in order', async t => {
  const disk = mountDisk(t, 256)
  if (disk === null) return t.skip('needs root, to mount a small disk')
  const hostId = unique('host')
  const stop = new AbortController()
  const running = runAgent(
    hostId,
    createSource(200, 100),
    { folder: join(disk, 'spool'), maxBytes: 1 << 20 },
    stop.signal,
  )
  const ours = () => once(snapshots.filter(({ host_id }) => host_id === hostId))
  await until('polls come', () => ours().length > 0, 60_000)
  broker().signal('SIGSTOP')
  try {
    await sleep(12_000)
  } finally {
    broker().signal('SIGCONT')
  }
  const backMs = Date.now()
  await until('what is new comes', () => (ours().at(-1)?.polls[0]?.time_us ?? 0) / 1000 > backMs + 1000, 60_000)
  stop.abort()
  const { agent, outgoing } = await running
  await until('the last has come', () => ours().at(-1)!.polls.at(-1)!.poll_seq === agent.polls - 1)
  const missing = ours().at(-1)!.seq + 1 - ours().length
  t.diagnostic(`${missing} of ${agent.messages} messages dropped: ${JSON.stringify(outgoing.dropped)}`)
  assert.ok(missing > 0, 'the disk was full')
  assert.deepEqual(Object.keys(outgoing.dropped), ['disk-full'])
  assert.ok(missing <= outgoing.dropped['disk-full']!, 'none is missing that was not counted')
  assert.ok(agent.missedPolls < agent.polls, 'polling went on')
})

/** `seconds` of packets, `rate` a second. */
function writeCapture(folder: string, seconds: number, rate: number): string {
  const records = Array.from({ length: seconds * rate }, (_, i) => {
    const datagram = udp(4000, 1 + (i % 65_000), new Uint8Array(20))
    const frame = ethernet(0x0800, ipv4(17, datagram, { from: desk, to: [10, 9, 9, 9] }))
    return pcapRecord(startUs + Math.floor((i * 1e6) / rate), frame)
  })
  const file = join(folder, 'many.pcap')
  writeFileSync(file, Buffer.concat([pcapHeader(1), ...records]))
  return file
}

test('capture, its disk full while the broker is frozen: every packet has come or is told as lost', async t => {
  const disk = mountDisk(t, 256)
  if (disk === null) return t.skip('needs root, to mount a small disk')
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-limits-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const sent = { seconds: 20, rate: 4000 }
  const host = {
    host_id: 'desk',
    names: [],
    addresses: [{ ip: desk.join('.'), since_us: null, until_us: null, namespace: null }],
  }
  const rest = { os: 'linux', agent_version: 'test', poll_period_us: null, boot_id: null, updated_us: startUs }
  await bus.publish('hosts', [{ key: 'desk', value: codecs.hosts.encode({ ...host, ...rest }) }])
  const packets = new PacedSource(await openCapture(writeCapture(folder, sent.seconds, sent.rate)))
  const own = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'capture' })
  const running = runCaptureService({
    ...{ bus: own, packets, sourceName: 'file', sensorId: 'mirror', clockUs: () => packets.nowUs },
    ...{ spool: { folder: join(disk, 'spool'), maxBytes: 16 << 20 }, maxQueueBytes: 256 << 10 },
    ...{ log: createLog('capture', 'silent'), metrics: noMetrics, health: new Health() },
    ...{ hostsWaitMs: Number.POSITIVE_INFINITY, signal: new AbortController().signal },
  })
  const ours = () => once(batches.filter(({ host_id }) => host_id === 'desk'))
  await until('packets come', () => packetsOf(ours()) > 0, 60_000)
  broker().signal('SIGSTOP')
  try {
    await sleep(10_000)
  } finally {
    broker().signal('SIGCONT')
  }
  const result = await running.finally(() => own.close())
  const all = sent.seconds * sent.rate
  const lost = () => ours().reduce((sum, batch) => sum + batch.lost, 0)
  await until('all has come or is told as lost', () => packetsOf(ours()) + lost() >= all)
  t.diagnostic(`${result.dropped} of ${all} packets dropped: ${JSON.stringify(result.outgoing.dropped)}`)
  assert.equal(packetsOf(ours()) + lost(), all)
  assert.equal(lost(), result.dropped)
  assert.ok(result.dropped > 0, 'the disk was full')
  const untils = ours().map(({ until_us }) => until_us)
  assert.deepEqual(
    untils,
    untils.toSorted((a, b) => a - b),
  )
})
