import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Host, SocketSnapshot, TopicRecord } from '#schemas'
import { InputError, ProclabelError } from '#shared/errors.ts'
import { type AgentOptions, type AgentStatistics, type AgentTopic, runAgent } from './agent.ts'
import { AvroLogEncoder } from './avro-log.ts'

/** JSON Lines (socket-log.ts) or Avro container files (avro-log.ts). */
export type LogFormat = 'jsonl' | 'avro'

export interface RecordOptions extends Omit<AgentOptions, 'publish'> {
  /** Folder of the log; made when it is not there. */
  out: string
  /** JSON Lines when not given. */
  format?: LogFormat | undefined
}

/** A log holds every message, so a keyframe is needed only to bound what a cut or a damaged line costs. */
export const LOG_KEYFRAME_PERIOD_MS = 30_000

/** Runs an agent that writes the socket log (socket-log.ts) until `signal` aborts. Throws ProclabelError. */
export async function record(options: RecordOptions): Promise<AgentStatistics> {
  const writer = new SocketLogWriter(options.out, options.hostId ?? os.hostname(), options.format)
  try {
    return await runAgent({
      keyframePeriodMs: LOG_KEYFRAME_PERIOD_MS,
      ...options,
      publish: (topic, record) => writer.append(topic, record),
    })
  } finally {
    writer.close()
  }
}

type Encode = <T extends AgentTopic>(topic: T, record: TopicRecord<T>) => Buffer

interface LogFile {
  path: string
  fd: number
  /** The bytes of a record as this file holds them. */
  encode: Encode
}

/**
 * Appends records to the file of their host and day. A record is one write, so a recorder that is killed cuts at most its
 * last one. A day's file can be read alone: a new one begins with a hosts record and a keyframe.
 */
export class SocketLogWriter {
  readonly #folder: string
  readonly #hostId: string
  readonly #format: LogFormat
  #file: LogFile | null = null
  #day = ''
  #host: Host | null = null

  /** Throws InputError when the folder cannot be made. */
  constructor(folder: string, hostId: string, format: LogFormat = 'jsonl') {
    this.#folder = folder
    this.#hostId = hostId
    this.#format = format
    try {
      mkdirSync(folder, { recursive: true })
    } catch (cause) {
      throw new InputError('PROCLABEL_INPUT', `cannot make the folder ${folder}: ${(cause as Error).message}`, cause)
    }
  }

  /** Throws ProclabelError when the record cannot be written, as on a full disk. */
  append<T extends AgentTopic>(topic: T, record: TopicRecord<T>): void {
    if (topic === 'hosts') this.#host = record as Host
    const timeUs = timeOf(topic, record)
    if (this.#file === null || (topic === 'socket-snapshots' && startsWithKeyframe(record as SocketSnapshot)))
      this.#turnTo(timeUs, topic)
    write(this.#file!, this.#file!.encode(topic, record))
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file.fd)
    this.#file = null
  }

  #turnTo(timeUs: number, topic: AgentTopic): void {
    const day = new Date(timeUs / 1000).toISOString().slice(0, 10)
    if (this.#file !== null && this.#day === day) return
    this.close()
    const name = path.join(this.#folder, `${this.#hostId.replaceAll(/[^\w.-]/g, '_')}-${day}`)
    this.#file = this.#format === 'avro' ? createAvroFile(name) : openLinesFile(`${name}.jsonl`)
    this.#day = day
    if (topic !== 'hosts' && this.#host !== null) write(this.#file, this.#file.encode('hosts', this.#host))
  }
}

const openLinesFile = (file: string): LogFile =>
  orCannotWrite(file, () => {
    const fd = openSync(file, 'a+', 0o640)
    endCutLine(fd)
    return { path: file, fd, encode: (topic, record) => Buffer.from(`${JSON.stringify({ topic, ...record })}\n`) }
  })

/**
 * Begins `NAME.avro`, or the first of `NAME.1.avro`, `NAME.2.avro`, … that is not there: a file that another run left
 * may have a cut end, or the schema of another version.
 */
function createAvroFile(name: string): LogFile {
  const encoder = new AvroLogEncoder()
  for (let number = 0; ; number++) {
    const file = number === 0 ? `${name}.avro` : `${name}.${number}.avro`
    const fd = orCannotWrite(file, () => createFile(file))
    if (fd === null) continue
    const log: LogFile = { path: file, fd, encode: (topic, record) => encoder.block(topic, record) }
    write(log, encoder.header())
    return log
  }
}

/** Null when the file is there already. */
function createFile(file: string): number | null {
  try {
    return openSync(file, 'ax', 0o640)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return null
    throw error
  }
}

function write(file: LogFile, bytes: Buffer): void {
  orCannotWrite(file.path, () => {
    for (let done = 0; done < bytes.length; ) done += writeSync(file.fd, bytes, done)
  })
}

function orCannotWrite<T>(file: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    throw new ProclabelError('PROCLABEL_LOG', `cannot write ${file}: ${(cause as Error).message}`, { cause })
  }
}

function timeOf<T extends AgentTopic>(topic: T, record: TopicRecord<T>): number {
  if (topic === 'hosts') return (record as Host).updated_us
  if (topic === 'socket-events') return (record as TopicRecord<'socket-events'>).until_us
  return (record as SocketSnapshot).polls[0]?.time_us ?? 0
}

const startsWithKeyframe = (record: SocketSnapshot): boolean => record.polls[0]?.kind === 'keyframe'

/** A recorder that was killed may have left half a line: the next one must not become its other half. */
function endCutLine(fd: number): void {
  const { size } = fstatSync(fd)
  if (size === 0) return
  const last = Buffer.alloc(1)
  readSync(fd, last, 0, 1, size - 1)
  if (last[0] !== 0x0a) writeSync(fd, '\n')
}
