import type { ConsumedRecord } from '#shared/bus/bus.ts'

/** For so long the agent of a host that the capture speaks of may say nothing. */
const patienceMs = 60_000

/**
 * Which hosts' agents have fallen silent, by the broker's clock. A host of which the capture says nothing either is not
 * counted: another matcher reads it by now, or there is no capture.
 */
export class SilentAgents {
  readonly #heard = new Map<string, { agentMs: number; captureMs: number }>()

  hear(records: readonly ConsumedRecord[]): void {
    for (const { topic, key, appendMs } of records) {
      if (topic === 'resolutions') continue
      let host = this.#heard.get(key)
      // A host that is new gets the time to be heard of.
      if (!host) {
        host = { agentMs: appendMs, captureMs: appendMs }
        this.#heard.set(key, host)
      }
      if (topic === 'packets') host.captureMs = appendMs
      else host.agentMs = appendMs
    }
  }

  /** At `nowMs`; forgets the hosts of which nothing was heard for ten times the patience. */
  count(nowMs: number): number {
    let silent = 0
    for (const [hostId, { agentMs, captureMs }] of this.#heard) {
      if (nowMs - Math.max(agentMs, captureMs) > 10 * patienceMs) this.#heard.delete(hostId)
      else if (nowMs - captureMs <= patienceMs && captureMs - agentMs > patienceMs) silent++
    }
    return silent
  }
}
