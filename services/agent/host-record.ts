import { readFileSync } from 'node:fs'
import os from 'node:os'
import type { Host, HostAddress } from '#schemas'
import type { NamespaceAddress } from './socket-source.ts'

const REPEAT_EVERY_US = 60_000_000
/** Addresses that ended, the oldest forgotten first: privacy addresses come and go for as long as a host is up. */
const MAX_ENDED = 256

type Address = Pick<HostAddress, 'ip' | 'namespace'>

/**
 * All addresses of this host's interfaces, canonical text, without zone, and those of its containers: not such as the host has
 * itself or several containers have, which is behind a translation of addresses and on no wire. Null while the system does not
 * tell them: Windows may not yet when it starts.
 */
export function readAddresses(ofContainers: readonly NamespaceAddress[] = []): Address[] | null {
  const interfaces = networkInterfaces()
  if (interfaces === null) return null
  const all = Object.values(interfaces).flatMap(list => list ?? [])
  const own = new Set(all.map(({ address }) => address.split('%')[0]!))
  const holders = Map.groupBy(ofContainers, ({ ip }) => ip)
  const unique = ofContainers.filter(({ ip }) => !own.has(ip) && holders.get(ip)!.length === 1)
  return [...Array.from(own, ip => ({ ip, namespace: null })), ...unique]
}

function networkInterfaces(): ReturnType<typeof os.networkInterfaces> | null {
  try {
    return os.networkInterfaces()
  } catch {
    return null
  }
}

export function readBootId(): string | null {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return null
  }
}

function readVersion(): string {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')).version
}

/** Who this host is, as a record at the start, whenever its addresses or the pace of its polls change, and once a minute. */
export class HostRecorder {
  readonly #fixed: Omit<Host, 'addresses' | 'updated_us'>
  readonly #readAddresses: () => Address[] | null
  #current = new Map<string, HostAddress>()
  #ended: HostAddress[] = []
  #checkedUs: number | null = null
  #toldUs = 0

  constructor(hostId: string, osName: string, addresses: () => Address[] | null = readAddresses) {
    this.#readAddresses = addresses
    this.#fixed = {
      host_id: hostId,
      names: [os.hostname()],
      os: osName,
      agent_version: readVersion(),
      poll_period_us: null,
      boot_id: readBootId(),
    }
  }

  /** The record to publish at this moment (host clock, microseconds since the epoch); null while nothing is new. */
  next(nowUs: number, pollPeriodMs: number): Host | null {
    const hasChanged = this.#look(nowUs) || this.#fixed.poll_period_us !== pollPeriodMs * 1000
    // A clock that was set back must not silence the host for as long.
    const sinceUs = nowUs - this.#toldUs
    if (!hasChanged && sinceUs >= 0 && sinceUs < REPEAT_EVERY_US) return null
    this.#fixed.poll_period_us = pollPeriodMs * 1000
    this.#toldUs = nowUs
    return { ...this.#fixed, addresses: [...this.#ended, ...this.#current.values()], updated_us: nowUs }
  }

  #look(nowUs: number): boolean {
    const addresses = this.#readAddresses()
    if (addresses === null) return false
    // An address that is there at the start has been there for an unknown time; a later one since the last look.
    const sinceUs = this.#checkedUs
    let changed = sinceUs === null
    const current = new Map<string, HostAddress>()
    for (const { ip, namespace } of addresses) {
      const known = this.#current.get(ip)
      if (known === undefined || known.namespace !== namespace) changed = true
      current.set(ip, { ip, since_us: known ? known.since_us : sinceUs, until_us: null, namespace })
    }
    for (const [ip, address] of this.#current) {
      if (current.has(ip)) continue
      changed = true
      this.#ended.push({ ...address, until_us: nowUs, namespace: null })
    }
    this.#ended = this.#ended.slice(-MAX_ENDED)
    this.#current = current
    this.#checkedUs = nowUs
    return changed
  }
}
