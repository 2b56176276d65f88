import type { DnsAnswer } from './dns.ts'

export interface DnsNameLimits {
  /** Pairs of client and address that are remembered; the least recently used go first. */
  entries: number
  /** An answer counts for its TTL, but at least and at most this long: programs keep addresses longer than they may. */
  minLifeUs: number
  maxLifeUs: number
}

export const defaultDnsNameLimits: Readonly<DnsNameLimits> = Object.freeze({
  entries: 200_000,
  minLifeUs: 3_600_000_000,
  maxLifeUs: 86_400_000_000,
})

interface Known {
  name: string
  learnedUs: number
  expiresUs: number
}

/** A shared address (a CDN's) answers for several names of one client; a session is judged some time after it began. */
const NAMES_PER_ADDRESS = 4
/** Answers that were sent to a multicast group (mDNS) are for every client. */
const EVERYBODY = '*'

/**
 * Which name each client had asked for when it was given an address. Addresses are canonical text; time is event time.
 */
export class DnsNames {
  private readonly limits: DnsNameLimits
  /** By client and address, least recently used first; each list has the newest answer first. */
  private readonly known = new Map<string, Known[]>()

  constructor(limits: Partial<DnsNameLimits> = {}) {
    this.limits = { ...defaultDnsNameLimits, ...limits }
  }

  /** Remembers answers that reached `client` (the receiver of the response; a multicast group for mDNS). */
  learn(client: string, answers: readonly DnsAnswer[], timeUs: number): void {
    const { entries, minLifeUs, maxLifeUs } = this.limits
    for (const { name, address, ttlSeconds } of answers) {
      const key = keyOf(isMulticast(client) ? EVERYBODY : client, address)
      const lifeUs = Math.min(Math.max(ttlSeconds * 1e6, minLifeUs), maxLifeUs)
      const others = this.known.get(key)?.filter(known => known.name !== name) ?? []
      const list = [{ name, learnedUs: timeUs, expiresUs: timeUs + lifeUs }, ...others]
      list.sort((a, b) => b.learnedUs - a.learnedUs)
      this.use(key, list.slice(0, NAMES_PER_ADDRESS))
    }
    for (const key of this.known.keys()) {
      if (this.known.size <= entries) break
      this.known.delete(key)
    }
  }

  /** The name by which `client` knew `address` at that time: the newest answer it had by then; null without one. */
  lookup(client: string, address: string, timeUs: number): string | null {
    return this.find(keyOf(client, address), timeUs) ?? this.find(keyOf(EVERYBODY, address), timeUs)
  }

  /** See Stored. */
  state(): ReadonlyMap<string, Known[]> {
    return this.known
  }

  restore(known: ReadonlyMap<string, Known[]>): void {
    for (const [key, list] of known) this.known.set(key, list)
  }

  get size(): number {
    return this.known.size
  }

  private find(key: string, timeUs: number): string | null {
    const list = this.known.get(key)
    const answer = list?.find(known => known.learnedUs <= timeUs && timeUs < known.expiresUs)
    if (list === undefined || answer === undefined) return null
    this.use(key, list)
    return answer.name
  }

  /** Puts the entry at the end of the map, which is in order of insertion. */
  private use(key: string, list: Known[]): void {
    this.known.delete(key)
    this.known.set(key, list)
  }
}

function keyOf(client: string, address: string): string {
  return `${client} ${address}`
}

function isMulticast(address: string): boolean {
  if (address.includes(':')) return address.startsWith('ff')
  const first = Number.parseInt(address, 10)
  return first >= 224 && first <= 239
}
