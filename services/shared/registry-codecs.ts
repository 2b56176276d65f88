import { setTimeout as sleep } from 'node:timers/promises'
import { createCodecs, schemaIdOf, schemaOf, type Topic, topics, type VersionedCodecs } from '#schemas'
import type { HealthComponent } from './health.ts'
import type { Log } from './log.ts'
import type { Registry } from './registry.ts'
import { RegistryCache } from './registry-cache.ts'
import type { RegistryMetrics } from './service-metrics.ts'

const firstRetryMs = 500
const maxRetryMs = 15_000
/** Ids that the registry refused are not asked for again so soon, and no more than so many are asked for in that time. */
const refusedMs = 60_000
const maxRefused = 1000

const topicNames = Object.keys(topics) as Topic[]
export const subjectOf = (topic: Topic): string => `${topic}-value`
/** A topic's schema as it is registered. */
export const schemaText = (topic: Topic): string => JSON.stringify(schemaOf(topic))

export interface RegistryCodecsOptions {
  registry: Pick<Registry, 'idOf' | 'schema'>
  /** Remembers ids and schemas, so that a start works while the registry is away; null remembers nothing. */
  cacheFile: string | null
  log: Log
  metrics: RegistryMetrics
  health: HealthComponent
  signal: AbortSignal
}

type Ids = Record<Topic, number>

/** Codecs with the ids that a registry gave; `prepare` learns the schemas of records that other versions wrote. */
export class RegistryCodecs {
  readonly codecs: VersionedCodecs
  readonly #options: RegistryCodecsOptions
  readonly #cache: RegistryCache
  /** Ids by topic that are no schema of its subject, and until when that is believed, by performance.now(). */
  readonly #refused = new Map<string, number>()

  private constructor(options: RegistryCodecsOptions, cache: RegistryCache, ids: Ids) {
    this.#options = options
    this.#cache = cache
    this.codecs = createCodecs(topic => ids[topic])
    for (const { topic, id, schema } of cache.versions) {
      if (id !== ids[topic]) this.#learn(topic, id, schema)
    }
    options.health.ready()
  }

  /**
   * Resolves once the ids are known: from the registry, or while that is away from the cache. Until then it asks again and
   * again, and says so in `health`. Rejects when `signal` aborts meanwhile.
   */
  static async connect(options: RegistryCodecsOptions): Promise<RegistryCodecs> {
    const { cacheFile, log, health, signal } = options
    const cache = new RegistryCache(cacheFile, topicNames.map(schemaText).join('\n'), log)
    for await (const _ of retries(signal)) {
      try {
        const ids = await askIds(options)
        if (ids !== null) {
          cache.setIds(ids)
          return new RegistryCodecs(options, cache, ids)
        }
        log.warn("schemas are not registered yet: run 'proclabel topics apply'")
        health.notReady("schemas are not registered yet: run 'proclabel topics apply'")
      } catch (error) {
        if (cache.ids !== null) {
          log.warn({ error }, 'schema ids come from the cache')
          const codecs = new RegistryCodecs(options, cache, cache.ids as Ids)
          codecs.#verify().catch(() => {})
          return codecs
        }
        log.warn({ error }, 'no schema ids yet')
        health.notReady((error as Error).message)
      }
    }
    throw signal.reason
  }

  /**
   * Makes the codecs know the schema ids of these records, as far as they are of the records' topics: the others will be
   * refused by `decode`. Undefined when nothing is to be done. While the registry is away it waits, until `signal` aborts:
   * a record that the registry could explain is not given up.
   */
  prepare(records: Iterable<{ topic: string; value: Uint8Array | null }>): Promise<void> | undefined {
    let unknown: Map<string, { topic: Topic; id: number }> | undefined
    for (const { topic, value } of records) {
      const id = value && schemaIdOf(value)
      if (id === null || !Object.hasOwn(topics, topic)) continue
      if (this.codecs[topic as Topic].knows(id)) continue
      unknown ??= new Map()
      unknown.set(`${topic} ${id}`, { topic: topic as Topic, id })
    }
    return unknown && this.#askAll(unknown)
  }

  async #askAll(unknown: ReadonlyMap<string, { topic: Topic; id: number }>): Promise<void> {
    const { signal, log, health } = this.#options
    for (const [key, { topic, id }] of unknown) {
      if (this.#isRefused(key)) continue
      for await (const _ of retries(signal)) {
        try {
          const schema = await this.#askSchema(topic, id)
          if (schema === null || !this.#learn(topic, id, schema)) {
            this.#refused.set(key, performance.now() + refusedMs)
            log.warn({ topic, schema_id: id }, 'no schema of this topic has this id')
          } else {
            this.#cache.addVersion({ topic, id, schema })
            log.info({ topic, schema_id: id }, 'another version of the schema is read')
          }
          health.ready()
          break
        } catch (error) {
          log.warn({ error, topic, schema_id: id }, 'records wait for their schema')
          health.notReady((error as Error).message)
        }
      }
      signal.throwIfAborted()
    }
  }

  #isRefused(key: string): boolean {
    const now = performance.now()
    for (const [refused, untilMs] of this.#refused) if (untilMs <= now) this.#refused.delete(refused)
    return this.#refused.has(key) || this.#refused.size >= maxRefused
  }

  /** The schema with this id; null when there is none, or when it is not registered for this topic. */
  async #askSchema(topic: Topic, id: number): Promise<string | null> {
    const { registry, metrics } = this.#options
    const schema = await counted(metrics, 'schema', () => registry.schema(id))
    if (schema === null) return null
    const found = await counted(metrics, 'id', () => registry.idOf(subjectOf(topic), schema))
    return found === id ? schema : null
  }

  /** Whether records with this id can be read from now on. */
  #learn(topic: Topic, id: number, schema: string): boolean {
    try {
      this.codecs[topic].learn(id, JSON.parse(schema))
      return true
    } catch (error) {
      this.#options.log.error({ error, topic, schema_id: id }, 'a version of the schema cannot be read')
      return false
    }
  }

  /** After a start from the cache: takes over what the registry says as soon as it is back. */
  async #verify(): Promise<void> {
    const { signal, log } = this.#options
    for await (const _ of retries(signal)) {
      const ids = await askIds(this.#options).catch(() => null)
      if (ids === null) continue
      for (const topic of topicNames) {
        if (ids[topic] === this.#cache.ids?.[topic]) continue
        log.warn({ topic, schema_id: ids[topic] }, 'the registry has another schema id than the cache')
        this.codecs[topic].writeAs(ids[topic])
      }
      this.#cache.setIds(ids)
      return
    }
  }
}

/** Null when a schema is not registered; throws when the registry is away. */
async function askIds({ registry, metrics }: RegistryCodecsOptions): Promise<Ids | null> {
  const ids: Partial<Ids> = {}
  for (const topic of topicNames) {
    const id = await counted(metrics, 'id', () => registry.idOf(subjectOf(topic), schemaText(topic)))
    if (id === null) return null
    ids[topic] = id
  }
  return ids as Ids
}

async function counted<T>({ requests }: RegistryMetrics, operation: 'id' | 'schema', ask: () => Promise<T | null>) {
  try {
    const answer = await ask()
    requests.add(1, { operation, result: answer === null ? 'not-found' : 'ok' })
    return answer
  } catch (error) {
    requests.add(1, { operation, result: 'error' })
    throw error
  }
}

/** One turn at once, further ones after longer and longer waits; ends when `signal` aborts. */
async function* retries(signal: AbortSignal): AsyncGenerator<void> {
  for (let waitMs = firstRetryMs; !signal.aborted; waitMs = Math.min(2 * waitMs, maxRetryMs)) {
    yield
    await sleep(waitMs, undefined, { signal }).catch(() => {})
  }
}
