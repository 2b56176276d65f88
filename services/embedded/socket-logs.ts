import { codecs, type Host } from '#schemas'
import { InputError } from '#shared/errors.ts'
import type { AgentTopic } from '../agent/agent.ts'
import { detectLog, hostOfFile, listLogFiles, readSocketLog, type SocketLogRecord } from '../agent/socket-log.ts'
import { readWindowsLog } from '../agent/windows-log.ts'
import type { WindowsEvidence } from '../agent/windows-log-record.ts'

/** A record of a socket log, ready for the bus. */
export interface LoggedRecord {
  topic: AgentTopic
  hostId: string
  /** When the record was complete, host clock, microseconds since the epoch. */
  timeUs: number
  value: Buffer
}

/** Socket logs of one or more hosts, looked through once, so that their hosts and times are known before the packets are read. */
export interface SocketLogs {
  /** The newest record of each host. */
  hosts: Host[]
  /** First and last moment that the logs tell of; null where they tell of none. */
  firstUs: number | null
  lastUs: number | null
  read: number
  skipped: Record<string, number>
  /** What the user should know of how the logs were read, in sentences. */
  notes: string[]
  /** All records in order of time. */
  records: () => AsyncIterable<LoggedRecord>
}

/** A stretch of records in order of time, that can be read again and again. */
type Strand = () => AsyncIterable<SocketLogRecord>

/**
 * Opens socket logs, each ours, of ss or auditd, or a Windows event log; `addresses` are those of hosts whose logs tell none. Throws
 * InputError for what is no such log.
 */
export async function openSocketLogs(
  paths: readonly string[],
  evidence: WindowsEvidence | null,
  addresses: readonly string[] = [],
): Promise<SocketLogs> {
  const logs: SocketLogs = {
    hosts: [],
    firstUs: null,
    lastUs: null,
    read: 0,
    skipped: {},
    notes: [],
    records: () => merge(strands),
  }
  const filesByHost = new Map<string, string[]>()
  const linuxFiles: { file: string; kind: string; firstUs: number }[] = []
  const strands: Strand[] = []
  for (const file of await listLogFiles(paths)) {
    const kind = await detectLog(file)
    if (kind === 'socket-log') {
      const { hostId } = await lookThrough(logs, file)
      filesByHost.set(hostId, [...(filesByHost.get(hostId) ?? []), file])
    } else if (kind === 'ss' || kind === 'audit') {
      linuxFiles.push({ file, kind, firstUs: (await lookThrough(logs, file)).firstUs })
    } else if (kind === 'other-json' || kind === 'evtx') {
      strands.push(...(await importWindows(logs, file, evidence)))
    } else {
      const what =
        kind === 'empty'
          ? 'is empty'
          : 'is neither a socket log nor one of ss with times, of auditd, or of Windows events (EVTX, JSON lines)'
      throw new InputError('PROCLABEL_INPUT', `socket log ${file} ${what}`)
    }
  }
  for (const files of filesByHost.values()) strands.push(() => readSocketLog(files))
  // Of files by turns the newest has no number, the oldest the highest.
  linuxFiles.sort((a, b) => a.firstUs - b.firstUs)
  for (const turns of Map.groupBy(linuxFiles, ({ file, kind }) => `${kind} ${hostOfFile(file)}`).values())
    strands.push(() => readSocketLog(turns.map(({ file }) => file)))
  if (logs.hosts.length === 0)
    throw new InputError('PROCLABEL_INPUT', [`no record in ${paths.join(', ')} names a host`, ...logs.notes].join('; '))
  giveAddresses(logs, addresses)
  return logs
}

/** To the host whose logs tell none, as those of auditd. */
function giveAddresses(logs: SocketLogs, addresses: readonly string[]): void {
  const without = logs.hosts.filter(host => host.addresses.length === 0)
  const isNeeded = without.length === logs.hosts.length
  if (without.length === 0 || (!isNeeded && addresses.length === 0)) return
  const names = without.map(({ host_id }) => host_id).join(', ')
  if (without.length > 1 || addresses.length === 0)
    throw new InputError(
      'PROCLABEL_INPUT',
      `the socket logs tell no address of ${names}: give those of one host by --address, or add a log of ss, named after the host`,
    )
  const given = addresses.map(ip => ({ ip, since_us: null, until_us: null, namespace: null }))
  putHost(logs, { ...without[0]!, addresses: given })
}

/** Reads a log for its hosts and times; answers with the last host and the first time that it tells of. */
async function lookThrough(logs: SocketLogs, file: string): Promise<{ hostId: string; firstUs: number }> {
  const log = readSocketLog(file)
  let hostId = file
  let firstUs = Number.POSITIVE_INFINITY
  for await (const { topic, record } of log) {
    hostId = record.host_id
    if (topic === 'hosts') putHost(logs, record)
    else
      for (const timeUs of timesOf({ topic, record } as SocketLogRecord)) {
        widen(logs, timeUs)
        firstUs = Math.min(firstUs, timeUs)
      }
  }
  logs.read += log.counts.read
  addCounts(logs.skipped, log.counts.skipped)
  if (log.counts.firstProblem) logs.notes.push(`skipped ${log.counts.firstProblem}`)
  return { hostId, firstUs }
}

/** The last record of a host counts, with the addresses of all of them. */
function putHost(logs: SocketLogs, host: Host): void {
  const before = logs.hosts.findIndex(({ host_id }) => host_id === host.host_id)
  if (before < 0) logs.hosts.push(host)
  else {
    const now = new Set(host.addresses.map(({ ip }) => ip))
    const gone = logs.hosts[before]!.addresses.filter(({ ip }) => !now.has(ip))
    logs.hosts[before] = { ...host, addresses: [...host.addresses, ...gone] }
  }
}

/** A folder of Windows' logs holds many that are no evidence: what they lack is told, and the others are used. */
async function importWindows(logs: SocketLogs, file: string, evidence: WindowsEvidence | null): Promise<Strand[]> {
  const log = await readWindowsLog([file], evidence)
  const { sysmon, security } = log.connections
  if (log.firstProblem) logs.notes.push(`skipped ${log.firstProblem}`)
  if (log.hosts.length === 0) {
    logs.notes.push(`${file}: no event of it is one of Sysmon or Security that names a process`)
    return []
  }
  logs.notes.push(
    `${file}: using the ${log.evidence} events (Sysmon 3: ${sysmon}, Security 5156: ${security}) of ${log.hosts.length} host(s)`,
  )
  logs.read += log.read
  addCounts(logs.skipped, log.skipped)
  for (const host of log.hosts) putHost(logs, host)
  const records = log.events.map(record => ({ topic: 'socket-events' as const, record }))
  for (const record of records) for (const timeUs of timesOf(record)) widen(logs, timeUs)
  const hosts = log.hosts.map(record => ({ topic: 'hosts' as const, record }))
  const byHost = Map.groupBy([...hosts, ...records], ({ record }) => record.host_id)
  return Array.from(
    byHost.values(),
    strand =>
      async function* () {
        yield* strand
      },
  )
}

/** Merges strands into one stream in order of time. */
async function* merge(strands: readonly Strand[]): AsyncGenerator<LoggedRecord> {
  const heads: { reader: AsyncIterator<SocketLogRecord>; record: LoggedRecord }[] = []
  const pull = async (reader: AsyncIterator<SocketLogRecord>) => {
    const { done, value } = await reader.next()
    if (!done) heads.push({ reader, record: toLogged(value) })
  }
  for (const strand of strands) await pull(strand()[Symbol.asyncIterator]())
  while (heads.length > 0) {
    let first = 0
    for (let i = 1; i < heads.length; i++) if (heads[i]!.record.timeUs < heads[first]!.record.timeUs) first = i
    const [{ reader, record }] = heads.splice(first, 1) as [(typeof heads)[number]]
    yield record
    await pull(reader)
  }
}

function toLogged(logged: SocketLogRecord): LoggedRecord {
  const { topic, record } = logged
  const encode = codecs[topic].encode as (record: unknown) => Buffer
  return { topic, hostId: record.host_id, timeUs: Math.max(...timesOf(logged)), value: encode(record) }
}

/** First and last moment that a record tells of. */
function timesOf({ topic, record }: SocketLogRecord): [number, number] {
  if (topic === 'hosts') return [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  if (topic === 'socket-events') return [record.events[0]?.time_us ?? record.until_us, record.until_us]
  const times = record.polls.map(({ time_us }) => time_us)
  return [times[0] ?? Number.NEGATIVE_INFINITY, times.at(-1) ?? Number.NEGATIVE_INFINITY]
}

function widen(logs: SocketLogs, timeUs: number): void {
  if (!Number.isFinite(timeUs)) return
  logs.firstUs = Math.min(logs.firstUs ?? timeUs, timeUs)
  logs.lastUs = Math.max(logs.lastUs ?? timeUs, timeUs)
}

function addCounts(total: Record<string, number>, more: Readonly<Partial<Record<string, number>>>): void {
  for (const [reason, count] of Object.entries(more)) total[reason] = (total[reason] ?? 0) + (count ?? 0)
}
