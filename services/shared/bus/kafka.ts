import { Kafka, type LogEntry, logLevel } from 'kafkajs'
import { ProclabelError } from '../errors.ts'
import type { BeginAt, Bus, BusRecord, PartitionListener, ReaderStatistics, Subscription } from './bus.ts'
import { registerCodecs } from './codecs.ts'
import { KafkaPublisher } from './kafka-publisher.ts'
import { type KafkaSecurity, readSecurity } from './kafka-security.ts'
import { openKafkaSocket } from './kafka-socket.ts'
import { defaultTimes, KafkaSubscription, type SubscriptionTimes } from './kafka-subscription.ts'
import { patchKafkajs } from './kafkajs-patches.ts'

const connectMs = 5000
const requestMs = 15_000
/** About half a minute when a broker refuses, more when it is silent; then publishers and readers are told. */
const retry = { initialRetryTime: 200, maxRetryTime: 5000, retries: 8 }

export interface KafkaBusOptions {
  /** Bootstrap addresses, `host:port`. */
  brokers: readonly string[]
  /** Names this process in the brokers' logs and metrics. */
  clientId: string
  security?: KafkaSecurity
  /** What kafkajs has to say, warnings and errors; silent without it. */
  log?: (level: 'error' | 'warn', message: string, fields: Record<string, unknown>) => void
  times?: Partial<SubscriptionTimes>
}

/** The bus between processes. Connects when it is first used; topics must exist. */
export class KafkaBus implements Bus {
  readonly #kafka: Kafka
  readonly #publisher: KafkaPublisher
  readonly #subscriptions = new Set<KafkaSubscription>()
  readonly #times: SubscriptionTimes
  #isClosed = false

  /** Throws PROCLABEL_CONFIG when a file of the security options cannot be read. */
  constructor({ brokers, clientId, security = {}, log, times = {} }: KafkaBusOptions) {
    registerCodecs()
    patchKafkajs()
    this.#times = { ...defaultTimes, ...times }
    this.#kafka = new Kafka({
      brokers: [...brokers],
      clientId,
      connectionTimeout: connectMs,
      requestTimeout: requestMs,
      retry,
      socketFactory: openKafkaSocket,
      ...readSecurity(security),
      logLevel: log ? logLevel.WARN : logLevel.NOTHING,
      logCreator: () => (entry: LogEntry) => {
        const { message, timestamp: _, ...fields } = entry.log
        log?.(entry.level === logLevel.ERROR ? 'error' : 'warn', message, fields)
      },
    })
    this.#publisher = new KafkaPublisher(this.#kafka)
  }

  publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    return this.#publisher.publish(topic, records)
  }

  subscribe(
    topics: readonly string[],
    group: string,
    signal: AbortSignal,
    listener: PartitionListener = {},
    beginAt: BeginAt = 'earliest',
  ): Subscription {
    if (this.#isClosed) throw new ProclabelError('PROCLABEL_BUS', `${group}: the bus is closed`)
    const subscription = new KafkaSubscription({
      kafka: this.#kafka,
      topics,
      group,
      signal,
      listener,
      beginAt,
      times: this.#times,
    })
    this.#subscriptions.add(subscription)
    return subscription
  }

  reader(group: string): ReaderStatistics | null {
    const readers = [...this.#subscriptions].filter(one => one.group === group && !one.isOver)
    return readers.at(-1)?.statistics ?? null
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.#publisher.close(), ...Array.from(this.#subscriptions, one => one.stop())])
  }
}
