/**
 * Reads an interface until it is told to stop, as `capture` does up to the producer, and writes what it cost as a line of JSON.
 * `receive.ts --interface NAME --how native|cap|cap-portable|service [--files FOLDER]`
 */
import process from 'node:process'
import { parseArgs } from 'node:util'
import { zstdCompressSync } from 'node:zlib'
import { HostDirectory } from '#core/host-directory.ts'
import { loadNative } from '#native'
import { codecs, type Host } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { openInterface as openCap } from '../../../capture/cap-source.ts'
import { Capture } from '../../../capture/capture.ts'
import { runCaptureService } from '../../../capture/main.ts'
import { NativeCapture } from '../../../capture/native-capture.ts'
import { PacketSender } from '../../../capture/packet-sender.ts'
import type { PacketSource } from '../../../capture/packet-source.ts'
import { openRing } from '../../../capture/ring-source.ts'
import { addressOf, hostAddress, hostCount } from '../traffic.ts'

export interface Received {
  read: number
  /** In the kernel, where it tells, and because frames were not fetched in time. */
  lost: number
  accepted: number
  /** CPU of all threads of the process, microseconds a packet, from the second tenth of the packets on: what runs often is compiled by then. */
  cpuUs: number
  peakMiB: number
  /** Resident at the end of each tenth of the packets. */
  residentMiB: number[]
  published: number
  files: { written: number; dropped: Record<string, number>; bytes: number } | null
}

const duplicateWindowUs = 10_000
const { values } = parseArgs({
  options: {
    interface: { type: 'string' },
    how: { type: 'string' },
    folder: { type: 'string' },
    packets: { type: 'string' },
  },
})
const device = values.interface!
const how = values.how as 'native' | 'cap' | 'cap-portable' | 'service'
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())

const hosts = Array.from({ length: hostCount }, (_, host): Host => {
  const addresses = [{ ip: addressOf(hostAddress(host)), since_us: null, until_us: null, namespace: null }]
  const rest = {
    names: [],
    os: 'linux',
    agent_version: '',
    poll_period_us: null,
    boot_id: null,
    updated_us: 0,
  } as const
  return { host_id: `host-${host}`, addresses, ...rest, names: [] }
})

const mebibyte = 1024 * 1024
let published = 0
let warm = null as { cpu: NodeJS.CpuUsage; read: number } | null
const residentMiB: number[] = []

/** Notes what was used when a tenth of the frames had come, and the memory as frames come. */
function watched(source: PacketSource): PacketSource {
  const step = Number(values.packets) / 10
  return {
    isLive: true,
    async *blocks(signal) {
      for await (const block of source.blocks(signal)) {
        yield block
        const { read } = source.statistics()
        if (read < step * (residentMiB.length + 1)) continue
        residentMiB.push(Math.round(process.memoryUsage.rss() / mebibyte))
        warm ??= { cpu: process.cpuUsage(), read }
      }
    },
    statistics: () => source.statistics(),
    close: () => source.close(),
  }
}

const packets = watched(how.startsWith('cap') ? openCap(device, '') : openRing(loadNative(), device, ''))
const log = createLog('capture', 'silent')

async function readAlone(): Promise<Pick<Received, 'accepted' | 'files'>> {
  const directory = new HostDirectory()
  for (const host of hosts) directory.apply(host)
  const ids = { sensorId: 'bench', runId: 'run' }
  const options = { ...ids, hosts: directory, keepUnmonitored: false, duplicateWindowUs }
  const capture = how === 'cap-portable' ? new Capture(options) : new NativeCapture(loadNative(), options)
  const outgoing = {
    send: (_topic: string, _key: string, value: Uint8Array | null) => {
      published += value!.length
      return true
    },
  }
  const sender = new PacketSender({ outgoing, codec: codecs.packets, ...ids, directory })
  console.log('ready')
  for await (const block of packets.blocks(stop.signal)) sender.send(capture.add(block))
  sender.send(capture.flush())
  return { accepted: capture.frames.ok ?? 0, files: null }
}

/** The whole service with capture files; its batches are compressed as for Kafka, and no broker has them. */
async function runService(): Promise<Pick<Received, 'accepted' | 'files'>> {
  const inner = new InProcessBus()
  const bus: Bus = {
    publish: async (topic, records) => {
      if (topic !== 'packets') return inner.publish(topic, records)
      const values = Buffer.concat(records.map(({ value }) => value!))
      published += zstdCompressSync(values, { pledgedSrcSize: values.length }).length
    },
    subscribe: (topics, group, signal) => {
      const batches = inner.subscribe(topics, group, signal)
      const records = hosts.map(host => ({ key: host.host_id, value: codecs.hosts.encode(host) }))
      void inner.publish('hosts', records).then(() => setTimeout(() => console.log('ready'), 1000))
      return batches
    },
    reader: group => inner.reader(group),
    close: () => inner.close(),
  }
  const { frames, files } = await runCaptureService({
    bus,
    packets,
    sourceName: device,
    sensorId: 'bench',
    spool: { folder: `${values.folder}/spool`, maxBytes: 256 * mebibyte },
    clockUs: () => Date.now() * 1000,
    log,
    metrics: noMetrics,
    health: new Health(),
    hostsWaitMs: 5000,
    duplicateWindowUs,
    files: {
      folder: `${values.folder}/files`,
      compression: 'none',
      snapLength: 65_535,
      maxBytes: 8192 * mebibyte,
      maxAgeUs: null,
    },
    signal: stop.signal,
  })
  await bus.close()
  return { accepted: frames.ok ?? 0, files }
}

const result = await (how === 'service' ? runService() : readAlone())
const { user, system } = process.cpuUsage(warm?.cpu)
const { read, dropped, skipped } = packets.statistics()
await packets.close()
const received: Received = {
  read,
  lost: (dropped ?? 0) + (skipped['queue-full'] ?? 0),
  ...result,
  cpuUs: (user + system) / (read - (warm?.read ?? 0)),
  peakMiB: process.resourceUsage().maxRSS / 1024,
  residentMiB,
  published,
}
console.log(JSON.stringify(received))
process.exit(0)
