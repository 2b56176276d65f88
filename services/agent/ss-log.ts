import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { Host, HostAddress, Poll, Process, Socket, SocketState } from '#schemas'
import { splitLines } from './lines.ts'
import { MAX_LINE_BYTES } from './open-log.ts'
import type { Place, Skip, SocketLogRecord } from './socket-log.ts'

/**
 * Logs of `ss -tunap`, each dump with its time in a line before it:
 *
 * ```
 * 2026-01-31T12:00:00,123456789+00:00
 * tcp   ESTAB  0  0  192.0.2.10:40000  198.51.100.1:443  users:(("curl",pid=7,fd=5))
 * ```
 *
 * The time is what `date -Ins`, `date -Is` or `date +%s.%N` print. Headers, IPv6, and what -e, -i, -m and -o add are understood; -e
 * tells sockets apart for certain.
 */
const TIME =
  /^(?:(\d{9,10})(?:\.(\d{1,9}))?|(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))? ?(Z|[+-]\d\d:?\d\d))$/

/** A line that goes on with the socket before it, a header, and sockets of other kinds. */
const PASSED_OVER = /^(\s|(Netid|State)\s|(?!tcp|udp)[a-z]\w*\s+[A-Z0-9-]+\s+\d+\s+\d+\s)/

/** ss needs about this long between its start and the last socket it shows. */
const DUMP_US = 100_000

const STATES: Readonly<Record<string, SocketState>> = {
  LISTEN: 'listen',
  'SYN-SENT': 'syn_sent',
  'SYN-RECV': 'syn_received',
  ESTAB: 'established',
  'FIN-WAIT-1': 'fin_wait_1',
  'FIN-WAIT-2': 'fin_wait_2',
  'CLOSE-WAIT': 'close_wait',
  CLOSING: 'closing',
  'LAST-ACK': 'last_ack',
  'TIME-WAIT': 'time_wait',
  UNCONN: 'closed',
}

/** Whether a text begins as such a log does: with times, and headers or sockets; perhaps within a dump. */
export function isSsLog(text: string): boolean {
  const lines = text.split('\n', 200)
  return lines.some(line => TIME.test(line.trim())) && lines.some(line => /^(Netid|State|tcp|udp)\s/.test(line))
}

interface Dump {
  timeUs: number
  resolutionUs: number
  sockets: Row[]
}

interface Row {
  socket: Omit<Socket, 'id'>
  names: ReadonlyMap<number, string>
  /** The kernel's cookie, where it is shown. */
  cookie: string | null
}

/**
 * The dumps of a host as keyframes, one a message, with the host before them and whenever it shows another address. Files that a
 * log was cut into are read one after the other, the oldest first, by one reader: a dump goes on in the next.
 */
export class SsLogReader {
  readonly #hosts = new Map<string, { told: DumpTeller; dump: Dump | null }>()

  async *read(chunks: AsyncIterable<Buffer>, hostId: string, place: Place): AsyncGenerator<SocketLogRecord | Skip> {
    const host = this.#hosts.get(hostId) ?? { told: new DumpTeller(hostId), dump: null }
    this.#hosts.set(hostId, host)
    for await (const { text, ended } of splitLines(chunks, MAX_LINE_BYTES)) {
      place.number++
      const line = text?.trimEnd() ?? ''
      if (text === null) yield { reason: 'line-too-long', detail: `longer than ${MAX_LINE_BYTES} bytes` }
      else if (line === '' || PASSED_OVER.test(line)) continue
      else {
        const time = readTime(line)
        // A port that was cut would be another.
        const row = time === null && ended ? readRow(line) : null
        if (time !== null) {
          if (host.dump !== null) yield* host.told.tell(host.dump)
          host.dump = { ...time, sockets: [] }
        } else if (row === null) {
          yield {
            reason: ended ? 'invalid-record' : 'cut-line',
            detail: `neither a time nor a socket: ${line.slice(0, 200)}`,
          }
        } else if (host.dump === null) {
          yield { reason: 'invalid-record', detail: 'a socket before the first time' }
        } else host.dump.sockets.push(row)
      }
    }
  }

  /** The dumps with which the last files ended. */
  *end(): Generator<SocketLogRecord> {
    for (const { told, dump } of this.#hosts.values()) if (dump !== null) yield* told.tell(dump)
  }
}

function readTime(line: string): Pick<Dump, 'timeUs' | 'resolutionUs'> | null {
  const match = TIME.exec(line)
  if (match === null) return null
  const [, seconds, decimals, date, clock, fraction, zone] = match
  const ms =
    seconds === undefined
      ? Date.parse(`${date}T${clock}${zone!.replace(/^(.\d\d)(\d\d)$/, '$1:$2')}`)
      : Number(seconds) * 1000
  if (Number.isNaN(ms)) return null
  const digits = decimals ?? fraction ?? ''
  const us = Number(digits.slice(0, 6).padEnd(6, '0'))
  return { timeUs: ms * 1000 + us, resolutionUs: digits.length >= 6 ? 0 : 10 ** (6 - digits.length) }
}

function readRow(line: string): Row | null {
  const [netid, state, , , local, peer] = line.split(/\s+/)
  const proto = netid === 'tcp' || netid === 'udp' ? netid : null
  const from = readEnd(local)
  const to = readEnd(peer)
  const known = STATES[state ?? '']
  if (proto === null || known === undefined || from === null || to === null || from.port === null) return null
  const isConnected = to.port !== null
  const names = new Map<number, string>()
  for (const [, name, pid] of line.matchAll(/\("([^"]*)",pid=(\d+),fd=\d+\)/g)) names.set(Number(pid), name!)
  return {
    names,
    cookie: / sk:([0-9a-f]+)/.exec(line)?.[1] ?? null,
    socket: {
      proto,
      local_ip: from.ip,
      local_port: from.port,
      remote_ip: isConnected ? to.ip : null,
      remote_port: to.port,
      state: proto === 'udp' ? 'bound' : known,
      v6_only: from.ip === '::' && local!.startsWith('['),
      owners: Array.from(names.keys(), pid => ({ pid, start_us: null })),
      created_us: null,
    },
  }
}

/** `192.0.2.1:80`, `192.0.2.1%eth0:68`, `[2001:db8::1]:80`, `[fe80::1]%eth0:546`, `0.0.0.0:*`; `*` is any address of both families. */
function readEnd(text = ''): { ip: string; port: number | null } | null {
  const colon = text.lastIndexOf(':')
  const port = text.slice(colon + 1)
  const ip = text
    .slice(0, colon)
    .replace(/%[^\]:]*/, '')
    .replace(/^\[(.*)\]$/, '$1')
  if (colon < 0 || !/^(\*|\d{1,5})$/.test(port) || Number(port) > 65_535) return null
  if (ip !== '*' && isIP(ip) === 0) return null
  return { ip: ip === '*' ? '::' : ipaddr.process(ip).toString(), port: port === '*' ? null : Number(port) }
}

/** Makes records of dumps; knows the sockets of the dump before, so that each keeps its number. */
class DumpTeller {
  readonly #hostId: string
  readonly #addresses = new Map<string, HostAddress>()
  #sockets = new Map<string, { id: number; pids: string }>()
  #nextId = 1
  #seq = 0
  #runId = ''

  constructor(hostId: string) {
    this.#hostId = hostId
  }

  *tell({ timeUs, resolutionUs, sockets }: Dump): Generator<SocketLogRecord> {
    // The same log read twice is the same run, whose messages a reader skips.
    this.#runId ||= `ss-${timeUs}`
    if (this.#learnAddresses(sockets) || this.#seq === 0) yield { topic: 'hosts', record: this.#host(timeUs) }
    const opened = this.#number(sockets)
    const names = new Map(sockets.flatMap(row => [...row.names]))
    const processes = Array.from(names, ([pid, name]) => processOf(pid, name))
    const poll: Poll = {
      poll_seq: this.#seq,
      kind: 'keyframe',
      time_us: timeUs,
      monotonic_us: timeUs,
      duration_us: Math.max(resolutionUs, DUMP_US),
      opened,
      closed: [],
    }
    const run = { host_id: this.#hostId, run_id: this.#runId, seq: this.#seq++ }
    yield { topic: 'socket-snapshots', record: { ...run, polls: [poll], processes } }
  }

  #number(sockets: readonly Row[]): Socket[] {
    const before = this.#sockets
    this.#sockets = new Map()
    return sockets.map(({ socket, cookie }) => {
      const { proto, local_ip, local_port, remote_ip, remote_port, owners } = socket
      const key = cookie ?? [proto, local_ip, local_port, remote_ip, remote_port].join(' ')
      const pids = owners.map(({ pid }) => pid).join(' ')
      const known = before.get(key)
      // Ends that another process has are another socket; that nobody has them (TIME-WAIT) is none.
      const isSame = known !== undefined && (cookie !== null || pids === '' || known.pids === '' || pids === known.pids)
      const id = isSame ? known.id : this.#nextId++
      this.#sockets.set(key, { id, pids: pids || (known?.pids ?? '') })
      return { id, ...socket }
    })
  }

  #learnAddresses(sockets: readonly Row[]): boolean {
    const before = this.#addresses.size
    for (const { socket } of sockets) {
      const ip = socket.local_ip
      if (/^(0\.0\.0\.0|::|127\..*|::1)$/.test(ip) || this.#addresses.has(ip) || isMulticast(ip)) continue
      this.#addresses.set(ip, { ip, since_us: null, until_us: null, namespace: null })
    }
    return this.#addresses.size > before
  }

  #host(timeUs: number): Host {
    return {
      ...{ host_id: this.#hostId, names: [this.#hostId], addresses: [...this.#addresses.values()], os: 'linux' },
      ...{ agent_version: 'ss-log', poll_period_us: null, boot_id: null, updated_us: timeUs },
    }
  }
}

const isMulticast = (ip: string): boolean => /^(22[4-9]|23\d)\.|^ff/.test(ip)

const processOf = (pid: number, name: string): Process => ({
  ...{ pid, start_us: null, name, path: null, parent_pid: null, services: [] },
  ...{ container_id: null, user: null, pod: null, parent_name: null, container_image: null },
})
