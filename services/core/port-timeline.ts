import type { OwnershipInterval } from './ownership.ts'

/** Up to so many intervals of a port are looked through; a map costs more than all of them. */
const mostLookedThrough = 8
const none: readonly OwnershipInterval[] = []

/** All that was seen on one local port of one protocol. Most ports have an interval or two: for those it is one short list. */
export class PortTimeline {
  #all: OwnershipInterval[]
  #unconnected: OwnershipInterval[] | null = null
  /** By remote end; null for short lists. */
  #connected: Map<string, OwnershipInterval[]> | null = null

  constructor(intervals: readonly OwnershipInterval[] = none) {
    this.#all = [...intervals]
    if (this.#all.length > mostLookedThrough) this.#index()
  }

  /** In the order they came. */
  get all(): readonly OwnershipInterval[] {
    return this.#all
  }

  add(interval: OwnershipInterval): void {
    if (this.#all.length === 0) {
      this.#all = [interval]
      return
    }
    this.#all.push(interval)
    if (this.#unconnected !== null) this.#file(interval)
    else if (this.#all.length > mostLookedThrough) this.#index()
  }

  /** Those with this remote end; null asks for those without one. */
  of(remoteIp: string | null, remotePort: number | null): readonly OwnershipInterval[] {
    if (this.#unconnected === null)
      return this.#all.filter(
        interval => interval.remoteIp === remoteIp && (remoteIp === null || interval.remotePort === remotePort),
      )
    if (remoteIp === null) return this.#unconnected
    return this.#connected!.get(remoteKey(remoteIp, remotePort!)) ?? none
  }

  #index(): void {
    this.#unconnected = []
    this.#connected = new Map()
    for (const interval of this.#all) this.#file(interval)
  }

  #file(interval: OwnershipInterval): void {
    const { remoteIp, remotePort } = interval
    if (remoteIp === null) {
      this.#unconnected!.push(interval)
      return
    }
    const key = remoteKey(remoteIp, remotePort!)
    const known = this.#connected!.get(key)
    if (known) known.push(interval)
    else this.#connected!.set(key, [interval])
  }
}

function remoteKey(remoteIp: string, remotePort: number): string {
  return `${remoteIp} ${remotePort}`
}
