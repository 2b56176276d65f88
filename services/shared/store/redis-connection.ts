import { setTimeout as sleep } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import { ProclabelError } from '../errors.ts'
import type { RedisOptions } from './redis-settings.ts'

const retryDelayMs = 50
/** What Redis says when asking again does not help: wrong password, missing permission, wrong use. */
const hopeless = /^(WRONGPASS|NOAUTH|NOPERM|WRONGTYPE|CROSSSLOT|ERR(?! max number of clients))\b/

/**
 * A connection to one Redis or to a cluster, for calls that may safely be made twice. An attempt gets a quarter of
 * `timeoutMs`, and the last begins before the last quarter: time for a server that hangs to be replaced by another. While
 * Redis is away nothing is queued.
 */
export class RedisConnection {
  readonly client: Redis | Cluster
  readonly #timeoutMs: number
  readonly #where: string
  #epoch = 0
  #closing = false
  /** What the connection last failed of: more telling than that it is closed. */
  #lastProblem = ''

  constructor(options: RedisOptions) {
    this.#timeoutMs = options.timeoutMs
    this.#where = options.nodes.map(({ host, port }) => `${host}:${port}`).join(', ')
    this.client = options.cluster ? this.#cluster(options) : this.#single(options)
    this.client.on('error', error => this.#notice(error))
  }

  get epoch(): number {
    return this.#epoch
  }

  /** Makes a call, again and again while that may help and time allows; throws PROCLABEL_STORE. */
  async call<T>(ask: () => Promise<T>): Promise<T> {
    const until = Date.now() + (this.#timeoutMs * 3) / 4
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        const { message } = error as Error
        const isHopeless = this.#closing || hopeless.test(message) || hopeless.test(this.#lastProblem)
        if (isHopeless || Date.now() >= until) throw this.#problem(message, !isHopeless)
      }
      await sleep(retryDelayMs)
    }
  }

  /** Calls under way throw. */
  close(): void {
    this.#closing = true
    this.client.disconnect()
  }

  /** Only the message of what ioredis threw goes on: the error also holds the arguments, at login the password. */
  #problem(message: string, retryable: boolean): ProclabelError {
    const because = this.#lastProblem || message.replace(/^.*enableOfflineQueue.*$/, 'not ready')
    return new ProclabelError('PROCLABEL_STORE', `Redis at ${this.#where}: ${because}`, { retryable })
  }

  #notice(error: Error): void {
    const { code, message } = error as NodeJS.ErrnoException
    this.#lastProblem = message || (code ?? '')
  }

  #lost(): void {
    if (!this.#closing) this.#epoch++
  }

  /** From ready to closed: whether what comes back is the same server with the same data is not known. */
  #watch(redis: Redis): void {
    let ready = false
    redis.on('ready', () => {
      ready = true
      this.#lastProblem = ''
    })
    redis.on('close', () => {
      if (ready && !redis.options.readOnly) this.#lost()
      ready = false
    })
  }

  #single(options: RedisOptions): Redis {
    const redis = new Redis({
      ...options.nodes[0]!,
      ...this.#common(options),
      retryStrategy: attempt => Math.min(retryDelayMs * 2 ** attempt, 1000),
      maxRetriesPerRequest: 1,
      enableOfflineQueue: false,
      // What is asked at one moment goes out in one write.
      enableAutoPipelining: true,
    })
    this.#watch(redis)
    return redis
  }

  #cluster(options: RedisOptions): Cluster {
    const cluster = new Cluster([...options.nodes], {
      redisOptions: this.#common(options),
      clusterRetryStrategy: attempt => Math.min(retryDelayMs * 2 ** attempt, 1000),
      slotsRefreshTimeout: options.timeoutMs / 4,
      enableOfflineQueue: false,
    })
    cluster.on('+node', (redis: Redis) => this.#watch(redis))
    cluster.on('node error', (error: Error) => this.#notice(error))
    let owners = ''
    cluster.on('refresh', () => {
      const now = ownersOf(cluster.slots)
      if (owners !== '' && now !== owners) this.#lost()
      owners = now
    })
    return cluster
  }

  #common({ username, password, tls, timeoutMs }: RedisOptions) {
    return {
      ...(username !== null && { username }),
      ...(password !== null && { password }),
      ...(tls !== null && { tls }),
      commandTimeout: timeoutMs / 4,
      connectTimeout: timeoutMs / 4,
      // Without it a server that vanished without a word is waited for until TCP gives up, a quarter of an hour.
      socketTimeout: timeoutMs / 4,
      connectionName: 'proclabel',
    }
  }
}

/** The master of each range of slots, as one text. */
function ownersOf(slots: readonly (readonly string[] | undefined)[]): string {
  const ranges: string[] = []
  let last: string | undefined
  for (const [slot, nodes] of slots.entries()) {
    const master = nodes?.[0]
    if (master !== last) ranges.push(`${slot} ${master}`)
    last = master
  }
  return ranges.join(',')
}
