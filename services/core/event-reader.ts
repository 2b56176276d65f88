import type { Label, SocketEvent, SocketEvents } from '#schemas'
import type { Coverage } from './coverage.ts'
import type { HostClocks } from './host-clocks.ts'
import { isWildcard, plainAddress } from './ip-text.ts'
import type { Moment, OwnershipInterval } from './ownership.ts'
import type { ProcessExits } from './process-exits.ts'
import type { ProcessTable } from './process-table.ts'
import { Sequences } from './sequences.ts'
import type { Stored } from './stored.ts'
import { type Timeline, untoldPort } from './timeline.ts'
import { tupleKey } from './tuple.ts'

interface Ends {
  proto: 'tcp' | 'udp'
  localIp: string
  /** `untoldPort` where the log does not tell it. */
  localPort: number
  remoteIp: string | null
  remotePort: number | null
}

/** Feeds the socket and process events of one host into its timeline. */
export class EventReader {
  readonly #timeline: Timeline
  readonly #clocks: HostClocks
  readonly #coverage: Coverage
  readonly #processes: ProcessTable
  readonly #exits: ProcessExits
  readonly #sequences = new Sequences()
  readonly stored: Stored = this.#sequences

  constructor(
    timeline: Timeline,
    clocks: HostClocks,
    coverage: Coverage,
    processes: ProcessTable,
    exits: ProcessExits,
  ) {
    this.#timeline = timeline
    this.#clocks = clocks
    this.#coverage = coverage
    this.#processes = processes
    this.#exits = exits
  }

  /** Host time of the earliest event that was new; null for a message without, or seen before. */
  apply(message: SocketEvents, isLocal: (ip: string) => boolean): number | null {
    const { kind } = this.#sequences.take(message.source, message.run_id, message.seq)
    if (kind === 'repeated') return null

    const first = message.events[0]
    this.#processes.tell(message.run_id, message.processes, message.until_us)
    const contiguous = kind === 'next' && message.lost === 0
    const fromUs = message.lost > 0 ? message.until_us : (first?.time_us ?? message.until_us)
    this.#coverage.extend(message.source, message.complete, fromUs, message.until_us, contiguous)
    if (!contiguous && kind !== 'first') this.#doubtOpenEnds(message.source)
    for (const event of message.events) this.#applyEvent(message, event, isLocal)
    return first?.time_us ?? null
  }

  #applyEvent(message: SocketEvents, event: SocketEvent, isLocal: (ip: string) => boolean): void {
    const moment = { lowUs: event.time_us, highUs: event.time_us + event.resolution_us, clock: message.source }
    if (event.kind === 'process_exit' || event.kind === 'process_start') {
      this.#exits.tell(event.pid, event.start_us, moment, event.kind === 'process_start')
      return
    }
    const ends = endsOf(event, isLocal)
    if (!ends) return
    if (event.kind === 'close') {
      this.#close(ends, moment)
      return
    }
    const owner = this.#processes.find(message.run_id, event.pid, event.start_us)
    if (ends.proto === 'udp') this.#observeUdp(ends, owner, moment, event.kind)
    else this.#observeTcp(ends, owner, moment, event.kind, message.complete)
  }

  #observeTcp(ends: Ends, owner: Label | null, moment: Moment, kind: SocketEvent['kind'], complete: boolean): void {
    if (kind !== 'connect' && kind !== 'accept' && kind !== 'listen') return
    if ((kind === 'listen') !== (ends.remoteIp === null)) return
    this.#timeline.observe({
      ...ends,
      v6Only: false,
      owners: owner ? [owner] : [],
      moment,
      birth: true,
      mayBe: 'any',
      endTold: complete,
      role: kind,
    })
    if (ends.remoteIp !== null && ends.localPort !== untoldPort)
      this.#clocks.addBirth(tupleKey(ends, ends.remoteIp, ends.remotePort!), moment)
  }

  /** No source tells when a UDP socket closes. A datagram shows its 5-tuple and that its port is bound. */
  #observeUdp(ends: Ends, owner: Label | null, moment: Moment, kind: SocketEvent['kind']): void {
    const owners = owner ? [owner] : []
    const sighting = { ...ends, v6Only: false, owners, moment, mayBe: 'any', endTold: false } as const
    if (ends.localPort !== untoldPort)
      this.#timeline.observe({ ...sighting, remoteIp: null, remotePort: null, birth: false, role: null })
    if (ends.remoteIp === null) return
    const role = kind === 'connect' || kind === 'accept' ? kind : null
    const { born } = this.#timeline.observe({ ...sighting, birth: true, role })
    if (born && !isWildcard(ends.localIp))
      this.#clocks.addBirth(tupleKey(ends, ends.remoteIp, ends.remotePort!), moment)
  }

  #close(ends: Ends, moment: Moment): void {
    const intervals =
      ends.remoteIp === null
        ? this.#timeline.unconnected(ends.proto, ends.localPort)
        : this.#timeline.exact(ends.proto, ends.localPort, ends.remoteIp, ends.remotePort!)
    const atUs = this.#clocks.toCapture(moment.clock, moment.highUs)
    for (let i = intervals.length - 1; i >= 0; i--) {
      const interval = intervals[i]!
      if (interval.localIp !== ends.localIp || interval.until !== null) continue
      if (this.#clocks.toCapture(interval.from.clock, interval.from.lowUs) > atUs) continue
      // While polls show the socket (TIME_WAIT) it still belongs to its last owner; they tell when it is gone.
      if (interval.rows === 0) interval.until = moment
      return
    }
  }

  /** Events were lost, closes maybe among them: what only this source holds open is a sighting from now on. */
  #doubtOpenEnds(clock: string): void {
    for (const interval of this.#timeline.intervals()) {
      if (isOnlyFrom(interval, clock)) interval.endTold = false
    }
  }
}

function isOnlyFrom(interval: OwnershipInterval, clock: string): boolean {
  return interval.endTold && interval.until === null && interval.rows === 0 && interval.from.clock === clock
}

/** The ends with the host's first: kernel events may name them in either order. */
function endsOf(event: SocketEvent, isLocal: (ip: string) => boolean): Ends | null {
  if (event.proto === null) return null
  if (event.local_ip === null || event.local_port === null) {
    if (event.remote_ip === null || event.remote_port === null) return null
    const remoteIp = plainAddress(event.remote_ip)
    return { proto: event.proto, localIp: '::', localPort: untoldPort, remoteIp, remotePort: event.remote_port }
  }
  const localIp = plainAddress(event.local_ip)
  const remoteIp = event.remote_ip === null ? null : plainAddress(event.remote_ip)
  const ends = { proto: event.proto, localIp, localPort: event.local_port, remoteIp, remotePort: event.remote_port }
  if (remoteIp === null || event.remote_port === null) return { ...ends, remoteIp: null, remotePort: null }
  if (isLocal(localIp) || isWildcard(localIp) || !isLocal(remoteIp)) return ends
  return { ...ends, localIp: remoteIp, localPort: event.remote_port, remoteIp: localIp, remotePort: event.local_port }
}
