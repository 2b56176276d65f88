import type { LabeledSession } from '#schemas'
import type { Bus, BusRecord, Headers } from '#shared/bus/bus.ts'
import { untilDone } from '#shared/retry.ts'
import type { OutboxRecord, Store } from '#shared/store/store.ts'
import type { HostCopy } from './host-copy.ts'

export type Sink = (record: LabeledSession) => Promise<void> | void

/** Writes working copies to the store, and publishes what the store then holds in its outbox. */
export class HostWriter {
  readonly #bus: Bus
  readonly #store: Store
  readonly #sink: Sink | null

  /** With a sink, records go there alone, and nothing is stored. */
  constructor(bus: Bus, store: Store, sink: Sink | null) {
    this.#bus = bus
    this.#store = store
    this.#sink = sink
  }

  /**
   * Saves what has changed in each copy, publishes, acknowledges. Waits for as long as store or bus are away. Answers with
   * the hosts whose state somebody else has written: nothing of their copies was saved or published. `traces`: by host, the
   * headers of what is published of it.
   */
  async write(
    copies: ReadonlyMap<string, HostCopy>,
    signal: AbortSignal,
    traces?: ReadonlyMap<string, Headers>,
  ): Promise<Set<string>> {
    const fenced = new Set<string>()
    const outboxes = new Map<string, readonly OutboxRecord[]>()
    const save = async ([hostId, copy]: [string, HostCopy]) => {
      if (this.#sink) return handOver(copy, this.#sink)
      const write = copy.write()
      if (write === null) return
      const version = await untilDone(signal, () => this.#store.save(hostId, write))
      if (version === null) {
        fenced.add(hostId)
        return
      }
      copy.written(version)
      if (write.outbox.length > 0) outboxes.set(hostId, write.outbox)
    }
    await Promise.all(Array.from(copies, save))
    await this.publish(outboxes, signal, traces)
    return fenced
  }

  /** Publishes the outboxes of hosts and acknowledges them. */
  async publish(
    outboxes: ReadonlyMap<string, readonly OutboxRecord[]>,
    signal: AbortSignal,
    traces?: ReadonlyMap<string, Headers>,
  ): Promise<void> {
    const records: BusRecord[] = []
    for (const [hostId, outbox] of outboxes)
      for (const { key, value } of outbox)
        records.push({ key, partitionKey: hostId, value, headers: traces?.get(hostId) })
    if (records.length === 0) return
    await untilDone(signal, () => this.#bus.publish('labeled-sessions', records))
    const acknowledge = ([hostId, outbox]: [string, readonly OutboxRecord[]]) => {
      const ids = outbox.map(({ id }) => id)
      return untilDone(signal, () => this.#store.acknowledge(hostId, ids))
    }
    await Promise.all(Array.from(outboxes, acknowledge))
  }
}

async function handOver(copy: HostCopy, sink: Sink): Promise<void> {
  for (const record of copy.pipeline.take()) {
    const isBehind = sink(record)
    if (isBehind) await isBehind
  }
}
