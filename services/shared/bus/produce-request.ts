/**
 * The body of Kafka's Produce request, versions 3 to 7 (KIP-98, record batches of magic 2), written into one buffer. kafkajs
 * makes several buffers and 64-bit objects for every record, which took a seventh of a matcher's time.
 */
import { createRequire } from 'node:module'

const crc32c = createRequire(import.meta.url)('kafkajs/src/protocol/recordBatch/crc32C') as (bytes: Buffer) => number

type Bytes = Buffer | string

export interface ProducedMessage {
  key?: Bytes | null
  value: Bytes | null
  headers?: Record<string, Bytes | Bytes[] | undefined>
  /** Milliseconds since the epoch, as text. */
  timestamp?: string
}

export interface ProduceArguments {
  acks: number
  timeout: number
  compression: number
  transactionalId?: string | null
  /** 64 bits: kafkajs's Long, or text. */
  producerId?: { toString(): string }
  producerEpoch?: number
  topicData: readonly {
    topic: string
    partitions: readonly { partition: number; firstSequence: number; messages: readonly ProducedMessage[] }[]
  }[]
}

/** Answers with what a batch's records are on the wire, compressed by a codec's number; not called for 0. */
export type Compress = (codec: number, records: Buffer) => Promise<Buffer>

const magic = 2
/** Bytes of a record batch from its beginning to the records: length, checksum and attributes lie at these places. */
const batchHeadBytes = 61
const at = { length: 8, magic: 16, crc: 17, attributes: 21, body: 12 } as const
const transactional = 16
/** Lengths, deltas and attributes of a record, five bytes each at most, and ten for a 64-bit delta. */
const recordBytes = 40
/** And what records that do not compress grow by: a few bytes for each block of many thousands. */
const partitionBytes = 8 + batchHeadBytes + 64

/** Writes the request body. */
export async function encodeProduce(request: ProduceArguments, compress: Compress): Promise<Buffer> {
  const { acks, timeout, transactionalId = null, topicData } = request
  const out = new Writer(sizeOf(request))
  out.text16(transactionalId)
  out.int16(acks)
  out.int32(timeout)
  out.int32(topicData.length)
  for (const { topic, partitions } of topicData) {
    out.text16(topic)
    out.int32(partitions.length)
    for (const { partition, firstSequence, messages } of partitions) {
      out.int32(partition)
      const from = out.at
      out.at += 4
      await writeBatch(out, request, firstSequence, messages, compress)
      out.bytes.writeInt32BE(out.at - from - 4, from)
    }
  }
  return out.bytes.subarray(0, out.at)
}

async function writeBatch(
  out: Writer,
  request: ProduceArguments,
  firstSequence: number,
  messages: readonly ProducedMessage[],
  compress: Compress,
): Promise<void> {
  const { compression, transactionalId, producerId = '-1', producerEpoch = 0 } = request
  const from = out.at
  const { bytes } = out
  const nowMs = Date.now()
  const timesMs = messages.map(({ timestamp }) => (timestamp === undefined ? nowMs : Number(timestamp)))
  const firstMs = timesMs[0] ?? nowMs
  out.at += batchHeadBytes
  for (const [i, message] of messages.entries()) writeRecord(out, message, i, timesMs[i]! - firstMs)
  if (compression !== 0) {
    const records = await compress(compression, bytes.subarray(from + batchHeadBytes, out.at))
    bytes.set(records, from + batchHeadBytes)
    out.at = from + batchHeadBytes + records.length
  }
  bytes.fill(0, from, from + batchHeadBytes)
  bytes.writeInt32BE(out.at - from - at.body, from + at.length)
  bytes[from + at.magic] = magic
  bytes.writeInt16BE(compression | (transactionalId ? transactional : 0), from + at.attributes)
  bytes.writeInt32BE(messages.length - 1, from + 23)
  bytes.writeBigInt64BE(BigInt(firstMs), from + 27)
  bytes.writeBigInt64BE(BigInt(timesMs.reduce((latest, ms) => Math.max(latest, ms), firstMs)), from + 35)
  bytes.writeBigInt64BE(BigInt(producerId.toString()), from + 43)
  bytes.writeInt16BE(producerEpoch, from + 51)
  bytes.writeInt32BE(firstSequence, from + 53)
  bytes.writeInt32BE(messages.length, from + 57)
  bytes.writeUInt32BE(crc32c(bytes.subarray(from + at.attributes, out.at)), from + at.crc)
}

function writeRecord(out: Writer, { key, value, headers }: ProducedMessage, offset: number, deltaMs: number): void {
  // The length of the body comes first: it is written behind room for five bytes, and then moved back.
  const from = out.at
  out.at += maxVarInt
  out.bytes[out.at++] = 0
  out.varInt(deltaMs)
  out.varInt(offset)
  out.varBytes(key ?? null)
  out.varBytes(value)
  const list = headers === undefined ? [] : headerList(headers)
  out.varInt(list.length)
  for (const [name, text] of list) {
    out.varBytes(name)
    out.varBytes(text)
  }
  const bodyBytes = out.at - from - maxVarInt
  const end = out.at
  out.at = from
  out.varInt(bodyBytes)
  out.bytes.copyWithin(out.at, from + maxVarInt, end)
  out.at += bodyBytes
}

const headerList = (headers: NonNullable<ProducedMessage['headers']>): [string, Bytes][] =>
  Object.entries(headers).flatMap(([name, values]) =>
    values === undefined ? [] : [values].flat().map((value): [string, Bytes] => [name, value]),
  )

/** No less than the request takes. */
function sizeOf({ topicData, transactionalId }: ProduceArguments): number {
  let size = 64 + 3 * (transactionalId?.length ?? 0)
  for (const { topic, partitions } of topicData) {
    size += 8 + 3 * topic.length
    for (const { messages } of partitions) {
      size += partitionBytes
      for (const { key, value, headers } of messages) {
        size += recordBytes + mostBytes(key) + mostBytes(value)
        if (headers !== undefined)
          for (const [name, text] of headerList(headers)) size += 2 * maxVarInt + mostBytes(name) + mostBytes(text)
      }
    }
  }
  return size + (size >> 8)
}

const mostBytes = (bytes: Bytes | null | undefined) =>
  typeof bytes === 'string' ? 3 * bytes.length : (bytes?.length ?? 0)

const maxVarInt = 5

class Writer {
  readonly bytes: Buffer
  at = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  int16(value: number): void {
    this.at = this.bytes.writeInt16BE(value, this.at)
  }

  int32(value: number): void {
    this.at = this.bytes.writeInt32BE(value, this.at)
  }

  /** A length of 16 bits and the text; -1 for null. */
  text16(text: string | null): void {
    this.int16(text === null ? -1 : Buffer.byteLength(text))
    if (text !== null) this.at += this.bytes.write(text, this.at)
  }

  /** A zigzag number of 7 bits a byte, lowest first; exact up to 2^52. */
  varInt(value: number): void {
    let zigzag = value >= 0 ? 2 * value : -2 * value - 1
    for (; zigzag > 127; zigzag = Math.floor(zigzag / 128)) this.bytes[this.at++] = (zigzag % 128) | 128
    this.bytes[this.at++] = zigzag
  }

  /** The length and the bytes; -1 for null. */
  varBytes(value: Bytes | null): void {
    if (value === null) this.varInt(-1)
    else if (typeof value === 'string') {
      this.varInt(Buffer.byteLength(value))
      this.at += this.bytes.write(value, this.at)
    } else {
      this.varInt(value.length)
      this.bytes.set(value, this.at)
      this.at += value.length
    }
  }
}
