import type { HostState, HostWrite, OutboxRecord, Store } from './store.ts'

interface Host {
  version: number
  fields: Map<string, { value: Uint8Array; expiresUs: number }>
  outbox: Map<string, OutboxRecord>
}

/** The store within one process. Nothing of it outlives the process. */
export class MemoryStore implements Store {
  readonly #hosts = new Map<string, Host>()

  async load(hostId: string): Promise<HostState> {
    const { version, fields } = this.#host(hostId)
    return { version, fields: new Map(Array.from(fields, ([name, { value }]) => [name, value])) }
  }

  async save(hostId: string, write: HostWrite): Promise<number | null> {
    const host = this.#host(hostId)
    if (host.version !== write.expectedVersion) return null
    for (const [name, field] of write.put) host.fields.set(name, field)
    for (const record of write.outbox) host.outbox.set(record.id, record)
    return ++host.version
  }

  async outbox(hostId: string): Promise<readonly OutboxRecord[]> {
    return [...this.#host(hostId).outbox.values()]
  }

  async acknowledge(hostId: string, ids: readonly string[]): Promise<void> {
    const { outbox } = this.#host(hostId)
    for (const id of ids) outbox.delete(id)
  }

  async expire(hostId: string, nowUs: number): Promise<number> {
    const { fields } = this.#host(hostId)
    const expired = [...fields].filter(([, { expiresUs }]) => expiresUs < nowUs)
    for (const [name] of expired) fields.delete(name)
    return expired.length
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
