import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Cluster } from 'ioredis'
import { packRecord, unpackRecords } from './outbox-record.ts'
import { packStrings } from './pack-strings.ts'
import { RedisConnection } from './redis-connection.ts'
import type { RedisOptions } from './redis-settings.ts'
import type { HostState, HostWrite, OutboxRecord, Store, Version } from './store.ts'

/** By the wall clock, renewed with every write: only so that hosts that are gone do not stay for ever. */
const ttlMs = 30 * 24 * 3_600_000
/** The state's field that holds the version: the caller's fields all have a name. */
const versionField = ''

const saveScript = readFileSync(new URL('save.lua', import.meta.url), 'utf8')

interface SaveCommand {
  saveHost: (stateKey: string, outboxKey: string, args: readonly (string | Buffer)[]) => Promise<0 | 1>
}

/**
 * The store in one Redis or a Redis Cluster; `README.md` says how it lies there. What is promised of a write is as good as
 * the server's persistence and replication.
 */
export class RedisStore implements Store {
  readonly #connection: RedisConnection
  /** The versions that writes will make: a write asked for again must ask for the same one. */
  readonly #made = new WeakMap<HostWrite, Version>()

  constructor(options: RedisOptions) {
    this.#connection = new RedisConnection(options)
    this.#connection.client.defineCommand('saveHost', { lua: saveScript, numberOfKeys: 2 })
  }

  get epoch(): number {
    return this.#connection.epoch
  }

  async load(hostId: string): Promise<HostState> {
    const { client } = this.#connection
    const fields = new Map(
      Object.entries(await this.#connection.call(() => client.hgetallBuffer(keysOf(hostId).state))),
    )
    const version = fields.get(versionField)?.toString() ?? '0'
    fields.delete(versionField)
    return { version, fields }
  }

  async loadMany(hostIds: readonly string[]): Promise<Map<string, HostState>> {
    // Sent together, each to its node, without waiting in between.
    return new Map(await Promise.all(hostIds.map(async id => [id, await this.load(id)] as const)))
  }

  async save(hostId: string, write: HostWrite): Promise<Version | null> {
    const client = this.#connection.client as unknown as SaveCommand
    const count = Number.parseInt(write.expectedVersion, 10) + 1
    const made = this.#made.get(write) ?? `${count}-${randomUUID()}`
    this.#made.set(write, made)
    const { state, outbox } = keysOf(hostId)
    const args = saveArguments(write, made, count)
    return (await this.#connection.call(() => client.saveHost(state, outbox, args))) === 1 ? made : null
  }

  async outbox(hostId: string): Promise<readonly OutboxRecord[]> {
    const { client } = this.#connection
    return unpackRecords(await this.#connection.call(() => client.hgetallBuffer(keysOf(hostId).outbox)))
  }

  async acknowledge(hostId: string, ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return
    const { client } = this.#connection
    await this.#connection.call(() => client.hdel(keysOf(hostId).outbox, ...ids))
  }

  /** Bytes that the server uses and may use, the fullest node's in a cluster; the limit is 0 where it has none. */
  async memory(): Promise<{ used: number; limit: number }> {
    const { client } = this.#connection
    const nodes = client instanceof Cluster ? client.nodes('master') : [client]
    const infos = await this.#connection.call(() => Promise.all(nodes.map(node => node.info('memory'))))
    const all = infos.map(info => ({ used: numberIn(info, 'used_memory'), limit: numberIn(info, 'maxmemory') }))
    return all.reduce((fullest, one) => (one.used > fullest.used ? one : fullest))
  }

  async close(): Promise<void> {
    this.#connection.close()
  }
}

/**
 * The keys of a host share the hash tag in braces, so they lie in one slot of a cluster. Braces within a host id would end
 * the tag early; an empty tag is none.
 */
export function keysOf(hostId: string): { state: string; outbox: string } {
  const tag = hostId.replace(/[%{}]/g, encodeURIComponent) || '%'
  return { state: `proclabel:{${tag}}:state`, outbox: `proclabel:{${tag}}:outbox` }
}

/** A value of an answer to INFO. */
const numberIn = (info: string, name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)

/** ARGV of save.lua. */
function saveArguments(write: HostWrite, made: Version, count: number): (string | Buffer)[] {
  const set: (string | Uint8Array)[] = []
  const deleted: string[] = []
  for (const [name, value] of write.put) {
    if (value === null) deleted.push(name)
    else set.push(name, value)
  }
  const records = write.outbox.flatMap((record, i) => [record.id, packRecord(record, count, i)])
  const lists = [set, deleted, records].map(packStrings)
  return [write.expectedVersion, made, String(ttlMs), ...lists]
}
