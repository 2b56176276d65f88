import type { EventProcess, Host, HostAddress, SocketEvent, SocketEvents } from '#schemas'
import { EventMessages, MAX_EVENTS } from './event-messages.ts'
import type { LoggedConnection, LoggedTime, WindowsEvidence, WindowsRecord } from './windows-log-record.ts'
import { createSecurityOwners, createSysmonOwners, type Owners } from './windows-owners.ts'

/** What records told of one host. */
export interface ToldOfHost {
  hostId: string
  /** Null while nothing of it is new. */
  host: Host | null
  /** In order of `seq`. */
  events: SocketEvents[]
}

/** Sysmon's own words for a process that it knows by pid alone. */
const UNKNOWN_PROCESS = '<unknown process>'

const IMPORTED = 'windows-log'

/** Whether a host is told by an import, not by an agent. */
export const isImported = ({ agent_version }: Host): boolean => agent_version === IMPORTED

/** An address that its host was not seen with for so long, and then another host was, has changed hands (DHCP). */
const handOverUs = 10 * 60_000_000

/** When an address was seen with a host. */
interface Sighting {
  firstUs: number
  lastUs: number
}

/**
 * Turns records of Windows event logs, of any hosts, into what an agent would tell of them: all at once, or as they come.
 * What a host's earlier records told of its time zone, addresses and processes holds for its later ones.
 */
export class WindowsHosts {
  readonly #runId: string
  readonly #families: readonly WindowsEvidence[]
  readonly #zones = createZones()
  readonly #hosts = new Map<string, WindowsHost>()
  /** Who was seen last with an address. */
  readonly #holders = new Map<string, WindowsHost>()

  /** `families`: the logs whose events are told; the others tell of addresses alone. */
  constructor(runId: string, families: readonly WindowsEvidence[]) {
    this.#runId = runId
    this.#families = families
  }

  /** Takes up what another run told of hosts. */
  restore(hosts: readonly Host[]): void {
    for (const { host_id, addresses, updated_us } of hosts) {
      const host = this.#host(host_id)
      for (const address of addresses) {
        host.know(address, updated_us)
        if (address.until_us === null) this.#holders.set(address.ip, host)
      }
    }
  }

  #host(hostId: string): WindowsHost {
    let host = this.#hosts.get(hostId)
    if (host === undefined) {
      host = new WindowsHost(hostId, this.#runId, this.#families)
      this.#hosts.set(hostId, host)
    }
    return host
  }

  /** What is new with these records, by host; events in order of time. */
  add(records: readonly WindowsRecord[]): ToldOfHost[] {
    for (const { host, zoneShiftUs } of records) if (zoneShiftUs !== null) this.#zones.vote(host, zoneShiftUs)
    const byHost = Map.groupBy(
      records.filter(({ kind }) => kind !== 'other'),
      ({ host }) => host,
    )
    const touched = new Set<WindowsHost>()
    for (const [hostId, ofHost] of byHost) {
      const host = this.#host(hostId)
      touched.add(host)
      for (const [ip, seen] of host.take(ofHost, this.#zones.shiftOf(hostId))) {
        const holder = this.#holders.get(ip)
        if (holder !== undefined && holder !== host) {
          holder.mayLose(ip, seen.firstUs)
          touched.add(holder)
        }
        host.hold(ip, seen, holder !== undefined)
        this.#holders.set(ip, host)
      }
    }
    return Array.from(touched, host => host.tell()).filter(({ host, events }) => host !== null || events.length > 0)
  }
}

/** One host, and what was understood of it so far. */
class WindowsHost {
  readonly #id: string
  readonly #families: ReadonlyMap<WindowsEvidence, { owners: Owners; messages: EventMessages }>
  readonly #addresses = new Map<string, HostAddress & { lastUs: number }>()
  #isNew = true
  #taken: { records: readonly WindowsRecord[]; shiftUs: number } = { records: [], shiftUs: 0 }
  #lastUs = 0

  constructor(id: string, runId: string, families: readonly WindowsEvidence[]) {
    this.#id = id
    this.#families = new Map(
      families.map(family => [
        family,
        {
          owners: family === 'sysmon' ? createSysmonOwners() : createSecurityOwners(),
          messages: new EventMessages(id, runId, { mechanism: family, complete: false }),
        },
      ]),
    )
  }

  /** As it was told before. */
  know(address: HostAddress, lastUs: number): void {
    this.#addresses.set(address.ip, { ...address, lastUs })
    this.#isNew = false
  }

  /** Takes records to be told next; answers with the addresses that can only be its own. */
  take(records: readonly WindowsRecord[], shiftUs: number): ReadonlyMap<string, Sighting> {
    this.#taken = { records, shiftUs }
    this.#lastUs = records.reduce((last, record) => Math.max(last, eventTime(record, shiftUs).us), this.#lastUs)
    return ownAddresses(records, shiftUs)
  }

  /** `hadHolder`: another host had it before. */
  hold(ip: string, { firstUs, lastUs }: Sighting, hadHolder: boolean): void {
    const known = this.#addresses.get(ip)
    if (known !== undefined && known.until_us === null) {
      known.lastUs = Math.max(known.lastUs, lastUs)
      return
    }
    this.#addresses.set(ip, { ip, since_us: hadHolder ? firstUs : null, until_us: null, namespace: null, lastUs })
    this.#isNew = true
  }

  /** Another host has it at this moment. Those who use it in turn share it: so does a network behind each of them. */
  mayLose(ip: string, atUs: number): void {
    const address = this.#addresses.get(ip)!
    if (address.until_us !== null || atUs - address.lastUs < handOverUs) return
    address.until_us = address.lastUs
    this.#isNew = true
  }

  tell(): ToldOfHost {
    const { records, shiftUs } = this.#taken
    this.#taken = { records: [], shiftUs }
    const addresses = new Set(this.#addresses.keys())
    const events: SocketEvents[] = []
    for (const [family, { owners, messages }] of this.#families) {
      const all = createEvents(
        records.filter(record => record.family === family),
        addresses,
        shiftUs,
        owners,
      )
      for (let from = 0; from < all.length; from += MAX_EVENTS) {
        const part = all.slice(from, from + MAX_EVENTS)
        messages.add({
          untilUs: part.at(-1)!.event.time_us,
          lost: 0,
          events: part.map(({ event }) => event),
          processes: part.map(({ process }) => process),
        })
        events.push(...messages.take())
      }
    }
    const host = this.#isNew ? this.#record() : null
    this.#isNew = false
    return { hostId: this.#id, host, events }
  }

  #record(): Host {
    return {
      host_id: this.#id,
      names: [this.#id],
      addresses: Array.from(this.#addresses.values(), ({ lastUs: _, ...address }) => address),
      os: 'windows',
      agent_version: IMPORTED,
      poll_period_us: null,
      boot_id: null,
      updated_us: this.#lastUs,
    }
  }
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
function ownAddresses(records: readonly WindowsRecord[], shiftUs: number): Map<string, Sighting> {
  const addresses = new Map<string, Sighting>()
  for (const record of records) {
    const { network } = record
    if (network === null || network.destIp === null) continue
    const ip = network.outbound ? network.sourceIp : network.proto === 'tcp' ? network.destIp : null
    if (ip === null || /^(0\.0\.0\.0|::|127\..*|::1)$/.test(ip)) continue
    const { us } = eventTime(record, shiftUs)
    const { firstUs, lastUs } = addresses.get(ip) ?? { firstUs: us, lastUs: us }
    addresses.set(ip, { firstUs: Math.min(firstUs, us), lastUs: Math.max(lastUs, us) })
  }
  return addresses
}

const baseName = (path: string) => path.slice(Math.max(path.lastIndexOf('\\'), path.lastIndexOf('/')) + 1)

const EVENT_KINDS = { start: 'process_start', exit: 'process_exit' } as const

function eventTime({ utc, wall }: WindowsRecord, shiftUs: number): LoggedTime {
  return utc ?? { us: wall!.us + shiftUs, resolutionUs: wall!.resolutionUs }
}

/** The events of one host in order of time, each with its process for the dictionary. */
function createEvents(
  records: readonly WindowsRecord[],
  addresses: ReadonlySet<string>,
  shiftUs: number,
  owners: Owners,
): { event: SocketEvent; process: EventProcess }[] {
  owners.learn(records)
  return records
    .filter(({ kind, network }) => network !== null || (kind !== 'network' && kind !== 'bind'))
    .map(record => ({ record, time: eventTime(record, shiftUs) }))
    .sort((a, b) => a.time.us - b.time.us)
    .map(({ record, time }) => {
      const { pid, startUs, image } = owners.find(record, time.us)
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
        parent_name: record.process.parentImage && baseName(record.process.parentImage),
        container_image: null,
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
function ends(network: LoggedConnection | null, addresses: ReadonlySet<string>) {
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
