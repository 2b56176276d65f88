/**
 * Packet batches of the bench's traffic through the Kafka adapter and a real broker on this machine: published, then read
 * by a new group; and small records, ten to a publish.
 *
 * `node services/e2e/bench/bus.ts [--packets 2100000] [--runs 3]`
 */
import { randomUUID } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { codecs } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { createTopics } from '#shared/bus/kafka-fixture.ts'
import { createCapture } from '../../capture/create-capture.ts'
import { openCapture } from '../../capture/files/open-capture.ts'
import { sharedStack } from '../stack/shared-stack.ts'
import { writeCapture } from './make-capture.ts'
import { machine, spread } from './measure.ts'
import { defaultShape } from './traffic.ts'

const { values } = parseArgs({
  options: { packets: { type: 'string', default: '2100000' }, runs: { type: 'string', default: '3' } },
})
const partitions = 48
const hosts = 100
/** Publishes under way at the same time, as of as many sensors' threads. */
const atOnce = 16

/** The batches of a generated capture, spread over the hosts. */
async function packetBatches(packets: number): Promise<BusRecord[]> {
  const folder = mkdtempSync(`${tmpdir()}/proclabel-bench-`)
  const file = `${folder}/capture.pcap`
  const fd = openSync(file, 'w')
  writeCapture(fd, { ...defaultShape, packets }, null)
  closeSync(fd)
  const capture = createCapture({ sensorId: 's', runId: randomUUID(), hosts: null, keepUnmonitored: true })
  const source = await openCapture(file)
  const records: BusRecord[] = []
  const keep = (batches: Parameters<typeof codecs.packets.encode>[0][]) => {
    for (const batch of batches)
      records.push({ key: `host ${records.length % hosts}`, value: codecs.packets.encode(batch) })
  }
  for await (const block of source.blocks()) keep(capture.add(block))
  keep(capture.flush())
  await source.close()
  rmSync(folder, { recursive: true })
  return records
}

interface Measured {
  wallS: number
  /** Of this process, its thread pool included. */
  cpuS: number
}

async function measure(work: () => Promise<void>): Promise<Measured> {
  const from = performance.now()
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  return { wallS: (performance.now() - from) / 1000, cpuS: (user + system) / 1e6 }
}

async function throughBus(
  bus: KafkaBus,
  brokers: readonly string[],
  records: readonly BusRecord[],
  perPublish: number,
) {
  const topic = `bench-${randomUUID()}`
  await createTopics(brokers, [topic], partitions)
  const published = await measure(async () => {
    let next = 0
    const publisher = async () => {
      while (next < records.length) {
        const part = records.slice(next, next + perPublish)
        next += perPublish
        await bus.publish(topic, part)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, publisher))
  })
  const consumed = await measure(async () => {
    let count = 0
    for await (const batch of bus.subscribe([topic], `bench-${randomUUID()}`, new AbortController().signal)) {
      count += batch.records.length
      await batch.commit()
      if (count === records.length) break
    }
  })
  return { published, consumed }
}

const stack = await sharedStack({ kafka: true })
const bus = new KafkaBus({ brokers: stack.brokers, clientId: 'bench' })
try {
  const packets = Number(values.packets)
  const batches = await packetBatches(packets)
  const small = Array.from({ length: 100_000 }, (_, i) => ({
    key: `host ${i % hosts}`,
    value: Buffer.from(`${i} `.repeat(20)),
  }))
  console.log(`${machine()}; broker on the same cores, ${values.runs} runs, median (lowest to highest)\n`)
  console.log('| What | units/s published | CPU µs a unit | units/s read | CPU µs a unit |')
  console.log('| --- | --- | --- | --- | --- |')
  for (const [what, records, units, perPublish] of [
    [`packets, in ${batches.length} batches`, batches, packets, 1],
    ['records of about 120 bytes', small, small.length, 10],
  ] as const) {
    const runs: { published: Measured; consumed: Measured }[] = []
    for (let i = 0; i < Number(values.runs); i++) runs.push(await throughBus(bus, stack.brokers, records, perPublish))
    const rate = (of: 'published' | 'consumed') =>
      spread(
        runs.map(run => units / run[of].wallS),
        0,
      )
    const cpu = (of: 'published' | 'consumed') =>
      spread(
        runs.map(run => (run[of].cpuS * 1e6) / units),
        3,
      )
    console.log(`| ${what} | ${rate('published')} | ${cpu('published')} | ${rate('consumed')} | ${cpu('consumed')} |`)
  }
  const raw = batches.reduce((sum, { value }) => sum + value!.length, 0)
  console.log(
    `\n${(raw / packets).toFixed(1)} bytes a packet before compression; peak memory ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB`,
  )
} finally {
  await bus.close()
  await stack.stop()
}
