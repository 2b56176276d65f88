import { readSync } from 'node:fs'
import { open } from 'node:fs/promises'
import process from 'node:process'
import type { LabeledSession } from '#schemas'
import { InputError } from '#shared/errors.ts'
import { splitLines } from '../agent/lines.ts'
import { isGzip, MAX_LINE_BYTES, openLog } from '../agent/open-log.ts'
import { isSession } from '../export/session-lines.ts'

const roomBytes = 1 << 18

/** The bytes of a file, plain or gzip, or of standard input for `-`, each piece valid until the next. Throws InputError. */
export async function* readBytes(file: string): AsyncGenerator<Buffer> {
  try {
    if (file === '-') return yield* process.stdin
    const handle = await open(file)
    const room = Buffer.allocUnsafeSlow(roomBytes)
    try {
      let bytes = readSync(handle.fd, room)
      if (isGzip(room.subarray(0, bytes))) return yield* await openLog(file)
      for (; bytes > 0; bytes = readSync(handle.fd, room)) yield room.subarray(0, bytes)
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw new InputError('PROCLABEL_INPUT', `cannot read ${file}: ${(error as Error).message}`, error)
  }
}

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
  for await (const line of readJsonLines(file)) yield isSession(line) ? line : null
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value = JSON.parse(line)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : null
  } catch {
    return null
  }
}
