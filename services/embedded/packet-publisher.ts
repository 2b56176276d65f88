import type { PacketBatch } from '#schemas'
import type { PacketCapture } from '../capture/capture.ts'
import type { FrameBlock, PacketSource } from '../capture/packet-source.ts'

/** Hands a capture's batches on, each with what the sensor lost since its host's batch before. */
export class PacketPublisher {
  readonly #deliver: (batch: PacketBatch) => Promise<void>
  readonly #packets: PacketSource
  readonly #capture: PacketCapture
  #lost = 0
  /** By host: how much of the loss its batches have told. */
  readonly #told = new Map<string, number>()

  constructor(packets: PacketSource, capture: PacketCapture, deliver: (batch: PacketBatch) => Promise<void>) {
    this.#deliver = deliver
    this.#packets = packets
    this.#capture = capture
  }

  /** Takes a block in; the batches that are complete. What was lost before the block parts batches before from those after. */
  async add(block: FrameBlock): Promise<PacketBatch[]> {
    const lost = this.#packets.statistics().dropped ?? 0
    if (lost > this.#lost) {
      await this.publish(this.#capture.flush())
      this.#lost = lost
    }
    return this.#capture.add(block)
  }

  async publish(batches: readonly PacketBatch[]): Promise<void> {
    for (const batch of batches) {
      const { host_id } = batch
      batch.lost = this.#lost - (this.#told.get(host_id) ?? 0)
      this.#told.set(host_id, this.#lost)
      await this.#deliver(batch)
    }
  }
}
