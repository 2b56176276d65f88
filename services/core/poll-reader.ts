import type { Label, Poll, Socket, SocketSnapshot } from '#schemas'
import type { MatchConstants } from './constants.ts'
import type { Coverage } from './coverage.ts'
import type { HostClocks } from './host-clocks.ts'
import { isAddress, plainAddress } from './ip-text.ts'
import { includesAll, type Moment, type OwnershipInterval } from './ownership.ts'
import type { ProcessTable } from './process-table.ts'
import type { Timeline } from './timeline.ts'
import { tupleKey } from './tuple.ts'

/** The clock of all polls of a host. */
export const snapshotClock = 'snapshot'

/** Runs of an agent that are remembered, so that a replayed message of an old one is known for what it is. */
const runsKept = 4

interface Run {
  lastSeq: number
  nextPollSeq: number | null
  lastPollUs: number
  hasKeyframe: boolean
  /** The sockets that the newest poll of this run shows. */
  sockets: Map<number, OwnershipInterval>
}

/** Feeds the polls of one host into its timeline: keyframes, deltas, repetitions, gaps, new runs of the agent. */
export class PollReader {
  readonly #timeline: Timeline
  readonly #clocks: HostClocks
  readonly #coverage: Coverage
  readonly #processes: ProcessTable
  readonly #constants: MatchConstants
  readonly #runs = new Map<string, Run>()
  /** Spacing of the last two polls; null before there are two. */
  periodUs: number | null = null

  constructor(
    timeline: Timeline,
    clocks: HostClocks,
    coverage: Coverage,
    processes: ProcessTable,
    constants: MatchConstants,
  ) {
    this.#timeline = timeline
    this.#clocks = clocks
    this.#coverage = coverage
    this.#processes = processes
    this.#constants = constants
  }

  /** See Stored; the intervals of the runs are those of the timeline. */
  state() {
    return { runs: this.#runs, periodUs: this.periodUs }
  }

  restore({ runs, periodUs }: ReturnType<PollReader['state']>): void {
    for (const [runId, run] of runs) this.#runs.set(runId, run)
    this.periodUs = periodUs
  }

  /** Host time of the earliest poll that was new; null for a message seen before. */
  apply(message: SocketSnapshot): number | null {
    let run = this.#runs.get(message.run_id)
    if (run && message.seq <= run.lastSeq) return null
    if (!run) {
      run = { lastSeq: -1, nextPollSeq: null, lastPollUs: 0, hasKeyframe: false, sockets: new Map() }
      this.#runs.set(message.run_id, run)
    }
    run.lastSeq = message.seq
    const first = message.polls[0]
    if (first) this.#processes.tell(message.run_id, message.processes, first.time_us)
    for (const poll of message.polls) this.#applyPoll(message.run_id, run, poll)
    return first?.time_us ?? null
  }

  #applyPoll(runId: string, run: Run, poll: Poll): void {
    const isNext = poll.poll_seq === run.nextPollSeq
    const gapUs = poll.time_us - run.lastPollUs
    // After a gap a delta is true but not whole: what it leaves out may have closed. The next keyframe tells.
    run.nextPollSeq = isNext || poll.kind === 'keyframe' ? poll.poll_seq + 1 : null
    if (isNext) this.periodUs = gapUs
    if (run.nextPollSeq !== null) {
      const contiguous = isNext && gapUs >= 0 && gapUs <= this.#constants.pollGapUs
      this.#coverage.extend(snapshotClock, false, poll.time_us, poll.time_us, contiguous)
    } else this.#coverage.hear(snapshotClock, poll.time_us)
    const startsRun = poll.kind === 'keyframe' && !run.hasKeyframe
    const lastPollUs = startsRun ? this.#retireOtherRuns(runId, poll.time_us) : run.lastPollUs
    run.hasKeyframe ||= startsRun
    // A clock that was set back makes the bracket a point, not a negative time.
    const moment = {
      lowUs: Math.min(lastPollUs, poll.time_us),
      highUs: poll.time_us + poll.duration_us,
      clock: snapshotClock,
    }
    if (poll.time_us < run.lastPollUs) this.#setBack(run, poll.time_us)
    run.lastPollUs = poll.time_us

    for (const id of poll.closed) this.#close(run, id, moment)
    const seen = new Set<number>()
    for (const socket of poll.opened) {
      seen.add(socket.id)
      this.#open(runId, run, socket, moment, startsRun)
    }
    if (poll.kind === 'keyframe') {
      for (const id of run.sockets.keys()) if (!seen.has(id)) this.#close(run, id, moment)
    }
    if (startsRun) this.#closeOtherRuns(runId, moment)
  }

  /** The host's clock was set back: what is open was so up to the last poll of the old time, and is from the first of the new. */
  #setBack(run: Run, nowUs: number): void {
    const moment = { lowUs: nowUs, highUs: nowUs, clock: snapshotClock }
    for (const [id, interval] of [...run.sockets]) {
      this.#close(run, id, { ...moment, lowUs: run.lastPollUs, highUs: run.lastPollUs })
      const again = this.#timeline.observe({
        ...interval,
        moment,
        birth: true,
        mayBe: 'unshown',
        endTold: true,
      }).interval
      again.polled = true
      again.rows++
      run.sockets.set(id, again)
    }
  }

  #open(runId: string, run: Run, socket: Socket, moment: Moment, startsRun: boolean): void {
    // A TCP socket that neither listens nor is connected carries no packets.
    const isIdle = socket.proto === 'tcp' && socket.remote_ip === null && socket.state !== 'listen'
    const owners = this.#processes.holders(runId, socket.owners)
    const known = run.sockets.get(socket.id)
    if (known) {
      if (!isIdle && hasEnds(known, socket) && this.#keepOwners(known, owners)) return
      this.#close(run, socket.id, moment)
    }
    if (isIdle) return
    // Windows tells when the socket was bound.
    const createdUs = socket.created_us ?? 0
    const isCreation = createdUs > 0 && createdUs >= moment.lowUs && createdUs <= moment.highUs
    const birth = isCreation ? { ...moment, lowUs: createdUs, highUs: createdUs } : moment
    const remoteIp = socket.remote_ip === null ? null : plainAddress(socket.remote_ip)
    const { interval, born } = this.#timeline.observe({
      proto: socket.proto,
      localIp: plainAddress(socket.local_ip),
      localPort: socket.local_port,
      remoteIp,
      remotePort: socket.remote_port,
      v6Only: socket.v6_only,
      owners,
      moment: birth,
      birth: true,
      // The rows of a new run may be sockets that an earlier run showed.
      mayBe: startsRun ? 'any' : socket.state === 'time_wait' ? 'ended' : 'unshown',
      endTold: true,
      role: socket.state === 'listen' ? 'listen' : null,
    })
    interval.polled = true
    interval.rows++
    run.sockets.set(socket.id, interval)
    // A connected UDP socket may wait for long before its first packet: its birth tells nothing of the clock.
    if (born && socket.proto === 'tcp' && remoteIp !== null) {
      this.#clocks.addBirth(tupleKey(interval, remoteIp, socket.remote_port!), interval.from)
    }
  }

  /** Whether the interval can go on with these holders; ownerless rows (TIME_WAIT) never take a socket from its owner. */
  #keepOwners(interval: OwnershipInterval, holders: readonly Label[]): boolean {
    if (holders.length === 0 || includesAll(holders, interval.owners)) {
      if (interval.owners.length === 0) interval.owners = holders
      return true
    }
    if (!includesAll(interval.owners, holders)) return false
    interval.owners = holders
    return true
  }

  #close(run: Run, id: number, moment: Moment): void {
    const interval = run.sockets.get(id)
    if (!interval) return
    run.sockets.delete(id)
    interval.rows = Math.max(0, interval.rows - 1)
    if (interval.rows === 0) interval.until = moment
  }

  /** A new run shows the same sockets under new ids. Returns the last poll before it. */
  #retireOtherRuns(runId: string, nowUs: number): number {
    let lastPollUs = this.#runs.get(runId)!.lastPollUs
    for (const [otherId, other] of this.#runs) {
      if (otherId === runId || other.lastPollUs > nowUs) continue
      lastPollUs = Math.max(lastPollUs, other.lastPollUs)
      for (const interval of other.sockets.values()) interval.rows--
    }
    return lastPollUs
  }

  #closeOtherRuns(runId: string, moment: Moment): void {
    for (const [otherId, other] of this.#runs) {
      if (otherId === runId || other.lastPollUs > moment.highUs) continue
      for (const interval of other.sockets.values()) if (interval.rows <= 0) interval.until ??= moment
      other.sockets.clear()
    }
    for (const oldest of this.#runs.keys()) {
      if (this.#runs.size <= runsKept) break
      if (oldest !== runId) this.#runs.delete(oldest)
    }
  }
}

function hasEnds(interval: OwnershipInterval, socket: Socket): boolean {
  return (
    interval.localPort === socket.local_port &&
    interval.remotePort === socket.remote_port &&
    isAddress(interval.localIp, socket.local_ip) &&
    (socket.remote_ip === null || interval.remoteIp === null
      ? interval.remoteIp === socket.remote_ip
      : isAddress(interval.remoteIp, socket.remote_ip))
  )
}
