import type { Label } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import type { HostClocks } from './host-clocks.ts'
import type { Moment } from './ownership.ts'
import type { Stored } from './stored.ts'

/** Process ids whose ends are remembered. */
const pidsKept = 20_000
/** Ends remembered of one process id. */
const endsKept = 8

interface End {
  /** Start time of the process that ended; null when not known. */
  startUs: number | null
  moment: Moment
  /** Another process was started under this id: whoever had it before is gone. */
  byReuse: boolean
}

/** When processes ended: ownership that no close event ends, ends with its process. */
export class ProcessExits {
  readonly #clocks: HostClocks
  readonly #ends = new BoundedMap<number, readonly End[]>(pidsKept)
  readonly stored: Stored = this.#ends

  constructor(clocks: HostClocks) {
    this.#clocks = clocks
  }

  tell(pid: number, startUs: number | null, moment: Moment, byReuse: boolean): void {
    const known = this.#ends.get(pid, 0) ?? []
    this.#ends.set(pid, [...known.slice(1 - endsKept), { startUs, moment, byReuse }], moment.highUs)
  }

  /** The end of a process that was alive at `since`; null when none was told. */
  endOf(owner: Label, since: Moment): Moment | null {
    const sinceLowUs = this.#clocks.toCapture(since.clock, since.lowUs)
    const sinceHighUs = this.#clocks.toCapture(since.clock, since.highUs)
    for (const { startUs, moment, byReuse } of (owner.pid === null ? null : this.#ends.get(owner.pid, 0)) ?? []) {
      if (byReuse) {
        if (startUs !== null && startUs === owner.process_start_us) continue
        if (this.#clocks.toCapture(moment.clock, moment.lowUs) > sinceHighUs) return moment
      } else {
        if (startUs !== null && owner.process_start_us !== null && startUs !== owner.process_start_us) continue
        if (this.#clocks.toCapture(moment.clock, moment.highUs) >= sinceLowUs) return moment
      }
    }
    return null
  }
}
