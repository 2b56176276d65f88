import type { Reason } from '#core/decode/reason.ts'
import type { Metrics } from '#shared/metrics.ts'
import { captureMetrics, type packetResults } from '#shared/service-metrics.ts'
import type { PacketCapture } from './capture.ts'
import type { HostFilesStatistics } from './host-files/host-files.ts'
import type { PacketSource } from './packet-source.ts'

/** Frames that are no session's, other than by choice. */
const undecoded = [
  'not-ip',
  'unsupported-link-type',
  'truncated-header',
  'bad-version',
  'bad-header-length',
  'too-many-layers',
  'fragment-held',
  'tunnel-fragment',
] as const satisfies readonly Reason[]

/** Packets that a source lost before we had them: in the kernel, and where we did not fetch them in time. */
export function lostOf(packets: PacketSource): number {
  const { dropped, skipped } = packets.statistics()
  return (dropped ?? 0) + (skipped['queue-full'] ?? 0)
}

export interface Measured {
  packets: PacketSource
  capture: PacketCapture
  /** Hosts that are monitored. */
  hosts: number
  /** Host records that their host did not sign. */
  hostsRefused: number
  /** Packets in batches that were dropped, once for each host. */
  dropped: number
  /** Null where none are written. */
  files: HostFilesStatistics | null
}

/** What of a capture goes into metrics; the function it answers with is called every now and then. */
export function createMeasure(metrics: Metrics, sourceName: string): (now: Measured) => void {
  const to = captureMetrics(metrics, sourceName, undecoded)
  const before = new Map<string, number>()
  /** By how much a total has grown. */
  const growth = (name: string, total: number): number => {
    const more = total - (before.get(name) ?? 0)
    before.set(name, total)
    return more
  }
  return ({ packets, capture, hosts, hostsRefused, dropped, files }) => {
    const { frames } = capture
    const result = (name: (typeof packetResults)[number], total: number) =>
      to.packets.add(growth(`result ${name}`, total), { interface: sourceName, result: name })
    result('accepted', frames.ok ?? 0)
    result('filtered', frames['not-monitored'] ?? 0)
    result('duplicate', frames.duplicate ?? 0)
    result(
      'malformed',
      undecoded.reduce((sum, reason) => sum + (frames[reason] ?? 0), 0),
    )
    const { bytesRead, dropped: droppedByKernel, skipped } = packets.statistics()
    result('kernel-dropped', droppedByKernel ?? 0)
    result('queue-dropped', skipped['queue-full'] ?? 0)
    to.recordsDropped.add(growth('records', dropped))
    for (const reason of undecoded) to.parseErrors.add(growth(reason, frames[reason] ?? 0), { reason })
    to.bytes.add(growth('bytes', bytesRead))
    to.ringDrops.add(growth('ring', droppedByKernel ?? 0))
    if (files) {
      for (const [result, total] of Object.entries({ written: files.written, ...files.dropped }))
        to.filePackets.add(growth(`file ${result}`, total), { result })
      to.fileBytes.set(files.bytes)
    }
    to.hosts.set(hosts)
    to.hostsRefused.add(growth('hosts refused', hostsRefused))
  }
}
