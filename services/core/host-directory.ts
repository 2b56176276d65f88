import type { Host } from '#schemas'

/** Networks whose addresses are monitored, each as a host of its own with the address as its id, as far as no host has announced it. */
export interface MonitoredNetworks {
  contains: (ip: string) => boolean
  /** How many bits of the 16 bytes (IPv4 as v4-mapped) are a network's. */
  readonly prefixes: readonly { address: Uint8Array; bits: number }[]
}

/** Addresses of monitored networks that become hosts; who sends to all of a network's addresses makes no more. */
export const maxNetworkHosts = 4096

/** Which address belongs to which monitored host, and when; filled from the hosts topic. */
export class HostDirectory {
  #networks: MonitoredNetworks | null
  readonly #networkHosts = new Set<string>()
  readonly #owners = new Map<string, { hostId: string; sinceUs: number; untilUs: number }[]>()
  readonly #hosts = new Map<string, Host>()
  /** Goes up with every change, so that what was derived from the directory can be derived again. */
  version = 0

  constructor(networks: MonitoredNetworks | null = null) {
    this.#networks = networks
  }

  get networks(): MonitoredNetworks | null {
    return this.#networks
  }

  /** Monitors these networks from now on, in place of those before. */
  monitor(networks: MonitoredNetworks | null): void {
    this.#networks = networks
    this.version++
  }

  /** Takes a host's newest record in place of the one before. */
  apply(host: Host): void {
    if (JSON.stringify(this.#hosts.get(host.host_id)?.addresses) === JSON.stringify(host.addresses)) return
    this.version++
    this.#hosts.set(host.host_id, host)
    this.#owners.clear()
    for (const { host_id: hostId, addresses } of this.#hosts.values())
      for (const { ip, since_us, until_us } of addresses) {
        const spans = this.#owners.get(ip) ?? []
        spans.push({
          hostId,
          sinceUs: since_us ?? Number.NEGATIVE_INFINITY,
          untilUs: until_us ?? Number.POSITIVE_INFINITY,
        })
        this.#owners.set(ip, spans)
      }
  }

  /** Every address with the host that has it in that span of time, microseconds since the epoch, infinite where it is open. */
  *spans(): Iterable<{ ip: string; hostId: string; sinceUs: number; untilUs: number }> {
    for (const [ip, spans] of this.#owners) for (const span of spans) yield { ip, ...span }
  }

  /** The newest record of every host. */
  hosts(): Iterable<Host> {
    return this.#hosts.values()
  }

  get size(): number {
    return this.#hosts.size
  }

  /**
   * The host that had this address at that time; where no span holds it, the one nearest in time: clocks differ.
   * Null for an address that several hosts have at once (loopback, a container bridge): it tells nothing.
   */
  hostOf(ip: string, timeUs: number): string | null {
    const spans = this.#owners.get(ip)
    if (!spans) return this.#networkHost(ip)
    const distances = spans.map(({ sinceUs, untilUs }) => Math.max(sinceUs - timeUs, timeUs - untilUs, 0))
    const nearest = Math.min(...distances)
    const hosts = new Set(spans.filter((_, i) => distances[i] === nearest).map(({ hostId }) => hostId))
    return hosts.size === 1 ? [...hosts][0]! : null
  }

  #networkHost(ip: string): string | null {
    if (!this.#networks?.contains(ip)) return null
    if (this.#networkHosts.has(ip)) return ip
    if (this.#networkHosts.size === maxNetworkHosts) return null
    this.#networkHosts.add(ip)
    return ip
  }
}
