import type { Host } from '#schemas'

/** Which address belongs to which monitored host, and when; filled from the hosts topic. */
export class HostDirectory {
  readonly #owners = new Map<string, { hostId: string; sinceUs: number; untilUs: number }[]>()
  readonly #hosts = new Map<string, Host>()
  /** Goes up with every change, so that what was derived from the directory can be derived again. */
  version = 0

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
    if (!spans) return null
    const distances = spans.map(({ sinceUs, untilUs }) => Math.max(sinceUs - timeUs, timeUs - untilUs, 0))
    const nearest = Math.min(...distances)
    const hosts = new Set(spans.filter((_, i) => distances[i] === nearest).map(({ hostId }) => hostId))
    return hosts.size === 1 ? [...hosts][0]! : null
  }
}
