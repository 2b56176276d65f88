import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Which of the two logs that name the owner of a connection an event is from. */
export type WindowsEvidence = 'sysmon' | 'security'

/** A time as a log writes it, and how finely. */
export interface LoggedTime {
  us: number
  resolutionUs: number
}

/** A process as an event names it. `guid` is Sysmon's ProcessGuid. */
export interface LoggedProcess {
  pid: number | null
  guid: string | null
  image: string | null
  parentPid: number | null
  parentGuid: string | null
  parentImage: string | null
}

/** What the importer understood of one record. */
export interface WindowsRecord {
  family: WindowsEvidence
  host: string
  /** Sysmon's UtcTime: always UTC, but of a clock that may be seconds off. */
  utc: LoggedTime | null
  /** The event's time as the collector wrote it, read as if it were UTC. */
  wall: LoggedTime | null
  /**
   * What to add to `wall` to get UTC, as far as this record alone tells: Sysmon writes UTC beside it, and a collector
   * that receives a record may write that moment in both. Null where it tells nothing.
   */
  zoneShiftUs: number | null
  /** bind: a port was given to a process, by itself no connection. */
  kind: 'network' | 'bind' | 'start' | 'exit' | 'other'
  process: LoggedProcess
  network: LoggedConnection | null
}

/** A connection as an event tells it: the source sent the first packet, but see `sourceIsLocal`. */
export interface LoggedConnection {
  proto: 'tcp' | 'udp'
  outbound: boolean
  /** Which end is the host's, by the rule of the log; the host's addresses, once known, decide. */
  sourceIsLocal: boolean
  sourceIp: string
  sourcePort: number
  /** Null for a port that was bound or is listened on; so is destPort. */
  destIp: string | null
  destPort: number | null
}

/** Why a record that should have been evidence is none. */
export class BadRecord extends Error {
  readonly reason: 'not-json' | 'no-host' | 'no-time' | 'bad-address' | 'no-process'
  constructor(reason: BadRecord['reason']) {
    super(reason)
    this.reason = reason
  }
}

type Fields = Map<string, unknown>

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const folded = new Map<string, string>()
const MAX_FOLDED = 10_000

/** A field's name without case and punctuation: EventID, event_id; ProcessID, ProcessId. Names recur: remembered. */
function fold(name: string): string {
  let key = folded.get(name)
  if (key === undefined) {
    key = name.toLowerCase().replace(/[^a-z0-9@]/g, '')
    if (folded.size < MAX_FOLDED) folded.set(name, key)
  }
  return key
}

const objectOf = (value: unknown): Record<string, unknown> => (isObject(value) ? value : {})

/**
 * All fields of a record in one table, whatever the collector: NXLog and its like write them flat, Winlogbeat under
 * `winlog` and `winlog.event_data`, or by the names of ECS, evtx exporters under `Event.System` and `Event.EventData`, Wazuh under
 * `win.system` and `win.eventdata`, its archives under `data`.
 * The event's own data wins over the header around it.
 */
function flatten(record: Record<string, unknown>): Fields {
  const winlog = objectOf(record.winlog)
  const event = objectOf(record.Event)
  const win = objectOf(record.win ?? objectOf(record.data).win)
  const fields: Fields = new Map()
  for (const part of [
    record,
    winlog,
    event.System,
    win.system,
    isObject(record.winlog) ? ecsFields(record) : null,
    record.event_data,
    record.EventData,
    winlog.event_data,
    event.EventData,
    win.eventdata,
  ]) {
    if (!isObject(part)) continue
    for (const [name, value] of Object.entries(part)) {
      // Old NXLog: this pair is the header's and names the process that logged.
      if (name === 'ProcessID' && typeof value === 'number' && typeof part.ThreadID === 'number') continue
      fields.set(fold(name), value)
    }
  }
  return fields
}

/**
 * Winlogbeat's modules for Sysmon and Security, on by default in its version 7, move the event's data to the fields of ECS, and
 * Sysmon's UtcTime to `@timestamp` (https://www.elastic.co/guide/en/beats/winlogbeat/7.17/winlogbeat-modules.html).
 */
function ecsFields(record: Record<string, unknown>): Record<string, unknown> {
  const [source, destination, network] = ['source', 'destination', 'network'].map(name => objectOf(record[name]))
  const process = objectOf(record.process)
  const parent = objectOf(process.parent)
  const moved = {
    ...{ sourceip: source!.ip, sourceport: source!.port },
    ...{ destinationip: destination!.ip, destinationport: destination!.port },
    protocol: network!.transport,
    initiated: /^(egress|outbound)$/.test(String(network!.direction)) ? 'true' : null,
    ...{ newprocessid: process.pid, newprocessname: process.executable, processname: process.executable },
    ...{ processid: process.pid, processguid: process.entity_id, image: process.executable },
    ...{ parentprocessid: parent.pid, parentprocessguid: parent.entity_id, parentimage: parent.executable },
    ...{ parentprocessname: parent.executable, utctime: record['@timestamp'] },
  }
  return Object.fromEntries(Object.entries(moved).filter(([, value]) => value != null))
}

/** The text of a field, of the first of several names that is there; XML exporters wrap it in `#text`. */
function text(fields: Fields, ...names: string[]): string | null {
  for (const name of names) {
    let value = fields.get(name)
    if (isObject(value)) value = value['#text'] ?? value.name
    if (typeof value === 'number' || (typeof value === 'string' && value !== '' && value !== '-')) return String(value)
  }
  return null
}

/** Decimal or 0x hexadecimal. */
function integer(value: string | null, max: number): number | null {
  if (value === null || !/^(\d+|0x[0-9a-f]+)$/i.test(value)) return null
  const number = Number(value)
  return number <= max ? number : null
}

type ParsedTime = LoggedTime & { zoned: boolean }

const TIME = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?\s*(Z|[+-]\d\d:?\d\d)?$/

/** Reads `2020-09-22 14:53:04`, with or without fraction and zone; a time without zone is read as UTC. */
export function parseLoggedTime(value: string | null): ParsedTime | null {
  const match = value === null ? null : TIME.exec(value.trim())
  if (match === null) return null
  const [, date, time, fraction = '', zone] = match
  const ms = Date.parse(`${date}T${time}${zone === undefined ? 'Z' : zone.replace(/^(.\d\d)(\d\d)$/, '$1:$2')}`)
  if (Number.isNaN(ms)) return null
  const us = ms * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0'))
  return { us, resolutionUs: fraction.length >= 6 ? 0 : 10 ** (6 - fraction.length), zoned: zone !== undefined }
}

/** The moment of the event in the collector's words. */
function wallTime(fields: Fields): ParsedTime | null {
  const created = fields.get('timecreated')
  const attributes = isObject(created) ? (created['#attributes'] ?? created) : null
  const systemTime = isObject(attributes)
    ? text(new Map(Object.entries(attributes)), 'SystemTime', '@SystemTime')
    : null
  const value = text(fields, 'eventtime', 'timecreated', 'systemtime') ?? systemTime ?? text(fields, '@timestamp')
  return parseLoggedTime(value)
}

/** Canonical text; v4-mapped IPv6 becomes IPv4, a zone (`%5`) is dropped. */
function address(value: string | null): string {
  const plain = value?.replace(/%.*$/, '') ?? ''
  if (isIP(plain) === 0) throw new BadRecord('bad-address')
  return ipaddr.process(plain).toString()
}

function port(value: string | null): number {
  const number = integer(value, 0xffff)
  if (number === null) throw new BadRecord('bad-address')
  return number
}

const PROTOCOLS: Record<string, 'tcp' | 'udp'> = { 6: 'tcp', tcp: 'tcp', 17: 'udp', udp: 'udp' }

/** Null for protocols without ports (ICMP). */
function connection(fields: Fields, family: WindowsEvidence): LoggedConnection | null {
  const proto = PROTOCOLS[text(fields, 'protocol')?.toLowerCase() ?? '']
  if (proto === undefined) return null
  const outbound =
    family === 'sysmon'
      ? text(fields, 'initiated')?.toLowerCase() === 'true'
      : /14593|outbound/i.test(text(fields, 'direction') ?? '')
  return {
    proto,
    outbound,
    // For UDP that it did not initiate Sysmon names the host's end as the source, as if told by the answer.
    sourceIsLocal: outbound || (family === 'sysmon' && proto === 'udp'),
    sourceIp: address(text(fields, 'sourceip', 'sourceaddress')),
    sourcePort: port(text(fields, 'sourceport')),
    destIp: address(text(fields, 'destinationip', 'destaddress', 'destinationaddress')),
    destPort: port(text(fields, 'destinationport', 'destport')),
  }
}

/** A port that a process listens on (5154) or has bound (5158). Null where it tells nothing: TCP binds before it connects, too. */
function bound(fields: Fields): LoggedConnection | null {
  const proto = PROTOCOLS[text(fields, 'protocol')?.toLowerCase() ?? '']
  const isListening = text(fields, 'eventid') === '5154'
  if (proto === undefined || isListening !== (proto === 'tcp')) return null
  return {
    proto,
    outbound: false,
    sourceIsLocal: true,
    sourceIp: address(text(fields, 'sourceaddress')),
    sourcePort: port(text(fields, 'sourceport')),
    destIp: null,
    destPort: null,
  }
}

function familyOf(fields: Fields): WindowsEvidence | null {
  const origin =
    `${text(fields, 'channel', 'logname')} ${text(fields, 'sourcename', 'providername', 'provider')}`.toLowerCase()
  if (origin.includes('sysmon')) return 'sysmon'
  return /^security |security-auditing/.test(origin) ? 'security' : null
}

const KINDS: Record<WindowsEvidence, Record<string, WindowsRecord['kind']>> = {
  sysmon: { 1: 'start', 3: 'network', 5: 'exit' },
  security: { 4688: 'start', 4689: 'exit', 5154: 'bind', 5156: 'network', 5158: 'bind' },
}

const MAX_PID = 0x7fffffff

const PROCESS_GUID = /^\{[0-9a-f]{8}-([0-9a-f]{4})-([0-9a-f]{4})-[0-9a-f]{4}-[0-9a-f]{12}\}$/

/** Null for the guid of zeros that Sysmon gives a process it does not know. */
function guid(value: string | null): string | null {
  const lower = value?.toLowerCase() ?? ''
  return PROCESS_GUID.test(lower) && startOfGuid(lower) > 0 ? lower : null
}

/** When the process of a Sysmon ProcessGuid began, to the second: Sysmon makes it of machine, start time and token. */
export function startOfGuid(guid: string): number {
  const [, low, high] = PROCESS_GUID.exec(guid)!
  return Number.parseInt(`${high}${low}`, 16) * 1e6
}

function processOf(fields: Fields, family: WindowsEvidence, kind: WindowsRecord['kind']): LoggedProcess {
  const pid = (...names: string[]) => integer(text(fields, ...names), MAX_PID) || null // 0: not known
  if (family === 'sysmon') {
    const image = text(fields, 'image')
    return {
      pid: pid('processid'),
      guid: guid(text(fields, 'processguid')),
      image: image !== null && /unknown process/.test(image) ? null : image,
      parentPid: pid('parentprocessid'),
      parentGuid: guid(text(fields, 'parentprocessguid')),
      parentImage: text(fields, 'parentimage'),
    }
  }
  if (kind === 'start') {
    const image = text(fields, 'newprocessname')
    const parentImage = text(fields, 'parentprocessname')
    return { pid: pid('newprocessid'), guid: null, image, parentPid: pid('processid'), parentGuid: null, parentImage }
  }
  const image = text(fields, 'application', 'processname')
  return { pid: pid('processid'), guid: null, image, parentPid: null, parentGuid: null, parentImage: null }
}

const QUARTER_HOUR_US = 15 * 60_000_000

/** Time zones are multiples of a quarter of an hour; what is left of a difference is delay. */
function zoneShift(fields: Fields, utc: LoggedTime | null, wall: ParsedTime | null): number | null {
  if (wall === null) return null
  const received = parseLoggedTime(text(fields, 'eventreceivedtime'))
  const receivedUtc = parseLoggedTime(text(fields, '@timestamp'))
  let shiftUs: number
  if (utc !== null) shiftUs = utc.us - wall.us
  else if (!wall.zoned && received?.zoned === false && receivedUtc !== null) shiftUs = receivedUtc.us - received.us
  else return null
  return Math.round(shiftUs / QUARTER_HOUR_US) * QUARTER_HOUR_US
}

/** Is this a record of a Windows event log, as against a socket log of ours? */
export function isWindowsRecord(record: unknown): boolean {
  return isObject(record) && text(flatten(record), 'eventid') !== null
}

/** Reads one line; null for an event of another log. Throws BadRecord. */
export function readWindowsRecord(line: string): WindowsRecord | null {
  let record: unknown
  try {
    record = JSON.parse(line)
  } catch {
    throw new BadRecord('not-json')
  }
  if (!isObject(record)) throw new BadRecord('not-json')
  const fields = flatten(record)
  const family = familyOf(fields)
  if (family === null) return null
  const kind = KINDS[family][text(fields, 'eventid') ?? ''] ?? 'other'
  const host = text(fields, 'computername', 'computer', 'hostname')
  if (host === null) throw new BadRecord('no-host')
  const utc = family === 'sysmon' ? parseLoggedTime(text(fields, 'utctime')) : null
  const wall = wallTime(fields)
  const process = processOf(fields, family, kind)
  if (kind !== 'other') {
    if (utc === null && wall === null) throw new BadRecord('no-time')
    if (process.pid === null && (process.guid === null || process.image === null)) throw new BadRecord('no-process')
  }
  return {
    family,
    host,
    utc,
    wall,
    zoneShiftUs: zoneShift(fields, utc, wall),
    kind,
    process,
    network: kind === 'network' ? connection(fields, family) : kind === 'bind' ? bound(fields) : null,
  }
}
