import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import type { EventLog, OutgoingRecord } from './spool.ts'

/** A log that keeps its messages. */
export function createLog(): EventLog & { lines: string[] } {
  const lines: string[] = []
  const add = (fields: object, message: string) => {
    lines.push(`${message} ${inspect(fields)}`)
  }
  return { lines, info: add, warn: add }
}

/** A folder that is gone when the test is over. */
export function temporaryFolder(t: { after: (work: () => void) => void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-spool-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A record that tells its number; the value has `bytes` bytes, those of a number that can be told from its neighbours'. */
export function numbered(number: number, bytes = 32): OutgoingRecord {
  const value = Buffer.alloc(Math.max(8, bytes), number & 0xff)
  value.writeDoubleLE(number)
  return { topic: number % 3 === 0 ? 'hosts' : 'packets', key: `host-${number % 5}`, value }
}

export const numberOf = ({ value }: { value: Uint8Array | null }): number => Buffer.from(value!).readDoubleLE()
