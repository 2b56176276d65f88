import { createHash } from 'node:crypto'
import type { EventProcess, Host, SocketEvent, SocketEvents } from '#schemas'
import { ByteReader } from './byte-reader.ts'
import { EVTX_MAGIC, type OnDamage, readEvtx } from './evtx.ts'
import { type Line, splitLines } from './lines.ts'
import { listLogFiles, MAX_LINE_BYTES, openLog } from './socket-log.ts'
import {
  BadRecord,
  type LoggedConnection,
  type LoggedTime,
  readWindowsRecord,
  startOfGuid,
  type WindowsEvidence,
  type WindowsRecord,
} from './windows-log-record.ts'

/** What a Windows event log says about the sockets of the hosts in it. */
export interface WindowsLog {
  /** The log that was used: the one asked for, else the one that tells of more connections. */
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

const EVENTS_PER_MESSAGE = 10_000

/** Sysmon's own words for a process that it knows by pid alone. */
const UNKNOWN_PROCESS = '<unknown process>'

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
    const isEvtx = (await input.peek(EVTX_MAGIC.length)).subarray(0, EVTX_MAGIC.length).equals(EVTX_MAGIC)
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
  const zones = createZones()
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
      if (record === null) continue
      if (record.zoneShiftUs !== null) zones.vote(record.host, record.zoneShiftUs)
      if (record.kind !== 'other') records.push(record)
    } catch (error) {
      if (!(error instanceof BadRecord)) throw error
      skip(skipped, error.reason === 'not-json' && !ended ? 'cut-line' : error.reason)
    }
  }
  const count = (family: WindowsEvidence) =>
    records.filter(r => r.family === family && r.kind === 'network' && r.network !== null).length
  const connections = { sysmon: count('sysmon'), security: count('security') }
  const evidence = wanted ?? (connections.sysmon > connections.security ? 'sysmon' : 'security')
  // The same log imported twice is the same run, whose messages a reader skips.
  const runId = `${evidence}-${digest.digest('hex').slice(0, 16)}`
  const result: WindowsLog = { evidence, connections, hosts: [], events: [], read, skipped }
  for (const [hostId, ofHost] of Map.groupBy(records, record => record.host)) {
    const shiftUs = zones.shiftOf(hostId)
    const used = ofHost.filter(record => record.family === evidence)
    const addresses = learnAddresses(ofHost)
    const find = evidence === 'sysmon' ? createSysmonOwners(used) : createSecurityOwners()
    result.events.push(...createMessages(hostId, runId, evidence, createEvents(used, addresses, shiftUs, find)))
    const lastUs = ofHost.reduce((last, record) => Math.max(last, eventTime(record, shiftUs).us), 0)
    result.hosts.push(createHost(hostId, addresses, lastUs))
  }
  return result
}

/** Finds each host's time zone: what most of its records tell, or most of the log's where they tell nothing, or UTC. */
function createZones() {
  const votes = new Map<string, Map<number, number>>()
  const wholeLog = ''
  const mostFrequent = (counts: Map<number, number>) => [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0]
  return {
    vote: (host: string, shiftUs: number) => {
      for (const voter of [host, wholeLog]) {
        const counts = votes.get(voter) ?? new Map<number, number>()
        votes.set(voter, counts.set(shiftUs, (counts.get(shiftUs) ?? 0) + 1))
      }
    },
    shiftOf: (host: string): number => {
      const counts = votes.get(host) ?? votes.get(wholeLog)
      return counts === undefined ? 0 : mostFrequent(counts)
    },
  }
}

/**
 * The host's own addresses, from the ends that can only be its own: where it began, and where TCP reached it (what
 * UDP reaches may be a broadcast or multicast address).
 */
function learnAddresses(records: readonly WindowsRecord[]): Set<string> {
  const addresses = new Set<string>()
  for (const { network } of records) {
    if (network === null || network.destIp === null) continue
    const ip = network.outbound ? network.sourceIp : network.proto === 'tcp' ? network.destIp : null
    if (ip !== null && !/^(0\.0\.0\.0|::|127\..*|::1)$/.test(ip)) addresses.add(ip)
  }
  return addresses
}

/** The process that an event means. */
interface Owner {
  pid: number
  startUs: number | null
  image: string | null
}

type FindOwner = (record: WindowsRecord, timeUs: number) => Owner

/**
 * Sysmon tells a process by its guid, which holds its start time. What a record lacks, another of the same guid may
 * tell: the image, which Sysmon does not know of a process that has just begun, and the pid, which some collectors
 * lose. Without pid it is 0, and the start time alone tells processes apart. Event 3 runs by another clock than
 * event 1, so a connection may seem to be older than its process.
 */
function createSysmonOwners(records: readonly WindowsRecord[]): FindOwner {
  const pids = new Map<string, number>()
  const images = new Map<string, string>()
  const starts = new Map<string, number>()
  const taken = new Set<number>()
  for (const { process, kind, utc } of records) {
    if (process.parentGuid !== null && process.parentPid !== null) pids.set(process.parentGuid, process.parentPid)
    if (process.guid === null) continue
    if (process.pid !== null) pids.set(process.guid, process.pid)
    if (process.image !== null) images.set(process.guid, process.image)
    if (kind === 'start' && utc !== null) starts.set(process.guid, utc.us)
  }
  const startOf = (guid: string, pid: number): number => {
    let startUs = starts.get(guid)
    if (startUs !== undefined) return startUs
    startUs = startOfGuid(guid)
    if (pid === 0) while (taken.has(startUs)) startUs++ // two unknown pids of one second stay two processes
    taken.add(startUs)
    starts.set(guid, startUs)
    return startUs
  }
  return ({ process: { pid, guid, image } }) => {
    if (guid === null) return { pid: pid!, startUs: null, image }
    const known = pid ?? pids.get(guid) ?? 0
    return { pid: known, startUs: startOf(guid, known), image: image ?? images.get(guid) ?? null }
  }
}

/** Security tells a process by its pid; its start time is known from the last start of that pid in the log. */
function createSecurityOwners(): FindOwner {
  const starts = new Map<number, Owner>()
  return ({ kind, process: { pid, image } }, timeUs) => {
    if (kind === 'start') starts.set(pid!, { pid: pid!, startUs: timeUs, image })
    const started = starts.get(pid!)
    if (kind === 'exit') starts.delete(pid!)
    return { pid: pid!, startUs: started?.startUs ?? null, image: image ?? started?.image ?? null }
  }
}

const baseName = (path: string) => path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1)

const EVENT_KINDS = { start: 'process_start', exit: 'process_exit' } as const

function eventTime({ utc, wall }: WindowsRecord, shiftUs: number): LoggedTime {
  return utc ?? { us: wall!.us + shiftUs, resolutionUs: wall!.resolutionUs }
}

/** The events of one host in order of time, each with its process for the dictionary. */
function createEvents(records: readonly WindowsRecord[], addresses: Set<string>, shiftUs: number, find: FindOwner) {
  return records
    .filter(({ kind, network }) => network !== null || (kind !== 'network' && kind !== 'bind'))
    .map(record => ({ record, time: eventTime(record, shiftUs) }))
    .sort((a, b) => a.time.us - b.time.us)
    .map(({ record, time }) => {
      const { pid, startUs, image } = find(record, time.us)
      const process: EventProcess = {
        pid,
        start_us: startUs,
        name: image === null ? UNKNOWN_PROCESS : baseName(image),
        path: image?.includes('\\') ? image : null,
        parent_pid: record.process.parentPid,
        services: [],
        container_id: null,
        user: null,
        pod: null,
      }
      const event: SocketEvent = {
        kind:
          record.kind === 'start' || record.kind === 'exit' ? EVENT_KINDS[record.kind] : networkKind(record.network!),
        time_us: time.us,
        resolution_us: time.resolutionUs,
        pid,
        start_us: startUs,
        ...ends(record.network, addresses),
      }
      return { event, process }
    })
}

function networkKind({ proto, outbound, destIp }: LoggedConnection): SocketEvent['kind'] {
  if (proto === 'tcp' && destIp === null) return 'listen'
  if (proto === 'tcp') return outbound ? 'connect' : 'accept'
  return outbound ? 'send' : 'receive'
}

/** Local is the end whose address is the host's; where both or neither are, the log's rule decides. */
function ends(network: LoggedConnection | null, addresses: Set<string>) {
  if (network === null) return { proto: null, local_ip: null, local_port: null, remote_ip: null, remote_port: null }
  const { proto, sourceIp, sourcePort, destIp, destPort } = network
  if (destIp === null) {
    return { proto, local_ip: sourceIp, local_port: sourcePort, remote_ip: null, remote_port: null }
  }
  const sourceIsOurs = addresses.has(sourceIp)
  const sourceIsLocal = sourceIsOurs === addresses.has(destIp) ? network.sourceIsLocal : sourceIsOurs
  return sourceIsLocal
    ? { proto, local_ip: sourceIp, local_port: sourcePort, remote_ip: destIp, remote_port: destPort }
    : { proto, local_ip: destIp, local_port: destPort, remote_ip: sourceIp, remote_port: sourcePort }
}

/** Splits the events into messages; a process is told in the first one that names it. */
function createMessages(
  hostId: string,
  runId: string,
  source: WindowsEvidence,
  all: ReturnType<typeof createEvents>,
): SocketEvents[] {
  const told = new Set<string>()
  const messages: SocketEvents[] = []
  for (let from = 0; from < all.length; from += EVENTS_PER_MESSAGE) {
    const part = all.slice(from, from + EVENTS_PER_MESSAGE)
    const processes = part
      .map(({ process }) => process)
      .filter(({ pid, start_us }) => {
        const identity = `${pid} ${start_us}`
        return !told.has(identity) && told.add(identity)
      })
    messages.push({
      ...{ host_id: hostId, run_id: runId, seq: messages.length, source, complete: false, lost: 0 },
      until_us: part.at(-1)!.event.time_us,
      events: part.map(({ event }) => event),
      processes,
    })
  }
  return messages
}

function createHost(hostId: string, addresses: Set<string>, updatedUs: number): Host {
  return {
    host_id: hostId,
    names: [hostId],
    addresses: [...addresses].map(ip => ({ ip, since_us: null, until_us: null, namespace: null })),
    os: 'windows',
    agent_version: 'windows-log',
    poll_period_us: null,
    boot_id: null,
    updated_us: updatedUs,
  }
}
