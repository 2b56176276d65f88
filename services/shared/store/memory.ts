import type { HostState, HostWrite, OutboxRecord, Store, Version } from './store.ts'

interface Host {
  version: number
  fields: Map<string, Uint8Array>
  outbox: Map<string, OutboxRecord>
}

/** The store within one process. Nothing of it outlives the process. */
export class MemoryStore implements Store {
  readonly epoch: number = 0
  readonly #hosts = new Map<string, Host>()
  /** The versions that writes made, for the caller who asks again. */
  readonly #made = new WeakMap<HostWrite, number>()

  async load(hostId: string): Promise<HostState> {
    const { version, fields } = this.#host(hostId)
    return { version: String(version), fields: new Map(fields) }
  }

  async loadMany(hostIds: readonly string[]): Promise<Map<string, HostState>> {
    return new Map(await Promise.all(hostIds.map(async id => [id, await this.load(id)] as const)))
  }

  async save(hostId: string, write: HostWrite): Promise<Version | null> {
    const host = this.#host(hostId)
    if (this.#made.get(write) === host.version) return String(host.version)
    if (String(host.version) !== write.expectedVersion) return null
    for (const [name, value] of write.put) {
      if (value === null) host.fields.delete(name)
      else host.fields.set(name, value)
    }
    for (const record of write.outbox) {
      host.outbox.delete(record.id)
      host.outbox.set(record.id, record)
    }
    this.#made.set(write, ++host.version)
    return String(host.version)
  }

  async outbox(hostId: string): Promise<readonly OutboxRecord[]> {
    return [...this.#host(hostId).outbox.values()]
  }

  async acknowledge(hostId: string, ids: readonly string[]): Promise<void> {
    const { outbox } = this.#host(hostId)
    for (const id of ids) outbox.delete(id)
  }

  async close(): Promise<void> {
    this.#hosts.clear()
  }

  #host(hostId: string): Host {
    let host = this.#hosts.get(hostId)
    if (!host) {
      host = { version: 0, fields: new Map(), outbox: new Map() }
      this.#hosts.set(hostId, host)
    }
    return host
  }
}
