import { StringDecoder } from 'node:string_decoder'
import type { LabeledSession } from '#schemas'
import { FirstPackets, type TableSession, tableSession } from './table-session.ts'

/** Longest line that is read, characters. */
const mostLength = 32 << 20

/** Labeled sessions of JSON lines, some at a time; null for a line that is none. */
export async function* sessionsOfLines(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<(TableSession | null)[]> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  let isTooLong = false
  for await (const piece of pieces) {
    const text = rest + decoder.write(piece as Buffer)
    const sessions: (TableSession | null)[] = []
    let begin = 0
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', begin)) {
      if (isTooLong) sessions.push(null)
      else if (end > begin) sessions.push(parseSession(text.slice(begin, end)))
      isTooLong = false
      begin = end + 1
    }
    rest = text.slice(begin)
    isTooLong ||= rest.length > mostLength
    if (isTooLong) rest = ''
    yield sessions
  }
  if (rest !== '' || isTooLong) yield [isTooLong ? null : parseSession(rest)]
}

const isText = (value: unknown): value is string => typeof value === 'string'

/** By the fields that every session has. */
export function isSession(value: unknown): value is LabeledSession {
  if (typeof value !== 'object' || value === null) return false
  const session = value as Record<keyof LabeledSession, unknown>
  return (
    isText(session.session_id) &&
    isText(session.state) &&
    isText(session.proto) &&
    isText(session.local_ip) &&
    isText(session.remote_ip) &&
    isText(session.direction) &&
    Number.isFinite(session.revision) &&
    Number.isFinite(session.local_port) &&
    Number.isFinite(session.remote_port) &&
    Number.isFinite(session.first_us) &&
    Number.isFinite(session.last_us) &&
    Number.isFinite(session.packets_out) &&
    Number.isFinite(session.packets_in) &&
    Number.isFinite(session.bytes_out) &&
    Number.isFinite(session.bytes_in) &&
    Number.isFinite(session.tcp_flags) &&
    typeof session.evidence === 'object' &&
    Array.isArray(session.splt)
  )
}

const spltField = ',"splt":['

/** Half of a line is its `splt`, which comes last where we wrote it: that is read without making an object of each packet. */
function parseSession(line: string): TableSession | null {
  const at = line.lastIndexOf(spltField)
  const splt = at < 0 ? null : parsePackets(line, at + spltField.length)
  if (splt === null) {
    const session = parse(line)
    return isSession(session) ? tableSession(session) : null
  }
  const session = parse(`${line.slice(0, at)}${spltField}]}`)
  return isSession(session) ? Object.assign(session, { splt }) : null
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const [minus, zero, comma, closeBracket, closeBrace] = Buffer.from('-0,]}')

/** Of the line at hand. */
const lengths: number[] = []
const gapsUs: number[] = []

/** `{"len":60,"gap_us":0},…]}` to the line's end; null for what is written otherwise. */
function parsePackets(line: string, at: number): FirstPackets | null {
  let count = 0
  for (let isLast = line.charCodeAt(at) === closeBracket; !isLast; count++) {
    if (!line.startsWith('{"len":', at)) return null
    at += 7
    const sign = line.charCodeAt(at) === minus ? -1 : 1
    if (sign < 0) at++
    let length = 0
    for (; isDigit(line.charCodeAt(at)); at++) length = length * 10 + line.charCodeAt(at) - zero!
    if (!line.startsWith(',"gap_us":', at)) return null
    at += 10
    let gapUs = 0
    for (; isDigit(line.charCodeAt(at)); at++) gapUs = gapUs * 10 + line.charCodeAt(at) - zero!
    if (line.charCodeAt(at) !== closeBrace) return null
    lengths[count] = sign * length
    gapsUs[count] = gapUs
    isLast = line.charCodeAt(at + 1) !== comma
    at += isLast ? 1 : 2
  }
  if (at !== line.length - 2 || !line.endsWith(']}')) return null
  return new FirstPackets(lengths.slice(0, count), gapsUs.slice(0, count))
}

const isDigit = (code: number): boolean => code >= zero! && code <= zero! + 9
