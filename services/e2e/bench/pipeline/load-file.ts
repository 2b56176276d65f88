import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { zstdCompressSync } from 'node:zlib'
import { codecs, packetsByFlow, partitionKey, type Topic } from '#schemas'
import type { Load, LoadRecord } from './load.ts'

/** A record of a load, ready to be published. */
export interface FiledRecord {
  /** Moment at which its producer has it, milliseconds from the load's begin. */
  atMs: number
  topic: Topic
  key: string
  value: Buffer
}

/** Time, topic, length of key and of value; then both. */
const headBytes = 8 + 1 + 1 + 4
const topics: readonly Topic[] = ['hosts', 'packets', 'socket-snapshots']
const chunkBytes = 4 << 20

/** What was written of a span of time, for the figures. */
export interface LoadFigures {
  records: number
  packets: number
  /** Sessions that began. */
  sessions: number
  /** Sessions that were open at the end. */
  open: number
  /** Before compression. */
  packetBytes: number
  packetRecords: number
  socketBytes: number
  polls: number
  /** Of a whole snapshot, compressed: what a poll would take without deltas. */
  wholeBytes: number
}

/** Writes a load to a file. */
export class LoadWriter {
  readonly #fd: number
  readonly #load: Load
  #parts: Buffer[] = []
  #bytes = 0

  constructor(file: string, load: Load) {
    this.#fd = openSync(file, 'w')
    this.#load = load
    for (const host of load.hostRecords())
      this.#append({ atMs: 0, topic: 'hosts', key: partitionKey(host.host_id), value: codecs.hosts.encode(host) })
  }

  /** Writes the next span of time; hosts are not counted. */
  write(ms: number): LoadFigures {
    const load = this.#load
    const { packets, sessions, polls } = load
    const figures = { records: 0, packetBytes: 0, packetRecords: 0, socketBytes: 0 }
    const whole = { snapshots: 0, bytes: 0 }
    for (let written = 0; written < ms; written += load.shape.batchMs) {
      for (const record of load.next()) {
        const filed = encode(record)
        const [poll] = record.sockets?.polls ?? []
        if (poll?.kind === 'keyframe') {
          whole.snapshots++
          const { length } = zstdCompressSync(codecs['socket-snapshots'].encode({ ...record.sockets!, polls: [poll] }))
          whole.bytes += length
        }
        figures.records++
        if (filed.topic === 'packets') {
          figures.packetBytes += filed.value.length
          figures.packetRecords++
        } else figures.socketBytes += filed.value.length
        this.#append(filed)
      }
    }
    return {
      ...figures,
      packets: load.packets - packets,
      sessions: load.sessions - sessions,
      open: load.open,
      polls: load.polls - polls,
      wholeBytes: whole.bytes / whole.snapshots,
    }
  }

  close(): void {
    this.#flush()
    closeSync(this.#fd)
  }

  #append(record: FiledRecord): void {
    const part = pack(record)
    this.#parts.push(part)
    this.#bytes += part.length
    if (this.#bytes > chunkBytes) this.#flush()
  }

  #flush(): void {
    writeSync(this.#fd, Buffer.concat(this.#parts))
    this.#parts = []
    this.#bytes = 0
  }
}

function encode({ atMs, packets, sockets }: LoadRecord): FiledRecord {
  if (packets)
    return {
      atMs,
      topic: 'packets',
      key: partitionKey(packets.host_id),
      value: codecs.packets.encode(packetsByFlow(packets)),
    }
  const value = codecs['socket-snapshots'].encode(sockets!)
  return { atMs, topic: 'socket-snapshots', key: partitionKey(sockets!.host_id), value }
}

function pack({ atMs, topic, key, value }: FiledRecord): Buffer {
  const head = Buffer.alloc(headBytes)
  head.writeDoubleLE(atMs)
  head[8] = topics.indexOf(topic)
  head[9] = key.length
  head.writeUInt32LE(value.length, 10)
  return Buffer.concat([head, Buffer.from(key), value])
}

/** Reads them back, in their order. */
export function* readLoad(file: string): Generator<FiledRecord> {
  const fd = openSync(file, 'r')
  let data = Buffer.alloc(0)
  const has = (length: number) => {
    if (data.length >= length) return true
    const more = Buffer.allocUnsafe(Math.max(chunkBytes, length))
    data = Buffer.concat([data, more.subarray(0, readSync(fd, more))])
    return data.length >= length
  }
  try {
    while (has(headBytes)) {
      const keyBytes = data[9]!
      const length = headBytes + keyBytes + data.readUInt32LE(10)
      if (!has(length)) return
      yield {
        atMs: data.readDoubleLE(),
        topic: topics[data[8]!]!,
        key: data.toString('latin1', headBytes, headBytes + keyBytes),
        value: data.subarray(headBytes + keyBytes, length),
      }
      data = data.subarray(length)
    }
  } finally {
    closeSync(fd)
  }
}
