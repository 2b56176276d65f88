import { sessionTimes } from '#core/session-table.ts'
import { codecs } from '#schemas'
import type { Subscription } from '#shared/bus/bus.ts'

const { closeUs, tcpIdleUs, otherIdleUs, earlyUs } = sessionTimes
/** One of so many records is looked into: reading is not what is measured. */
const sampled = 8

/** Reads labeled-sessions: counts them, and tells how late they were. */
export class Reader {
  records = 0
  /** Records that say for the first time that a session is closed; from a sample, as all below. */
  closed = 0
  /** Closed records by stage, or by the cause of having none. */
  labels: Record<string, number> = {}
  /** How long after the moment that the session rules set a closed record was in the topic, milliseconds. */
  beyondRuleMs: number[] = []
  /** From the last packet to the closed record, of sessions that ended by FIN or RST. */
  fromEndMs: number[] = []
  /** From first packet to first record, of sessions that were told while they went on. */
  firstLabelMs: number[] = []
  #fromUs = Number.POSITIVE_INFINITY
  #goMs = 0

  /** From now on event time passes with the wall clock: it is at `fromUs` at `goMs`. Times are taken of what happens from then on. */
  follow(fromUs: number, goMs: number): void {
    this.#fromUs = fromUs
    this.#goMs = goMs
  }

  async read(subscription: Subscription): Promise<void> {
    for await (const batch of subscription) {
      for (const { value, appendMs } of batch.records) this.#take(value!, appendMs)
    }
  }

  #take(value: Uint8Array, appendMs: number): void {
    this.records++
    if (this.records % sampled !== 0) return
    const record = codecs['labeled-sessions'].decodeOwn(value)
    const { state, revision, end_reason, proto, first_us, last_us } = record
    if (state === 'open') {
      if (revision === 0) this.#late(this.firstLabelMs, first_us, appendMs)
      return
    }
    const stage = record.stage ?? record.unknown_cause ?? 'none'
    this.labels[stage] = (this.labels[stage] ?? 0) + sampled
    const isEnded = end_reason === 'fin' || end_reason === 'rst'
    const closedUs = last_us + (isEnded ? closeUs : proto === 'tcp' ? tcpIdleUs : otherIdleUs)
    // One that went on for so long was told as open before; a later revision is another label of what was told closed.
    const wentOnUs = (isEnded ? last_us : closedUs) - first_us
    if (revision > (wentOnUs > earlyUs ? 1 : 0)) return
    this.closed += sampled
    if (!isEnded && end_reason !== 'idle') return
    this.#late(this.beyondRuleMs, closedUs, appendMs)
    if (isEnded) this.#late(this.fromEndMs, last_us, appendMs)
  }

  #late(list: number[], us: number, appendMs: number): void {
    if (us >= this.#fromUs) list.push(appendMs - (this.#goMs + (us - this.#fromUs) / 1000))
  }
}
