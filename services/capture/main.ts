import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { HostDirectory, type MonitoredNetworks } from '#core/host-directory.ts'
import { codecs as checkedInCodecs, type PacketBatch } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'
import type { HostKeys } from '#shared/bus/host-keys.ts'
import type { Health } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'
import type { Metrics } from '#shared/metrics.ts'
import { Outgoing, type OutgoingStatistics } from '#shared/outgoing.ts'
import { producerMetrics } from '#shared/service-metrics.ts'
import { Spool } from '#shared/spool.ts'
import { createCapture } from './create-capture.ts'
import { HostFiles, type HostFilesOptions, type HostFilesStatistics } from './host-files/host-files.ts'
import { HostFollower, type PrepareRecords } from './host-follower.ts'
import { HostMemory } from './host-memory.ts'
import { createMeasure, lostOf } from './measure.ts'
import { NetworksFile } from './networks-file.ts'
import { PacketSender } from './packet-sender.ts'
import type { PacketSource } from './packet-source.ts'

export interface CaptureServiceOptions {
  bus: Bus
  packets: PacketSource
  /** The interface or file, as metrics name it. */
  sourceName: string
  /** Names this capture in its batches; unique among those that run at the same time. */
  sensorId: string
  /** Where batches wait while the bus is away; beyond that many bytes the newest are dropped. */
  spool: { folder: string; maxBytes: number }
  /** Bytes of batches in memory at most. */
  maxQueueBytes?: number
  /** Capture time by now, microseconds since the epoch; null for a file that is read as fast as it goes: its packets tell the time. */
  clockUs: (() => number | null) | null
  log: Log
  metrics: Metrics
  health: Health
  /**
   * How long to wait for the first host, which the packets before it would have missed. A capture that waits for ever, as of a
   * file, misses none; one that does not begins with the hosts of its last run, which are kept beside the spool.
   */
  hostsWaitMs: number
  /** Ends the run. */
  signal: AbortSignal
  /** Monitored beside the hosts that the topic names: networks, or a file of them that is read again while the capture runs. */
  networks?: MonitoredNetworks | NetworksFile | null
  /** As in CaptureOptions. */
  duplicateWindowUs?: number | null
  /** Where each host's frames are kept, so many bytes of each; null keeps none. */
  files?: (Omit<HostFilesOptions, 'log'> & { snapLength: number }) | null
  /** Those of the registry's schema ids; of the checked-in schemas when not given. */
  codecs?: Pick<typeof checkedInCodecs, 'hosts' | 'packets'>
  /** As in HostFollowerOptions; without it there are no other versions. */
  prepare?: PrepareRecords
  /** Where hosts must sign what they tell. */
  hostKeys?: Pick<HostKeys, 'forgeries'> | undefined
}

export interface CaptureResult {
  frames: Readonly<Record<string, number>>
  /** Packets lost before they reached us, and packets in batches that were dropped. */
  lost: number
  dropped: number
  outgoing: OutgoingStatistics
  /** Null where no capture files are written. */
  files: HostFilesStatistics | null
}

/** Without frames for so long, time goes on by the clock. */
const silenceMs = 1000
const tickMs = 1000
/** How long the last batches may take to get to the bus before they are left in the spool. */
const graceMs = 5000

/**
 * The capture as a service: packets of the monitored hosts, as the hosts topic names them at the time, go out as batches until
 * `signal` aborts or the input ends. Never waits for the bus: batches wait in memory, then on disk, then the newest are
 * dropped and the next one of their host says how many packets that were. Closes the source in any case.
 */
export async function runCaptureService(options: CaptureServiceOptions): Promise<CaptureResult> {
  const { bus, packets, sensorId, clockUs, log, signal, codecs = checkedInCodecs, duplicateWindowUs = null } = options
  const runId = randomUUID()
  const networksFile = options.networks instanceof NetworksFile ? options.networks : null
  const directory = new HostDirectory(
    networksFile?.networks ?? (options.networks as MonitoredNetworks | undefined) ?? null,
  )
  const memory = Number.isFinite(options.hostsWaitMs)
    ? new HostMemory(join(options.spool.folder, 'hosts.jsonl'), directory, log)
    : null
  memory?.recall()
  const files = options.files ? await HostFiles.open({ ...options.files, log }) : null
  const spool = await Spool.open({ ...options.spool, whenFull: 'refuse-newest', log })
  const outgoing = new Outgoing({
    bus,
    spool,
    log,
    metrics: producerMetrics(options.metrics),
    health: options.health.component('bus'),
    ...(options.maxQueueBytes !== undefined && { maxQueueBytes: options.maxQueueBytes }),
  })
  const stopFollowing = new AbortController()
  const follower = new HostFollower({
    bus,
    directory,
    group: `capture-${sensorId}-${runId}`,
    codec: codecs.hosts,
    prepare: options.prepare ?? (() => undefined),
    hostKeys: options.hostKeys,
    log,
    health: options.health.component('hosts'),
    signal: stopFollowing.signal,
  })
  const following = follower.run()
  const snapLength = options.files?.snapLength ?? null
  const capture = createCapture({
    sensorId,
    runId,
    hosts: directory,
    keepUnmonitored: false,
    snapLength,
    duplicateWindowUs,
  })
  const sender = new PacketSender({ outgoing, codec: codecs.packets, sensorId, runId, directory })
  const measure = createMeasure(options.metrics, options.sourceName)
  /** Hosts that the capture knows: it ticks for them itself. */
  const seen = new Set<string>()
  const send = (batches: readonly PacketBatch[]) => {
    for (const { host_id } of batches) seen.add(host_id)
    sender.send(batches)
    files?.write(capture.takeFrames(), capture.nowUs)
  }
  let heardMs = performance.now()
  const measureAll = () =>
    measure({
      packets,
      capture,
      hosts: directory.size,
      hostsRefused: follower.refused,
      dropped: sender.dropped,
      files: files?.statistics ?? null,
    })
  const ticker = setInterval(() => {
    measureAll()
    void memory?.keep()
    if (networksFile) followNetworks(networksFile, directory, log)
    const nowUs = clockUs?.() ?? null
    if (nowUs === null) return
    if (performance.now() - heardMs >= silenceMs) send(capture.tick(nowUs))
    sender.tickOthers(nowUs, seen)
  }, tickMs)
  try {
    const ids = { sensor_id: sensorId, run_id: runId }
    if (directory.size === 0) log.info(ids, 'waiting for hosts')
    else log.info({ ...ids, hosts: directory.size }, 'hosts are those of the last run, until the topic tells of them')
    await follower.known(options.hostsWaitMs)
    if (directory.size === 0 && !options.networks && !signal.aborted)
      log.warn('no host is known: until the hosts topic names one, packets are counted as filtered and not captured')
    log.info({ hosts: directory.size, source: options.sourceName }, 'capturing')
    for await (const block of packets.blocks(signal)) {
      heardMs = performance.now()
      const lost = lostOf(packets)
      if (lost > sender.lost) {
        // What was lost before this block parts the batches before from those after.
        send(capture.flush())
        sender.lost = lost
      }
      send(capture.add(block))
      if (clockUs === null) await Promise.all([outgoing.hasRoom(), files?.hasRoom()])
    }
    send(capture.flush())
  } finally {
    clearInterval(ticker)
    stopFollowing.abort()
    await packets.close()
    await Promise.all([outgoing.close(graceMs), files?.close()])
    await following
    await memory?.keep()
    measureAll()
  }
  return {
    frames: capture.frames,
    lost: sender.lost,
    dropped: sender.dropped,
    outgoing: outgoing.statistics,
    files: files?.statistics ?? null,
  }
}

/** Monitors the networks that the file names by now; a file that cannot be used changes nothing. */
function followNetworks(file: NetworksFile, directory: HostDirectory, log: Log): void {
  try {
    if (!file.reread()) return
    directory.monitor(file.networks)
    log.info({ networks: file.networks.prefixes.length }, 'monitoring other networks')
  } catch (error) {
    log.warn({ error }, 'the file of networks cannot be used; they are those before')
  }
}
