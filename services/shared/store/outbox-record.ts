import type { OutboxRecord } from './store.ts'

/** count of the write u48, place in it u32, bytes of topic u16, bytes of key u32; then topic, key, value. Big endian. */
const orderBytes = 10
const headBytes = orderBytes + 6

/** A record as one field of the outbox hash, which has no order of its own. */
export function packRecord({ topic, key, value }: OutboxRecord, count: number, place: number): Buffer {
  const topicBytes = Buffer.byteLength(topic)
  const keyBytes = Buffer.byteLength(key)
  const packed = Buffer.allocUnsafe(headBytes + topicBytes + keyBytes + value.length)
  packed.writeUIntBE(count, 0, 6)
  packed.writeUInt32BE(place, 6)
  packed.writeUInt16BE(topicBytes, 10)
  packed.writeUInt32BE(keyBytes, 12)
  packed.write(topic, headBytes)
  packed.write(key, headBytes + topicBytes)
  packed.set(value, headBytes + topicBytes + keyBytes)
  return packed
}

/** The records of an outbox hash, in the order in which they were written. */
export function unpackRecords(hash: Readonly<Record<string, Buffer>>): OutboxRecord[] {
  return Object.entries(hash)
    .sort(([, a], [, b]) => a.compare(b, 0, orderBytes, 0, orderBytes))
    .map(([id, packed]) => {
      const keyFrom = headBytes + packed.readUInt16BE(10)
      const valueFrom = keyFrom + packed.readUInt32BE(12)
      const topic = packed.toString('utf8', headBytes, keyFrom)
      return { id, topic, key: packed.toString('utf8', keyFrom, valueFrom), value: packed.subarray(valueFrom) }
    })
}
