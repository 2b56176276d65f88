import { setTimeout as sleep } from 'node:timers/promises'
import type { HostDirectory } from '#core/host-directory.ts'
import type { codecs as checkedInCodecs } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import type { HostKeys } from '#shared/bus/host-keys.ts'
import type { HealthComponent } from '#shared/health.ts'
import type { Log } from '#shared/log.ts'

export type PrepareRecords = (records: readonly ConsumedRecord[]) => Promise<void> | undefined

export interface HostFollowerOptions {
  bus: Pick<Bus, 'subscribe'>
  /** Filled from the topic, as long as the follower runs; may hold the hosts of the last run. */
  directory: HostDirectory
  /** One of this run's own: every run reads from the beginning. */
  group: string
  codec: Pick<typeof checkedInCodecs.hosts, 'decode'>
  /** Called before records are decoded: learns the schemas of other versions. */
  prepare: PrepareRecords
  /** Where hosts must sign what they tell. */
  hostKeys: Pick<HostKeys, 'forgeries'> | undefined
  log: Log
  health: HealthComponent
  signal: AbortSignal
}

/** The topic has been read this far when no host came for this time. */
const quietMs = 500
const pollMs = 50
const retryMs = 5000

/** Reads the hosts topic from the beginning and keeps following it, also over failures of the bus. */
export class HostFollower {
  readonly #options: HostFollowerOptions
  #appliedMs = 0
  /** Records that their host did not sign; the matcher buries them. */
  refused = 0

  constructor(options: HostFollowerOptions) {
    this.#options = options
    options.health.notReady(
      options.directory.size === 0
        ? 'no host is known yet'
        : 'the hosts topic is not read yet: hosts are those of the last run',
    )
  }

  async run(): Promise<void> {
    const { bus, group, prepare, hostKeys, signal, log } = this.#options
    while (!signal.aborted) {
      try {
        for await (const batch of bus.subscribe(['hosts'], group, signal)) {
          await prepare(batch.records)
          const forgeries = await hostKeys?.forgeries(batch.records)
          for (const [{ key }, forgery] of forgeries ?? []) log.warn({ key, ...forgery }, 'a host record is refused')
          this.refused += forgeries?.size ?? 0
          for (const record of batch.records) if (!forgeries?.has(record)) this.#apply(record.key, record.value)
          await batch.commit()
        }
      } catch (error) {
        log.warn({ error }, 'the hosts topic cannot be read; hosts are those known so far')
      }
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  }

  /** Resolves when a host is known and no more have come for a moment, or after `mostMs`. */
  async known(mostMs: number): Promise<void> {
    const { directory, signal } = this.#options
    const end = performance.now() + mostMs
    const isKnown = () => directory.size > 0 && performance.now() - this.#appliedMs > quietMs
    while (!isKnown() && performance.now() < end && !signal.aborted)
      await sleep(pollMs, undefined, { signal }).catch(() => {})
  }

  #apply(key: string, value: Uint8Array | null): void {
    const { codec, directory, log, health } = this.#options
    // A tombstone forgets nothing: the packets of a host that is gone may still be on the way.
    if (value === null) return
    try {
      directory.apply(codec.decode(value))
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      log.warn({ key, error }, 'a host record cannot be decoded')
      return
    }
    this.#appliedMs = performance.now()
    health.ready()
  }
}
