import { createHash } from 'node:crypto'
import type { Host, SocketEvents } from '#schemas'
import { ByteReader } from './byte-reader.ts'
import { EVTX_MAGIC, type OnDamage, readEvtx } from './evtx.ts'
import { type Line, splitLines } from './lines.ts'
import { MAX_LINE_BYTES, openLog } from './open-log.ts'
import { listLogFiles } from './socket-log.ts'
import { WindowsHosts } from './windows-hosts.ts'
import { BadRecord, readWindowsRecord, type WindowsEvidence, type WindowsRecord } from './windows-log-record.ts'

/** What a Windows event log says about the sockets of the hosts in it. */
export interface WindowsLog {
  /** The log that was used: the one asked for, else the one that tells of more connections, or of more at all. */
  evidence: WindowsEvidence
  /** Connections told by each log. */
  connections: Record<WindowsEvidence, number>
  hosts: Host[]
  /** Messages of each host in order of `seq`. */
  events: SocketEvents[]
  /** Lines that were understood, used or not. */
  read: number
  /** Lines that were not, by reason; the rest of a damaged file counts as one. */
  skipped: Partial<Record<WindowsSkipReason, number>>
}

/** `firstProblem`: the first damage of a file, as file, place and what is wrong; null where there is none. */
export type WindowsLogOfFiles = WindowsLog & { firstProblem: string | null }

/** From `cut-line` on it is damage of the file itself. */
export type WindowsSkipReason = BadRecord['reason'] | 'line-too-long' | 'cut-line' | 'damaged-gzip' | 'damaged-evtx'

/** Imports log files, JSON lines or EVTX, or those of a folder. Throws InputError for a path that is not there. */
export async function readWindowsLog(
  paths: readonly string[],
  wanted: WindowsEvidence | null,
): Promise<WindowsLogOfFiles> {
  const skipped: WindowsLog['skipped'] = {}
  let firstProblem: string | null = null
  async function* lines() {
    for (const file of await listLogFiles(paths)) {
      const damaged = (reason: 'damaged-gzip' | 'damaged-evtx', what: string) => {
        skip(skipped, reason)
        firstProblem ??= `${file}${what}`
      }
      try {
        yield* linesOf(await openLog(file), (detail, chunk) => damaged('damaged-evtx', `, chunk ${chunk}: ${detail}`))
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException
        if (!code?.startsWith('Z_')) throw error
        damaged('damaged-gzip', `: ${message}`)
      }
    }
  }
  return { ...(await importWindowsLog(lines(), wanted, skipped)), firstProblem }
}

async function* linesOf(bytes: AsyncIterable<Buffer>, onDamage: OnDamage): AsyncGenerator<Line> {
  const input = new ByteReader(bytes)
  try {
    const isEvtx = (await input.glance(EVTX_MAGIC.length)).subarray(0, EVTX_MAGIC.length).equals(EVTX_MAGIC)
    yield* isEvtx ? readEvtx(input, onDamage) : splitLines(input.rest(), MAX_LINE_BYTES)
  } finally {
    await input.close()
  }
}

function skip(skipped: WindowsLog['skipped'], reason: WindowsSkipReason) {
  skipped[reason] = (skipped[reason] ?? 0) + 1
}

/**
 * Turns the records of Windows event logs, as a collector wrote them one JSON object a line, into socket events:
 * Sysmon 3 or Security 5156 for connections, Security 5154 and 5158 for ports that are listened on or bound, with the process starts and exits of the same log (Sysmon 1 and 5,
 * Security 4688 and 4689). Owners come from one of the two logs alone, so that the other can judge them.
 */
export async function importWindowsLog(
  lines: AsyncIterable<Line> | Iterable<Line>,
  wanted: WindowsEvidence | null,
  skipped: WindowsLog['skipped'] = {},
): Promise<WindowsLog> {
  const records: WindowsRecord[] = []
  const digest = createHash('sha256')
  let read = 0
  for await (const { text, ended } of lines) {
    if (text === null) {
      skip(skipped, 'line-too-long')
      continue
    }
    if (text.trim() === '') continue
    digest.update(text)
    try {
      const record = readWindowsRecord(text)
      read++
      if (record !== null) records.push(record)
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      skip(skipped, error.reason === 'not-json' && !ended ? 'cut-line' : error.reason)
    }
  }
  const count = (family: WindowsEvidence, isCounted: (record: WindowsRecord) => boolean) =>
    records.filter(record => record.family === family && isCounted(record)).length
  const isConnection = ({ kind, network }: WindowsRecord) => kind === 'network' && network !== null
  const isUsed = ({ kind }: WindowsRecord) => kind !== 'other'
  const connections = { sysmon: count('sysmon', isConnection), security: count('security', isConnection) }
  const more = connections.sysmon - connections.security || count('sysmon', isUsed) - count('security', isUsed)
  const evidence = wanted ?? (more > 0 ? 'sysmon' : 'security')
  // The same log imported twice is the same run, whose messages a reader skips.
  const runId = `${evidence}-${digest.digest('hex').slice(0, 16)}`
  const result: WindowsLog = { evidence, connections, hosts: [], events: [], read, skipped }
  for (const { host, events } of new WindowsHosts(runId, [evidence]).add(records)) {
    if (host !== null) result.hosts.push(host)
    result.events.push(...events)
  }
  return result
}
