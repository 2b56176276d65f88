import { closeSync, fstatSync, mkdirSync, openSync, readSync, writeSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Host, SocketSnapshot, TopicRecord } from '#schemas'
import { InputError, ProclabelError } from '#shared/errors.ts'
import { type AgentOptions, type AgentStatistics, type AgentTopic, runAgent } from './agent.ts'

export interface RecordOptions extends Omit<AgentOptions, 'publish'> {
  /** Folder of the log; made when it is not there. */
  out: string
}

/** A log holds every message, so a keyframe is needed only to bound what a cut or a damaged line costs. */
export const LOG_KEYFRAME_PERIOD_MS = 30_000

/** Runs an agent that writes the socket log (socket-log.ts) until `signal` aborts. Throws ProclabelError. */
export async function record(options: RecordOptions): Promise<AgentStatistics> {
  const writer = new SocketLogWriter(options.out, options.hostId ?? os.hostname())
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

/**
 * Appends records to the file of their host and day. A line is one write, so a recorder that is killed cuts at most its
 * last line. A day's file can be read alone: a new one begins with a hosts record and a keyframe.
 */
export class SocketLogWriter {
  readonly #folder: string
  readonly #hostId: string
  #file: { path: string; fd: number } | null = null
  #host: Host | null = null

  /** Throws InputError when the folder cannot be made. */
  constructor(folder: string, hostId: string) {
    this.#folder = folder
    this.#hostId = hostId
    try {
      mkdirSync(folder, { recursive: true })
    } catch (cause) {
      throw new InputError('PROCLABEL_INPUT', `cannot make the folder ${folder}: ${(cause as Error).message}`, cause)
    }
  }

  /** Throws ProclabelError when the line cannot be written, as on a full disk. */
  append<T extends AgentTopic>(topic: T, record: TopicRecord<T>): void {
    if (topic === 'hosts') this.#host = record as Host
    const timeUs = timeOf(topic, record)
    if (this.#file === null || (topic === 'socket-snapshots' && startsWithKeyframe(record as SocketSnapshot)))
      this.#turnTo(timeUs, topic)
    this.#write(topic, record)
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file.fd)
    this.#file = null
  }

  #turnTo(timeUs: number, topic: AgentTopic): void {
    const day = new Date(timeUs / 1000).toISOString().slice(0, 10)
    const file = path.join(this.#folder, `${this.#hostId.replaceAll(/[^\w.-]/g, '_')}-${day}.jsonl`)
    if (this.#file?.path === file) return
    this.close()
    try {
      this.#file = { path: file, fd: openSync(file, 'a+', 0o640) }
      endCutLine(this.#file.fd)
    } catch (cause) {
      throw new ProclabelError('PROCLABEL_LOG', `cannot write ${file}: ${(cause as Error).message}`, { cause })
    }
    if (topic !== 'hosts' && this.#host !== null) this.#write('hosts', this.#host)
  }

  #write(topic: AgentTopic, record: object): void {
    const file = this.#file!
    const line = Buffer.from(`${JSON.stringify({ topic, ...record })}\n`)
    try {
      for (let done = 0; done < line.length; ) done += writeSync(file.fd, line, done)
    } catch (cause) {
      throw new ProclabelError('PROCLABEL_LOG', `cannot write ${file.path}: ${(cause as Error).message}`, { cause })
    }
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
