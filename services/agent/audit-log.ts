import type { Host, Process, SocketEvent } from '#schemas'
import {
  type Address,
  type AuditRecord,
  addressOf,
  callOf,
  fieldsOf,
  processOf,
  readAuditRecord,
} from './audit-record.ts'
import { AuditSockets, RESOLUTION_US, type Socket } from './audit-sockets.ts'
import { EventMessages } from './event-messages.ts'
import { splitLines } from './lines.ts'
import { MAX_LINE_BYTES } from './open-log.ts'
import type { Place, Skip, SocketLogRecord } from './socket-log.ts'

/** Events whose records are gathered: they may be mixed, and ausearch puts a call where it began, not where it ended. */
const MAX_OPEN_EVENTS = 1024
const EVENTS_PER_MESSAGE = 1000

/** Whether a text begins as such a log does. */
export const isAuditLog = (text: string): boolean =>
  text.split('\n', 20).some(line => /^(node=\S+ )?type=[A-Z_0-9]+ msg=audit\(/.test(line))

/** How long who accepts may have to wait for its turn to run. */
const TURN_US = 100_000

/** The records of one event. */
interface AuditEvent {
  number: number
  timeUs: number
  fields: ReadonlyMap<string, string> | null
  address: Address | null
}

/** An event of a socket that waits to be told: what comes soon after it may tell more of it. */
interface Waiting {
  event: SocketEvent
  socket: Socket | null
  process: Process
}

/**
 * Logs of auditd, raw or enriched, as `/var/log/audit/audit.log` holds them and `ausearch --raw` and `ausearch` print them. An
 * event is a record of each kind under one time and number:
 *
 * ```
 * node=web1 type=SYSCALL msg=audit(1364481363.243:24287): arch=c000003e syscall=42 success=yes exit=0 a0=3 … pid=3538 … exe="/usr/bin/curl"
 * node=web1 type=SOCKADDR msg=audit(1364481363.243:24287): saddr=020001BBC63364010000000000000000
 * ```
 *
 * The files that auditd made of one log by turns are read one after the other, the oldest first, by one reader: sockets and
 * events do not end with a file. https://github.com/linux-audit/audit-documentation/wiki
 */
export class AuditLogReader {
  readonly #hosts = new Map<string, AuditHost>()

  /** A file's events; `hostId` where the log does not name the host. */
  async *read(chunks: AsyncIterable<Buffer>, hostId: string, place: Place): AsyncGenerator<SocketLogRecord | Skip> {
    for await (const { text, ended } of splitLines(chunks, MAX_LINE_BYTES)) {
      place.number++
      if (text === null) {
        yield { reason: 'line-too-long', detail: `longer than ${MAX_LINE_BYTES} bytes` }
        continue
      }
      // What ausearch puts between events.
      if (text.trim() === '' || /^(----|time->)/.test(text)) continue
      // A name or a number that was cut would be another.
      const record = ended ? readAuditRecord(text) : null
      if (record === null) {
        yield { reason: ended ? 'invalid-record' : 'cut-line', detail: `no record of auditd: ${text.slice(0, 200)}` }
        continue
      }
      const node = record.node ?? hostId
      let host = this.#hosts.get(node)
      if (host === undefined) {
        host = new AuditHost(node, record)
        this.#hosts.set(node, host)
        yield { topic: 'hosts', record: host.record(record.timeUs) }
      }
      yield* host.add(record)
    }
  }

  /** What was still open as the last file ended. */
  *end(): Generator<SocketLogRecord> {
    for (const host of this.#hosts.values()) yield* host.end()
  }
}

class AuditHost {
  readonly #id: string
  readonly #messages: EventMessages
  /** By time and number. */
  readonly #open = new Map<string, AuditEvent>()
  /** The same in the order of their numbers. */
  #ordered: AuditEvent[] = []
  readonly #sockets = new AuditSockets()
  #waiting: Waiting[] = []
  /** Of `#waiting`, those that ended at a time that is not known yet. */
  #blocked: SocketEvent[] = []
  /** The latest time that was told. */
  #latestUs = 0

  constructor(id: string, first: AuditRecord) {
    this.#id = id
    this.#messages = new EventMessages(id, `audit-${first.timeUs}:${first.number}`, {
      mechanism: 'auditd',
      complete: false,
    })
  }

  record(updatedUs: number): Host {
    return {
      ...{ host_id: this.#id, names: [this.#id], addresses: [], os: 'linux', agent_version: 'audit-log' },
      ...{ poll_period_us: null, boot_id: null, updated_us: updatedUs },
    }
  }

  *add(record: AuditRecord): Generator<SocketLogRecord> {
    const { type, text } = record
    if (type.startsWith('DAEMON_')) {
      // These auditd numbers itself. As it starts the kernel may have, too: then the kernel's numbers have begun anew.
      if (type === 'DAEMON_START') yield* this.#closeAll()
      return
    }
    const event = this.#eventOf(record)
    if (type === 'SYSCALL') event.fields = fieldsOf(text)
    else if (type === 'SOCKADDR') event.address = addressOf(text)
    if (this.#open.size > MAX_OPEN_EVENTS) yield* this.#close(this.#ordered.shift()!)
  }

  *end(): Generator<SocketLogRecord> {
    yield* this.#closeAll()
    yield* this.#flush()
  }

  #eventOf({ timeUs, number }: AuditRecord): AuditEvent {
    const key = keyOf(timeUs, number)
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const event: AuditEvent = { timeUs, number, fields: null, address: null }
    this.#open.set(key, event)
    const before = this.#ordered.findLastIndex(other => other.number <= number)
    this.#ordered.splice(before + 1, 0, event)
    return event
  }

  *#closeAll(): Generator<SocketLogRecord> {
    const ordered = this.#ordered
    this.#ordered = []
    for (const event of ordered) yield* this.#close(event)
  }

  *#close({ number, timeUs, fields, address }: AuditEvent): Generator<SocketLogRecord> {
    this.#open.delete(keyOf(timeUs, number))
    const call = fields && callOf(fields)
    const process = fields && processOf(fields)
    if (call !== 'accept' && call !== 'connect') this.#unblock(timeUs)
    if (call && process) {
      for (const { event, socket } of this.#sockets.tell({ call, timeUs, process, fields, address })) {
        if (call === 'accept') this.#block(event)
        this.#waiting.push({ event, socket, process })
      }
    }
    this.#latestUs = Math.max(this.#latestUs, timeUs)
    if (this.#waiting.length >= EVENTS_PER_MESSAGE) yield* this.#flush()
  }

  /**
   * A call is stamped as it begins and numbered as it ends, and accept waits for whom it accepts: that came after all that ended
   * before, but for its turn to run, and before the next thing that does not wait.
   */
  #block(event: SocketEvent): void {
    event.time_us = Math.max(event.time_us, this.#latestUs - TURN_US)
    this.#blocked.push(event)
  }

  #unblock(untilUs: number): void {
    for (const event of this.#blocked)
      event.resolution_us = Math.max(event.resolution_us, untilUs + RESOLUTION_US - event.time_us)
    this.#blocked = []
  }

  *#flush(): Generator<SocketLogRecord> {
    this.#unblock(this.#latestUs)
    const waiting = this.#waiting.sort((a, b) => a.event.time_us - b.event.time_us)
    this.#waiting = []
    if (waiting.length === 0) return
    this.#messages.add({
      untilUs: this.#latestUs,
      lost: 0,
      events: waiting.map(withPort),
      processes: waiting.map(({ process }) => process),
    })
    for (const record of this.#messages.take()) yield { topic: 'socket-events', record }
  }
}

const keyOf = (timeUs: number, number: number): string => `${timeUs} ${number}`

/** By the port that the socket told meanwhile, which does not change while it lasts. */
const withPort = ({ event, socket }: Waiting): SocketEvent =>
  socket?.local ? { ...event, local_ip: socket.local.ip, local_port: socket.local.port } : event
