import { readdir, stat } from 'node:fs/promises'
import { isIP } from 'node:net'
import path from 'node:path'
import { codecs, type Host, type Poll, type SocketEvent, type TopicRecord } from '#schemas'
import { InputError } from '#shared/errors.ts'
import type { AgentTopic } from './agent.ts'
import { AuditLogReader, isAuditLog } from './audit-log.ts'
import { AGENT_TOPICS, AVRO_MAGIC, readAvroLog } from './avro-log.ts'
import { ByteReader } from './byte-reader.ts'
import { EVTX_MAGIC } from './evtx.ts'
import { type Line, splitLines } from './lines.ts'
import { MAX_LINE_BYTES, openLog } from './open-log.ts'
import { isSsLog, SsLogReader } from './ss-log.ts'

/**
 * The socket log: what an agent publishes, on disk. JSON Lines in UTF-8, plain or gzip; each line is one record with the
 * topic it belongs to in front of the fields of the topic's schema:
 *
 * ```
 * {"topic":"hosts","host_id":"desk","names":["desk"],"addresses":[…],…}
 * {"topic":"socket-snapshots","host_id":"desk","run_id":"…","seq":0,"polls":[…],"processes":[…]}
 * ```
 *
 * Fields that have a default may be left out, and fields that the schema does not know are passed over, so that a log may
 * be written by hand or by a newer version. One file holds one host and one day (UTC): `HOST-YYYY-MM-DD.jsonl`.
 *
 * Avro container files (avro-log.ts) hold the same records; logs of `ss` (ss-log.ts) and of auditd (audit-log.ts) become such
 * records as they are read. A file is told by its first bytes.
 */
export type SocketLogRecord = { [T in AgentTopic]: { topic: T; record: TopicRecord<T> } }[AgentTopic]

/** Why a line or a block of a log was not read. From `cut-line` on it is damage of the file itself. */
export type SkipReason =
  | 'line-too-long'
  | 'not-json'
  | 'unknown-topic'
  | 'invalid-record'
  | 'invalid-address'
  | 'block-too-long'
  | 'unknown-codec'
  | 'cut-line'
  | 'cut-block'
  | 'damaged-avro'
  | 'damaged-gzip'

export interface SocketLogCounts {
  read: number
  /** Lines and records that were not read; the rest of a damaged block or file counts as one. */
  skipped: Partial<Record<SkipReason, number>>
  /** The first of them, as file, line or block and what is wrong with it; null while all is well. */
  firstProblem: string | null
}

export interface SocketLog extends AsyncIterable<SocketLogRecord> {
  readonly counts: SocketLogCounts
}

const DETECTION_BYTES = 64 * 1024
const LOG_NAME = /\.(jsonl|avro|evtx|log)(\.\d+)?(\.gz)?$/

/**
 * Reads logs one after the other: files as given, the logs of a folder by name, so a host's days in order. Holds one line
 * or block at a time, of auditd some more. Throws InputError for a path that is not there or cannot be read; what is wrong inside a file is counted.
 */
export function readSocketLog(paths: string | readonly string[]): SocketLog {
  const counts: SocketLogCounts = { read: 0, skipped: {}, firstProblem: null }
  return {
    counts,
    [Symbol.asyncIterator]: () => readFiles(typeof paths === 'string' ? [paths] : paths, counts),
  }
}

async function* readFiles(paths: readonly string[], counts: SocketLogCounts): AsyncGenerator<SocketLogRecord> {
  const readers = { audit: new AuditLogReader(), ss: new SsLogReader() }
  for (const file of await listLogFiles(paths)) {
    const place: Place = { unit: 'line', number: 0 }
    const skip = (reason: SkipReason, detail: string) => {
      counts.skipped[reason] = (counts.skipped[reason] ?? 0) + 1
      counts.firstProblem ??= `${file}, ${place.unit} ${place.number}: ${detail}`
    }
    try {
      for await (const outcome of readFile(file, place, readers)) {
        const wrong = 'reason' in outcome ? null : findInvalidAddress(outcome)
        if ('reason' in outcome) skip(outcome.reason, outcome.detail)
        else if (wrong !== null) skip('invalid-address', wrong)
        else {
          counts.read++
          yield outcome
        }
      }
    } catch (error) {
      if (!isZlibError(error)) throw inputError(file, error)
      place.number++
      skip('damaged-gzip', (error as Error).message)
    }
  }
  for (const reader of Object.values(readers))
    for (const record of reader.end()) {
      counts.read++
      yield record
    }
}

async function* readFile(
  file: string,
  place: Place,
  { audit, ss }: { audit: AuditLogReader; ss: SsLogReader },
): AsyncGenerator<SocketLogRecord | Skip> {
  const input = new ByteReader(await openLog(file))
  try {
    const start = (await input.glance(DETECTION_BYTES)).subarray(0, DETECTION_BYTES)
    const text = start.toString()
    if (startsWith(start, AVRO_MAGIC)) yield* readAvroLog(input, place)
    else if (isSsLog(text)) yield* ss.read(input.rest(), hostOfFile(file), place)
    else if (isAuditLog(text)) yield* audit.read(input.rest(), hostOfFile(file), place)
    else yield* readLines(input.rest(), place)
  } finally {
    await input.close()
  }
}

/** Logs that do not name their host are of the one that their file is named after: `web1.log`, `web1-2026-01-31.ss.log.gz`. */
export function hostOfFile(file: string): string {
  const name = path.basename(file).replace(/(\.(ss|audit))?(\.log)?(\.\d+)?(\.gz)?$/, '')
  return name.replace(/-\d{4}-\d\d-\d\d$/, '') || path.basename(file)
}

async function* readLines(chunks: AsyncIterable<Buffer>, place: Place): AsyncGenerator<SocketLogRecord | Skip> {
  for await (const line of splitLines(chunks, MAX_LINE_BYTES)) {
    place.number++
    if (line.text === null) yield { reason: 'line-too-long', detail: `longer than ${MAX_LINE_BYTES} bytes` }
    else if (line.text.trim() !== '') yield parseLine(line)
  }
}

/** The log files that the paths mean. Throws InputError. */
export async function listLogFiles(paths: readonly string[]): Promise<string[]> {
  const files: string[] = []
  for (const given of paths) {
    const status = await stat(given).catch((error: unknown) => {
      throw inputError(given, error)
    })
    if (!status.isDirectory()) {
      files.push(given)
      continue
    }
    const names = (await readdir(given)).filter(name => LOG_NAME.test(name)).sort(compareNames)
    if (names.length === 0)
      throw new InputError(
        'PROCLABEL_INPUT',
        `${given} holds no socket log (*.jsonl, *.avro, *.evtx, *.log, plain or .gz)`,
      )
    files.push(...names.map(name => path.join(given, name)))
  }
  return files
}

/** By name without its ending, numbers as numbers: `desk-2026-01-31.avro`, then `.1.avro` to `.10.avro` of that day. */
const compareNames = (a: string, b: string): number =>
  byNumber.compare(a.replace(LOG_NAME, ''), b.replace(LOG_NAME, '')) || (a < b ? -1 : 1)
const byNumber = new Intl.Collator('en', { numeric: true })

/** `other-json`: lines of JSON that are not ours, such as an event log. */
export type LogKind = 'socket-log' | 'ss' | 'audit' | 'other-json' | 'evtx' | 'empty' | 'unknown'

/** What a file holds, by its first lines or bytes. Throws InputError. */
export async function detectLog(file: string): Promise<LogKind> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of await openLog(file)) {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= DETECTION_BYTES) break
    }
  } catch (error) {
    if (!isZlibError(error)) throw inputError(file, error)
  }
  const start = Buffer.concat(chunks)
  if (startsWith(start, AVRO_MAGIC)) return 'socket-log'
  if (startsWith(start, EVTX_MAGIC)) return 'evtx'
  const text = start.toString().trimStart()
  if (text === '') return 'empty'
  if (isSsLog(text)) return 'ss'
  if (isAuditLog(text)) return 'audit'
  // The first line may be the rest of one, of a log that was cut there.
  const kind = text
    .split('\n', 2)
    .map(kindOfJson)
    .find(kind => kind !== null)
  return kind ?? (text.startsWith('{"') && bytes >= DETECTION_BYTES ? 'other-json' : 'unknown')
}

/** Null for a line that is not a whole object; one of ours may be longer than what was read of it. */
function kindOfJson(line: string): LogKind | null {
  if (/^\{\s*"topic"\s*:\s*"(hosts|socket-snapshots|socket-events)"/.test(line)) return 'socket-log'
  try {
    const value: unknown = JSON.parse(line)
    if (!isObject(value)) return null
    return AGENT_TOPICS.includes(value.topic as AgentTopic) ? 'socket-log' : 'other-json'
  } catch {
    return null
  }
}

const startsWith = (bytes: Buffer, magic: Buffer): boolean => bytes.subarray(0, magic.length).equals(magic)

/** What a reader passed over, and why. */
export type Skip = { reason: SkipReason; detail: string }

/** Where in a file a reader is, for messages. */
export interface Place {
  unit: 'line' | 'block'
  number: number
}

function parseLine({ text, ended }: Line): SocketLogRecord | Skip {
  let value: unknown
  try {
    value = JSON.parse(text!)
  } catch (error) {
    return { reason: ended ? 'not-json' : 'cut-line', detail: (error as Error).message }
  }
  if (!isObject(value)) return { reason: 'not-json', detail: 'not an object' }
  const topic = value.topic as AgentTopic
  if (!AGENT_TOPICS.includes(topic)) return { reason: 'unknown-topic', detail: `topic ${JSON.stringify(topic)}` }
  return toRecord(topic, value)
}

/** Through the codec and back: only the schema's fields, all of them there, each of its type. */
function toRecord(topic: AgentTopic, value: unknown): SocketLogRecord | Skip {
  const codec = codecs[topic]
  try {
    const assert: (record: unknown) => void = codec.assert
    assert(value)
    return { topic, record: codec.decodeOwn(codec.encode(value as never)) } as SocketLogRecord
  } catch (error) {
    return { reason: 'invalid-record', detail: (error as Error).message.slice(0, 500) }
  }
}

interface Ends {
  local_ip: string | null
  local_port: number | null
  remote_ip: string | null
  remote_port: number | null
}

/** Text that is no address, or a number that is no port, is a string or an int to the schema. */
function findInvalidAddress({ topic, record }: SocketLogRecord): string | null {
  if (topic === 'hosts') return findInvalid((record as Host).addresses, ({ ip }) => isIP(ip) !== 0)
  if (topic === 'socket-events') return findInvalid((record as { events: SocketEvent[] }).events, areEnds)
  for (const poll of (record as { polls: Poll[] }).polls) {
    const wrong = findInvalid(poll.opened, areEnds)
    if (wrong !== null) return wrong
  }
  return null
}

function findInvalid<T>(list: readonly T[], isValid: (item: T) => boolean): string | null {
  const wrong = list.find(item => !isValid(item))
  return wrong === undefined ? null : JSON.stringify(wrong).slice(0, 500)
}

const areEnds = (ends: Ends): boolean =>
  isIpOrNull(ends.local_ip) &&
  isIpOrNull(ends.remote_ip) &&
  isPortOrNull(ends.local_port) &&
  isPortOrNull(ends.remote_port)
const isIpOrNull = (ip: string | null): boolean => ip === null || isIP(ip) !== 0
const isPortOrNull = (port: number | null): boolean => port === null || (port >= 0 && port <= 65535)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isZlibError = (error: unknown): boolean => /^Z_/.test((error as NodeJS.ErrnoException).code ?? '')

function inputError(file: string, error: unknown): InputError {
  if (error instanceof InputError) return error
  const { code, message } = error as NodeJS.ErrnoException
  const why = code === 'ENOENT' ? 'there is no such file' : code === 'EACCES' ? 'no permission to read it' : message
  return new InputError('PROCLABEL_INPUT', `socket log ${file}: ${why}`, error)
}
