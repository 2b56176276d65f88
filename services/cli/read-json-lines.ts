import process from 'node:process'
import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { splitLines } from '../agent/lines.ts'
import { MAX_LINE_BYTES, openLog } from '../agent/socket-log.ts'

/** The lines of a file, plain or gzip, or of standard input for `-`; null for one that is no JSON object. Throws InputError. */
export async function* readJsonLines(file: string): AsyncGenerator<Record<string, unknown> | null> {
  try {
    for await (const { text } of splitLines(file === '-' ? process.stdin : await openLog(file), MAX_LINE_BYTES))
      if (text !== '') yield parseObject(text ?? '')
  } catch (error) {
    throw new InputError('PROCLABEL_INPUT', `cannot read ${file}: ${(error as Error).message}`, error)
  }
}

/** Labeled sessions, as `proclabel label` and `export` write them; null for a line that is none. */
export async function* readSessions(file: string): AsyncGenerator<LabeledSession | null> {
  for await (const line of readJsonLines(file)) {
    const isSession = typeof line?.session_id === 'string' && typeof line.revision === 'number'
    yield isSession ? (line as unknown as LabeledSession) : null
  }
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
