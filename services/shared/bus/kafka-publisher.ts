import { setTimeout as sleep } from 'node:timers/promises'
import { CompressionTypes, type IHeaders, type Kafka, type Message, Partitioners, type Producer } from 'kafkajs'
import { ProclabelError } from '../errors.ts'
import type { BusRecord, Headers } from './bus.ts'

/** Several records in one request; a broker takes record batches of 1 MB. */
const requestBytes = 900_000
/** One record, which then has a request of its own: a keyframe of 300,000 sockets. Whether it fits, compressed, its topic decides. */
const largestRecordBytes = 16 << 20
/** kafkajs sorts the records of a request in quadratic time. */
const requestRecords = 1000
/** How long a request waits for more to send with it (Kafka's `linger.ms`): 5 ms as in the clients of Kafka 4. */
const lingerMs = 5
/** Of all that waits. */
const queueBytes = 64 << 20
const recordBytes = 100
/** Of a key, as long as a host id may be: kafkajs takes a minute to find the partition of one of 1 MB. */
const largestKeyBytes = 255
/**
 * Records of so many bytes on average are compressed. Each partition's share of a request is compressed by itself: for small
 * records that costs twenty times what it saves (`compression.type` of their topic lets the broker do it).
 */
const compressFromBytes = 1000

interface Waiting {
  topic: string
  messages: KeyedMessage[]
  bytes: number
  isLarge: boolean
  resolve: () => void
  reject: (error: ProclabelError) => void
}

type KeyedMessage = Message & { partitionKey: string }

/** Keys whose partition is remembered: kafkajs takes microseconds to hash one. */
const rememberedKeys = 65_536

/** Java's murmur2 of the partition key, as every producer of ours does it. */
const createPartitioner = () => {
  const byKey = Partitioners.DefaultPartitioner()
  const known = new Map<string, number>()
  let partitions = 0
  return (args: Parameters<typeof byKey>[0]) => {
    const { partitionKey } = args.message as KeyedMessage
    if (args.partitionMetadata.length !== partitions || known.size >= rememberedKeys) {
      known.clear()
      partitions = args.partitionMetadata.length
    }
    let partition = known.get(partitionKey)
    if (partition === undefined) {
      partition = byKey({ ...args, message: { ...args.message, key: partitionKey } })
      known.set(partitionKey, partition)
    }
    return partition
  }
}

/**
 * Sends what is published, one request at a time, in order, several publishes to a request. The broker leaves out what a
 * retry repeats (idempotent producer). After a failure kafkajs's producer does not know which sequence numbers the
 * broker has: it is not used again, and what waited behind is refused, so that no later record overtakes a failed one.
 */
export class KafkaPublisher {
  readonly #kafka: Kafka
  #producer: Promise<Producer> | null = null
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #sending: Promise<void> | null = null
  #isClosed = false

  constructor(kafka: Kafka) {
    this.#kafka = kafka
  }

  publish(topic: string, records: readonly BusRecord[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(refusal(`${topic}: the bus is closed`, false))
    if (records.length === 0) return Promise.resolve()
    if (this.#waitingBytes > queueBytes)
      return Promise.reject(refusal(`${topic}: ${this.#waitingBytes} bytes wait to be published already`, true))
    const problem = problemOf(records)
    if (problem) return Promise.reject(new ProclabelError('PROCLABEL_RECORD', `${topic}: ${problem}`))
    return new Promise((resolve, reject) => {
      const parts = split(records)
      for (const [i, part] of parts.entries())
        this.#waiting.push({
          topic,
          ...part,
          isLarge: isLarge(part),
          resolve: i === parts.length - 1 ? resolve : () => {},
          reject,
        })
      for (const { bytes } of parts) this.#waitingBytes += bytes
      this.#sending ??= this.#send()
    })
  }

  /** Waits for what is being sent; refuses what waits behind. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#refuse(refusal('the bus was closed', true))
    await this.#sending
    await this.#drop()
  }

  /** Refuses all that waits. */
  #refuse(error: ProclabelError): void {
    for (const { reject } of this.#waiting) reject(error)
    this.#waiting = []
    this.#waitingBytes = 0
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0) {
      if (this.#waitingBytes < requestBytes) await sleep(lingerMs)
      const request = this.#next()
      try {
        const producer = await this.#connected()
        const topics = Map.groupBy(request, ({ topic }) => topic)
        await producer.sendBatch({
          acks: -1,
          compression: request[0]!.isLarge ? CompressionTypes.ZSTD : CompressionTypes.None,
          topicMessages: Array.from(topics, ([topic, parts]) => ({
            topic,
            messages: parts.flatMap(({ messages }) => messages),
          })),
        })
        for (const { resolve } of request) resolve()
      } catch (error) {
        await this.#drop()
        // Else retryable whatever it was: also a missing right may be granted while the producer keeps its records.
        const failed = refusal(`publishing failed: ${(error as Error).message}`, true, error)
        const answer = isTooLarge(error) ? tooLarge(request, error) : failed
        for (const { reject } of request) reject(answer)
        this.#refuse(failed)
      }
    }
    this.#sending = null
  }

  /** Takes what fits one request, compressed or not. */
  #next(): Waiting[] {
    let count = 0
    let bytes = 0
    let records = 0
    for (const waiting of this.#waiting) {
      bytes += waiting.bytes
      records += waiting.messages.length
      const isFull = bytes > requestBytes || records > requestRecords
      if (count > 0 && (isFull || waiting.isLarge !== this.#waiting[0]!.isLarge)) break
      count += 1
      this.#waitingBytes -= waiting.bytes
    }
    return this.#waiting.splice(0, count)
  }

  #connected(): Promise<Producer> {
    this.#producer ??= this.#connect()
    return this.#producer
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({ idempotent: true, maxInFlightRequests: 1, createPartitioner })
    await producer.connect()
    return producer
  }

  async #drop(): Promise<void> {
    const producer = this.#producer
    this.#producer = null
    try {
      await (await producer)?.disconnect()
    } catch {
      // It was never connected, or its connection is gone already.
    }
  }
}

interface Portion {
  messages: KeyedMessage[]
  bytes: number
}

const isLarge = ({ messages, bytes }: Portion) => bytes >= compressFromBytes * messages.length

function refusal(message: string, retryable: boolean, cause?: unknown): ProclabelError {
  return new ProclabelError('PROCLABEL_BUS', message, { retryable, cause })
}

const asBuffer = ({ buffer, byteOffset, length }: Uint8Array) => Buffer.from(buffer, byteOffset, length)

const toKafka = (headers: Headers): IHeaders =>
  Object.fromEntries(Object.entries(headers).map(([name, bytes]) => [name, asBuffer(bytes)]))

function headerBytes(headers: Headers | undefined): number {
  let bytes = 0
  if (headers) for (const name in headers) bytes += name.length + headers[name]!.length
  return bytes
}

/** Whether the broker will say so every time: a batch larger than `max.message.bytes` of its topic. */
function isTooLarge(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  return (error as { type?: string }).type === 'MESSAGE_TOO_LARGE' || isTooLarge(error.cause)
}

/** Why one of these records cannot be sent; null where all can. */
function problemOf(records: readonly BusRecord[]): string | null {
  for (const { key, partitionKey, value } of records) {
    if ((value?.length ?? 0) > largestRecordBytes)
      return `a record of ${value!.length} bytes; at most ${largestRecordBytes} can be sent`
    // No character has more than three bytes.
    for (const text of [key, partitionKey ?? '']) {
      if (text.length * 3 <= largestKeyBytes) continue
      const bytes = Buffer.byteLength(text)
      if (bytes > largestKeyBytes) return `a key of ${bytes} bytes; at most ${largestKeyBytes} can be sent`
    }
  }
  return null
}

function tooLarge(request: readonly Waiting[], cause: unknown): ProclabelError {
  const bytes = request.reduce((sum, waiting) => sum + waiting.bytes, 0)
  const topics = [...new Set(request.map(({ topic }) => topic))].join(', ')
  return new ProclabelError('PROCLABEL_RECORD', `${topics}: ${bytes} bytes are more than max.message.bytes allows`, {
    cause,
  })
}

/** The records in portions that fit a request. */
function split(records: readonly BusRecord[]): Portion[] {
  const parts: Portion[] = []
  let part: Portion = { messages: [], bytes: 0 }
  for (const { key, partitionKey = key, value, headers } of records) {
    const bytes = recordBytes + key.length + (value?.length ?? 0) + headerBytes(headers)
    if (part.messages.length === requestRecords || (part.bytes > 0 && part.bytes + bytes > requestBytes)) {
      parts.push(part)
      part = { messages: [], bytes: 0 }
    }
    part.messages.push({
      key,
      partitionKey,
      value: value && asBuffer(value),
      ...(headers && { headers: toKafka(headers) }),
    })
    part.bytes += bytes
  }
  parts.push(part)
  return parts
}
