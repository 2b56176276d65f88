import { crc32 } from 'node:zlib'

/** A record on its way to the bus; its key decides its partition. */
export interface OutgoingRecord {
  topic: string
  key: string
  value: Uint8Array | null
}

/**
 * A segment file, numbers little-endian:
 *
 * ```
 * magic (8) | record | record | …
 * record: length of the body (4) | CRC-32 of the body (4) | body
 * body:   length of the topic (2), of the key (4), of the value (4; -1 for a tombstone) | topic | key | value
 * ```
 *
 * A process that is killed, or a disk that is full, leaves at most a torn record at the end: its length or its CRC does not fit.
 */
export const segmentMagic = Buffer.from('PLSPOOL1')
export const recordHeaderBytes = 8
const bodyHeaderBytes = 10

export function encodeRecord({ topic, key, value }: OutgoingRecord): Buffer {
  const topicBytes = Buffer.byteLength(topic)
  const keyBytes = Buffer.byteLength(key)
  const bytes = Buffer.allocUnsafe(
    recordHeaderBytes + bodyHeaderBytes + topicBytes + keyBytes + (value === null ? 0 : value.length),
  )
  const body = bytes.subarray(recordHeaderBytes)
  body.writeUInt16LE(topicBytes, 0)
  body.writeUInt32LE(keyBytes, 2)
  body.writeInt32LE(value === null ? -1 : value.length, 6)
  body.write(topic, bodyHeaderBytes)
  body.write(key, bodyHeaderBytes + topicBytes)
  if (value !== null) body.set(value, bodyHeaderBytes + topicBytes + keyBytes)
  bytes.writeUInt32LE(body.length, 0)
  bytes.writeUInt32LE(crc32(body), 4)
  return bytes
}

/** Where the record at `at` ends if its length is true; null when the bytes do not reach that far, or hold no record there. */
export function recordEnd(bytes: Buffer, at: number): number | null {
  const bodyAt = at + recordHeaderBytes
  if (bodyAt > bytes.length) return null
  const length = bytes.readUInt32LE(at)
  return length < bodyHeaderBytes ? null : bodyAt + length
}

/** The record between `at` and `end`; null when it is torn or damaged. */
export function decodeRecord(bytes: Buffer, at: number, end: number): OutgoingRecord | null {
  if (!isRecord(bytes, at, end)) return null
  const body = bytes.subarray(at + recordHeaderBytes, end)
  const keyAt = bodyHeaderBytes + body.readUInt16LE(0)
  const valueAt = keyAt + body.readUInt32LE(2)
  const valueBytes = body.readInt32LE(6)
  return {
    topic: body.toString('utf8', bodyHeaderBytes, keyAt),
    key: body.toString('utf8', keyAt, valueAt),
    value: valueBytes < 0 ? null : body.subarray(valueAt, valueAt + valueBytes),
  }
}

const isRecord = (bytes: Buffer, at: number, end: number): boolean =>
  end <= bytes.length && crc32(bytes.subarray(at + recordHeaderBytes, end)) === bytes.readUInt32LE(at + 4)

/** How much of a segment can be read back: its whole records, from the beginning to the first that is torn. */
export function checkSegment(bytes: Buffer): { records: number; bytes: number } {
  if (!bytes.subarray(0, segmentMagic.length).equals(segmentMagic)) return { records: 0, bytes: 0 }
  let at = segmentMagic.length
  let records = 0
  for (let end = recordEnd(bytes, at); end !== null && isRecord(bytes, at, end); end = recordEnd(bytes, at)) {
    at = end
    records++
  }
  return { records, bytes: at }
}
