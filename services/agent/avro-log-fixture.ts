import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import avro from 'avsc'
import type { SocketSnapshot } from '#schemas'
import { readSchema } from '../../schemas/generate-types.ts'
import { host, NOON_US, socket } from './log-fixture.ts'
import { SocketLogWriter } from './record.ts'
import { readSocketLog, type SocketLogRecord } from './socket-log.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-avro-'))
after(() => rmSync(folder, { recursive: true }))
let files = 0
export const fresh = (name = '') => path.join(folder, `${files++}${name}`)

export function createSnapshot(seq: number, opened = [socket]): SocketSnapshot {
  const times = { time_us: NOON_US + seq, monotonic_us: 1, duration_us: 1 }
  const kind = seq === 0 ? 'keyframe' : 'delta'
  return {
    host_id: 'desk',
    run_id: 'r',
    seq,
    polls: [{ poll_seq: seq, kind, ...times, opened, closed: [] }],
    processes: [],
  }
}

export const createEntry = (seq: number): SocketLogRecord => ({
  topic: 'socket-snapshots',
  record: createSnapshot(seq),
})

export function writeLog(format: 'jsonl' | 'avro', entries: readonly SocketLogRecord[]): string {
  const out = fresh()
  const writer = new SocketLogWriter(out, 'desk', format)
  for (const { topic, record } of entries) writer.append(topic, record as never)
  writer.close()
  return out
}

export function writeFile(bytes: Buffer): string {
  const file = fresh('.avro')
  writeFileSync(file, bytes)
  return file
}

/** The bytes of the one file in the folder that writeLog makes. */
export const bytesOf = (entries: readonly SocketLogRecord[]): Buffer => {
  const out = writeLog('avro', entries)
  return readFileSync(path.join(out, readdirSync(out)[0]!))
}

/** Without the classes that the codecs make. */
export const plain = <T>(value: T): T => JSON.parse(JSON.stringify(value))

export async function readAll(paths: string | string[]) {
  const log = readSocketLog(paths)
  const records: SocketLogRecord[] = []
  for await (const record of log) records.push(record)
  return { records: plain(records), ...log.counts }
}

/** A container file as another writer makes it: all records in one block. */
export async function encodeOther(
  schema: unknown,
  values: readonly unknown[],
  codec: 'null' | 'deflate',
): Promise<Buffer> {
  const encoder = new avro.streams.BlockEncoder(avro.Type.forSchema(schema as avro.Schema), { codec })
  for (const value of values) encoder.write(value)
  encoder.end()
  return Buffer.concat(await encoder.toArray())
}

export const allSchemas = [readSchema('host'), readSchema('socket-snapshot'), readSchema('socket-event')]
export const SYNC = Buffer.alloc(16, 0xa5)
export const varint = (value: number): Buffer => avro.Type.forSchema('long').toBuffer(value)
export const sized = (bytes: Buffer): Buffer => Buffer.concat([varint(bytes.length), bytes])

export function header(schema: unknown, codec = 'null', text = JSON.stringify(schema)): Buffer {
  const meta = { 'avro.schema': text, 'avro.codec': codec }
  const entries = Object.entries(meta).flatMap(([key, value]) => [sized(Buffer.from(key)), sized(Buffer.from(value))])
  return Buffer.concat([Buffer.from('Obj\x01'), varint(entries.length / 2), ...entries, varint(0), SYNC])
}

export const block = (count: number, body: Buffer): Buffer => Buffer.concat([varint(count), sized(body), SYNC])
export const hostBody = (): Buffer =>
  Buffer.concat([varint(0), avro.Type.forSchema(allSchemas[0] as avro.Schema).toBuffer(host)])

/** A short log: the host, then a keyframe and two deltas. */
export const small: SocketLogRecord[] = [{ topic: 'hosts', record: host }, ...[0, 1, 2].map(createEntry)]
