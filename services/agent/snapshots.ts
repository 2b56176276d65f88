import { isDeepStrictEqual } from 'node:util'
import type { Poll, Process, ProcessRef, Socket, SocketSnapshot } from '#schemas'
import type { SocketReading } from './socket-source.ts'

const processKey = ({ pid, start_us }: ProcessRef): string => `${pid} ${start_us}`

/**
 * Gathers readings into messages: a keyframe at the beginning of a message, deltas behind it.
 *
 * ```
 * message 0: keyframe delta delta …   all processes of the message
 * message 1: delta delta …            those not yet told
 * message n: keyframe delta …         n = messagesPerKeyframe
 * ```
 */
export class SnapshotBuilder {
  readonly #hostId: string
  readonly #runId: string
  readonly #messagesPerKeyframe: number
  readonly #table = new Map<number, Socket>()
  readonly #processes = new Map<string, Process>()
  readonly #told = new Set<string>()
  #polls: Poll[] = []
  #pollSeq = 0
  #seq = 0
  #messagesToKeyframe = 0

  constructor(hostId: string, runId: string, messagesPerKeyframe: number) {
    this.#hostId = hostId
    this.#runId = runId
    this.#messagesPerKeyframe = messagesPerKeyframe
  }

  /** Sockets in the table after the last reading. */
  get socketCount(): number {
    return this.#table.size
  }

  /** Processes that own them, or did at the last keyframe. */
  get processCount(): number {
    return this.#processes.size
  }

  /** Time of the first poll that is waiting to be taken; null when none is. */
  get waitingSinceUs(): number | null {
    return this.#polls[0]?.monotonic_us ?? null
  }

  add(reading: SocketReading): void {
    for (const process of reading.processes) this.#learn(process)
    for (const id of reading.closed) this.#table.delete(id)
    for (const socket of reading.opened) this.#table.set(socket.id, socket)
    const isKeyframe = this.#polls.length === 0 && this.#messagesToKeyframe <= 0
    if (isKeyframe) this.#messagesToKeyframe = this.#messagesPerKeyframe
    this.#polls.push({
      poll_seq: this.#pollSeq++,
      kind: isKeyframe ? 'keyframe' : 'delta',
      time_us: reading.timeUs,
      monotonic_us: reading.monotonicUs,
      duration_us: reading.durationUs,
      opened: isKeyframe ? [...this.#table.values()] : reading.opened,
      closed: reading.closed,
    })
  }

  /** The message of the polls since the last call; there must be one. */
  take(): SocketSnapshot {
    const polls = this.#polls
    this.#polls = []
    this.#messagesToKeyframe--
    const named = new Set<string>()
    for (const poll of polls) addOwners(named, poll.opened)
    const hasKeyframe = polls[0]?.kind === 'keyframe'
    const processes: Process[] = []
    for (const key of named) {
      if (this.#told.has(key) && !hasKeyframe) continue
      this.#told.add(key)
      processes.push(this.#processes.get(key)!)
    }
    if (hasKeyframe) this.#forgetOthersThan(named)
    return { host_id: this.#hostId, run_id: this.#runId, seq: this.#seq++, polls, processes }
  }

  /** The message just taken gets lost: begin the next one with a keyframe. */
  restart(): void {
    this.#messagesToKeyframe = 0
  }

  #learn(process: Process): void {
    const key = processKey(process)
    if (isDeepStrictEqual(this.#processes.get(key), process)) return
    this.#processes.set(key, process)
    this.#told.delete(key)
  }

  /** A process without sockets is told again when it has one again. */
  #forgetOthersThan(named: Set<string>): void {
    const used = addOwners(new Set(named), this.#table.values())
    for (const key of this.#processes.keys()) {
      if (used.has(key)) continue
      this.#processes.delete(key)
      this.#told.delete(key)
    }
  }
}

function addOwners(keys: Set<string>, sockets: Iterable<Socket>): Set<string> {
  for (const socket of sockets) for (const owner of socket.owners) keys.add(processKey(owner))
  return keys
}
