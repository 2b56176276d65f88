import type { HostDirectory } from '#core/host-directory.ts'
import {
  type codecs as checkedInCodecs,
  type PacketBatch,
  PacketBatchBuilder,
  packetsByFlow,
  partitionKey,
} from '#schemas'
import type { Outgoing } from '#shared/outgoing.ts'

export interface PacketSenderOptions {
  outgoing: Pick<Outgoing, 'send'>
  codec: typeof checkedInCodecs.packets
  sensorId: string
  runId: string
  directory: HostDirectory
}

/** What is known of a host's batches. */
interface Told {
  seq: number
  /** How much of the sensor's loss its batches have told. */
  lost: number
  /** Packets of its batches that were dropped since the last that was sent. */
  dropped: number
}

/**
 * Numbers a capture's batches and sends them, each with what was lost since its host's batch before: what the source lost, of
 * any host, and what of this host's own was dropped on the way to the bus. A dropped batch leaves a gap in the numbers as well.
 */
export class PacketSender {
  readonly #options: PacketSenderOptions
  readonly #hosts = new Map<string, Told>()
  readonly #empty = new PacketBatchBuilder()
  #lost = 0
  #knownHosts: readonly string[] = []
  #knownBy = 0
  /** Packets in batches that were dropped. */
  dropped = 0

  constructor(options: PacketSenderOptions) {
    this.#options = options
  }

  /** What the source has lost so far; batches sent from now on tell of it. */
  set lost(packets: number) {
    this.#lost = packets
  }
  get lost(): number {
    return this.#lost
  }

  send(batches: readonly PacketBatch[]): void {
    for (const batch of batches) this.#send(batch)
  }

  /** Time goes on for the monitored hosts other than those that `seen` holds: no packet of theirs came, so the capture does not know them. */
  tickOthers(nowUs: number, seen: ReadonlySet<string>): void {
    const { directory, sensorId, runId } = this.#options
    if (directory.version !== this.#knownBy) {
      this.#knownBy = directory.version
      this.#knownHosts = [...new Set(Array.from(directory.spans(), ({ hostId }) => hostId))]
    }
    for (const host_id of this.#knownHosts) {
      if (seen.has(host_id)) continue
      const header = { host_id, sensor_id: sensorId, run_id: runId, seq: 0, until_us: nowUs, lost: 0 }
      this.#send(this.#empty.build({ ...header, names: [], dns: [] }))
    }
  }

  #send(batch: PacketBatch): void {
    const { outgoing, codec } = this.#options
    const { host_id } = batch
    let host = this.#hosts.get(host_id)
    if (!host) {
      host = { seq: 0, lost: 0, dropped: 0 }
      this.#hosts.set(host_id, host)
    }
    batch.seq = host.seq++
    batch.lost = this.#lost - host.lost + host.dropped
    if (outgoing.send('packets', partitionKey(host_id), codec.encode(packetsByFlow(batch)))) {
      host.lost = this.#lost
      host.dropped = 0
    } else {
      const packets = batch.packet_flow.length / 2
      host.dropped += packets
      this.dropped += packets
    }
  }
}
