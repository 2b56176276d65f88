import { codecs, type PacketBatch, partitionKey } from '#schemas'
import type { Bus } from '#shared/bus/bus.ts'

/** Where a PacketPublisher's batches go, under their host's key. */
export const onBus =
  (bus: Bus) =>
  async (batch: PacketBatch): Promise<void> =>
    bus.publish('packets', [{ key: partitionKey(batch.host_id), value: codecs.packets.encode(batch) }])
