import type { Host, Label, SocketEvents, SocketSnapshot } from '#schemas'
import { BoundedMap } from './bounded-map.ts'
import { type InferringStage, type ShadowScore, ShadowScores, stratumOf } from './confidence.ts'
import type { MatchConstants } from './constants.ts'
import { Coverage } from './coverage.ts'
import { EventReader } from './event-reader.ts'
import { HostClocks, type TimeRange } from './host-clocks.ts'
import { plainAddress } from './ip-text.ts'
import {
  type Decision,
  decideAmbiguous,
  decideDirect,
  decideInferred,
  decideUnknown,
  isTcpOrUdp,
  notTcpUdpDecision,
} from './match.ts'
import type { OwnershipInterval } from './ownership.ts'
import { PollReader, snapshotClock } from './poll-reader.ts'
import { ProcessExits } from './process-exits.ts'
import { ProcessTable } from './process-table.ts'
import { type Inference, programOf } from './program.ts'
import type { SessionFacts } from './session-facts.ts'
import { keysOf, type SessionKeys } from './session-keys.ts'
import { type Candidate, type DirectView, isByRemoteEnd, isExact, matchDirect } from './stages/direct.ts'
import { searchPortHistory } from './stages/port-history.ts'
import { RemoteIpStatistics } from './stages/remote-ip.ts'
import { RemotePortCache } from './stages/remote-port.ts'
import { RuleStore } from './stages/rule-store.ts'
import { ServerNames, SharedNames } from './stages/server-name.ts'
import { TupleCache } from './stages/tuple-cache.ts'
import { type Stored, storedTogether } from './stored.ts'
import { Timeline } from './timeline.ts'
import { tupleKey } from './tuple.ts'
import { explainUnknown, isInferable } from './unknown-cause.ts'

export { type Decision, noAgentDecision } from './match.ts'
export { SharedNames } from './stages/server-name.ts'

/** Event time between two sweeps of what is too old. */
const sweepUs = 60_000_000
/** Records of a port that are looked through to see whether it is in use. */
const portRecords = 1_000
/** Intervals of a port up to which stage F is tried in shadow. */
const shadowHistory = 64

/** What an inferring stage is asked. */
interface Question {
  facts: SessionFacts
  keys: SessionKeys
  view: DirectView
  /** All intervals of the session's local port; null outside post-processing. */
  history: readonly OwnershipInterval[] | null
  /** In shadow: the interval that stage A found, which must not be found again. */
  except: OwnershipInterval | null
}

interface InferenceStage {
  stage: InferringStage
  infer: (question: Question) => Inference | null
}

/**
 * All that is known of one host, and the judgement over its sessions. Pure: what it answers follows from what it was told, and time
 * is the time of the records.
 *
 *   polls, events ──► timeline ──┐                  ┌─ A taught: rules, caches, statistics, names, shadow scores
 *   sessions ──► clock offsets ──┴─► judge: A ──────┤
 *                                                   └─ A did not find it: A2, B, C, D; resolve: F, N
 */
export class HostMatcher {
  readonly hostId: string
  readonly #constants: MatchConstants
  readonly #clocks: HostClocks
  readonly #coverage: Coverage
  readonly #timeline: Timeline
  readonly #processes = new ProcessTable()
  readonly #exits: ProcessExits
  readonly #polls: PollReader
  readonly #events: EventReader
  readonly #rules: RuleStore
  readonly #tuples: TupleCache
  readonly #remotePorts: RemotePortCache
  readonly #remoteIps: RemoteIpStatistics
  readonly #names: ServerNames
  readonly #sharedNames: SharedNames | null
  readonly #scores: ShadowScores
  readonly #stages: readonly InferenceStage[]
  /** Sessions learned from, with the program they taught. */
  readonly #taught: BoundedMap<string, string>
  readonly #programs = new WeakMap<Label, Label>()
  readonly #stored: Stored
  #host: Host | null = null
  #addresses: ReadonlySet<string> = new Set()
  #containerAddresses: ReadonlySet<string> = new Set()
  #judgedUs = 0
  #nowUs = 0
  #sweptUs = 0
  #late: TimeRange | null = null

  /** `sharedNames`: what stage N learns over all hosts; null where the resolver does that. */
  constructor(hostId: string, constants: MatchConstants, sharedNames: SharedNames | null = new SharedNames(constants)) {
    this.hostId = hostId
    this.#constants = constants
    this.#clocks = new HostClocks(constants)
    this.#coverage = new Coverage(constants, this.#clocks)
    this.#timeline = new Timeline(constants, this.#clocks)
    this.#exits = new ProcessExits(this.#clocks)
    this.#polls = new PollReader(this.#timeline, this.#clocks, this.#coverage, this.#processes, constants)
    this.#events = new EventReader(this.#timeline, this.#clocks, this.#coverage, this.#processes, this.#exits)
    this.#rules = new RuleStore(constants)
    this.#tuples = new TupleCache(constants)
    this.#remotePorts = new RemotePortCache(constants)
    this.#remoteIps = new RemoteIpStatistics(constants)
    this.#names = new ServerNames(constants)
    this.#sharedNames = sharedNames
    this.#scores = new ShadowScores(constants)
    this.#taught = new BoundedMap(constants.taughtSessions)
    this.#stages = this.#createStages()
    const learned = [this.#rules, this.#tuples, this.#remotePorts, this.#remoteIps, this.#names]
    const told = [this.#timeline, this.#clocks, this.#coverage, this.#processes, this.#exits.stored, this.#polls]
    const own = [this.#events.stored, this.#scores, this.#taught]
    this.#stored = storedTogether([...told, ...own, ...learned.map(({ stored }) => stored)])
  }

  /** See Stored. */
  state() {
    return {
      parts: this.#stored.state(),
      host: this.#host,
      judgedUs: this.#judgedUs,
      nowUs: this.#nowUs,
      sweptUs: this.#sweptUs,
      late: this.#late,
    }
  }

  restore({ parts, host, judgedUs, nowUs, sweptUs, late }: ReturnType<HostMatcher['state']>): void {
    this.#stored.restore(parts as never)
    if (host) this.applyHost(host)
    this.#judgedUs = judgedUs
    this.#nowUs = nowUs
    this.#sweptUs = sweptUs
    this.#late = late
  }

  applyHost(host: Host): void {
    if (this.#host && this.#host.updated_us > host.updated_us) return
    this.#host = host
    this.#addresses = new Set(host.addresses.map(({ ip }) => plainAddress(ip)))
    // Of an address that changed hands the last record holds. What was stored by an earlier version names no namespace.
    const namespaces = new Map(host.addresses.map(({ ip, namespace }) => [plainAddress(ip), namespace ?? null]))
    this.#containerAddresses = new Set([...namespaces.keys()].filter(ip => namespaces.get(ip) !== null))
  }

  /** Keyframes and deltas; a message that was applied before is skipped. */
  applySnapshot(message: SocketSnapshot): void {
    const earliestUs = this.#polls.apply(message)
    if (earliestUs !== null) this.#noteEvidence(snapshotClock, earliestUs)
  }

  /** Events or a tick; a message that was applied before is skipped. */
  applyEvents(message: SocketEvents): void {
    if (!this.#constants.useEvents) return
    const earliestUs = this.#events.apply(message, ip => this.#addresses.has(ip))
    if (earliestUs !== null) this.#noteEvidence(message.source, earliestUs)
  }

  /** Every session is shown once, at its first packet, apart from judging: it may tell the clock offset. */
  observeSession(facts: SessionFacts): void {
    if (facts.proto === 'udp' || (facts.proto === 'tcp' && facts.synSeen)) {
      this.#clocks.addSession(tupleKey(facts, facts.remoteIp, facts.remotePort), facts.firstUs)
    }
  }

  /** Capture time up to which all socket data is in; null without any. */
  watermarkUs(): number | null {
    return this.#coverage.watermarkUs()
  }

  /** A session may be judged once the watermark is this far past its first packet: two polls. */
  get settleUs(): number {
    return 2 * this.#pollPeriodUs()
  }

  /** Stages A, then A2, B, C, D. Learns from A, once a session. */
  judge(facts: SessionFacts): Decision {
    return this.#judge(facts, false, null)
  }

  /** Judges again with all that is known by now, then tries F and N. `history`: all intervals of the session's local port. */
  resolve(facts: SessionFacts, history: readonly OwnershipInterval[]): Decision {
    return this.#judge(facts, true, history)
  }

  /** What the timeline holds of a local port. */
  intervalsOf(proto: string, localPort: number): readonly OwnershipInterval[] {
    return this.#timeline.history(proto, localPort)
  }

  /** Sessions that began in this range were judged with less than is known now; null if there are none. Asking clears it. */
  takeRejudge(): TimeRange | null {
    const changed = this.#clocks.takeChanged()
    const late = this.#late
    this.#late = null
    if (!changed || !late) return changed ?? late
    return { fromUs: Math.min(changed.fromUs, late.fromUs), toUs: Math.max(changed.toUs, late.toUs) }
  }

  /** Forgets what is past its time. Event time; cheap to call often. */
  expire(nowUs: number): void {
    this.#nowUs = Math.max(this.#nowUs, nowUs)
    if (nowUs - this.#sweptUs < sweepUs) return
    this.#sweptUs = nowUs
    const tables = [this.#timeline, this.#clocks, this.#coverage, this.#rules, this.#tuples, this.#remotePorts]
    for (const table of [...tables, this.#remoteIps, this.#names]) table.expire(nowUs)
  }

  /** Newest clock offsets by source, microseconds: a metric. */
  clockOffsets(): ReadonlyMap<string, number> {
    return this.#clocks.offsets()
  }

  shadowScores(): readonly ShadowScore[] {
    return this.#scores.scores()
  }

  /** Ownership intervals in memory. */
  get intervalCount(): number {
    return this.#timeline.size
  }

  #judge(facts: SessionFacts, isLate: boolean, history: readonly OwnershipInterval[] | null): Decision {
    this.#judgedUs = Math.max(this.#judgedUs, facts.firstUs)
    if (!isTcpOrUdp(facts)) return notTcpUdpDecision
    const decision = this.#decide(facts, isLate, history)
    const toldUs = Math.max(facts.firstUs, Math.min(facts.lastUs, this.watermarkUs() ?? facts.lastUs))
    const agentGap = !this.#coverage.coversByAny(facts.firstUs, toldUs)
    const final = decision.final || facts.firstUs < this.#nowUs - this.#constants.keepUs
    // Stages are scored on sessions that A knows, of times when the agent was heard: of others that tells nothing.
    return { ...decision, confidence: agentGap ? null : decision.confidence, agentGap, final }
  }

  #decide(facts: SessionFacts, isLate: boolean, history: readonly OwnershipInterval[] | null): Decision {
    const view = this.#view(isLate)
    const match = matchDirect(facts, view)
    if (match.kind !== 'none') {
      const offsetUs = this.#clocks.offsetUs(match.best.interval.from.clock, facts.firstUs)
      if (match.kind === 'ambiguous') return decideAmbiguous(match, offsetUs)
      // Post-processing sees a session many times over, long after it is remembered whether it taught.
      // What a remote end and a moment tell is not certain enough to teach others.
      if (!isLate && !isByRemoteEnd(match.best)) this.#teach(facts, match.label, match.best, view)
      return decideDirect(facts, match, offsetUs)
    }
    const unknown = explainUnknown(facts, {
      coverage: this.#coverage,
      host: this.#host,
      hasContainers: this.#processes.hasContainers,
      ownerless: match.ownerless,
      portInUse: this.#isPortInUse(facts, view),
      pollPeriodUs: view.pollPeriodUs,
    })
    const inferred = isInferable(facts, unknown.cause)
      ? this.#infer({ facts, keys: keysOf(facts), view, history, except: null })
      : null
    return inferred ?? decideUnknown(unknown.cause, unknown.reason)
  }

  #infer(question: Question): Decision | null {
    const { facts } = question
    for (const { stage, infer } of this.#stages) {
      const found = infer(question)
      if (!found) continue
      const stratum = stratumOf(facts, found.reason, this.#constants)
      if (this.#scores.mustAbstain(stage, stratum)) continue
      return decideInferred(stage, found, this.#scores.confidence(stage, stratum))
    }
    return null
  }

  /** The inferring stages in their order; F and N answer only where there is a history. */
  #createStages(): readonly InferenceStage[] {
    const stages: InferenceStage[] = [
      { stage: 'A2', infer: ({ facts, keys }) => this.#rules.infer(facts, keys) },
      { stage: 'B', infer: ({ facts, keys, view }) => this.#tuples.infer(facts, keys, view) },
      { stage: 'C', infer: ({ facts, keys }) => this.#remotePorts.infer(facts, keys) },
      { stage: 'D', infer: ({ facts }) => this.#remoteIps.infer(facts) },
      {
        stage: 'F',
        infer: ({ facts, history, except }) =>
          history && searchPortHistory(facts, history, except, this.#clocks, this.#constants),
      },
      {
        stage: 'N',
        infer: ({ facts, keys, history }) =>
          history && (this.#names.infer(facts, keys) ?? this.#sharedNames?.infer(facts, keys) ?? null),
      },
    ]
    return stages.filter(({ stage }) => this.#constants.stages.includes(stage))
  }

  /** Scores every stage on what it would have said, then lets it learn. Each session teaches once, or again if A corrects itself. */
  #teach(facts: SessionFacts, label: Label, best: Candidate, view: DirectView): void {
    const keys = keysOf(facts)
    const taught = this.#taught.get(facts.sessionId, facts.firstUs)
    if (taught === label.process) {
      this.#tuples.touch(facts, keys)
      return
    }
    this.#taught.set(facts.sessionId, label.process, facts.firstUs)
    if (taught === undefined && isExact(best)) this.#score(facts, keys, label, best, view)
    const program = this.#programOf(label)
    this.#rules.learn(facts, keys, program)
    this.#tuples.learn(facts, keys, program)
    this.#remotePorts.learn(facts, keys, program)
    this.#remoteIps.learn(facts, program)
    this.#names.learn(facts, keys, program)
    this.#sharedNames?.learn(facts, keys, program)
  }

  /** One object for all sessions of a process: the tables hold it many times over. */
  #programOf(label: Label): Label {
    let program = this.#programs.get(label)
    if (program === undefined) {
      program = programOf(label)
      this.#programs.set(label, program)
    }
    return program
  }

  #score(facts: SessionFacts, keys: SessionKeys, label: Label, best: Candidate, view: DirectView): void {
    const missedByPolls = !best.interval.polled && this.#isPolled(facts)
    const whole = this.intervalsOf(facts.proto, facts.localPort)
    // On a busy server's port the search is not worth its cost.
    const history = whole.length <= shadowHistory ? whole : []
    const question = { facts, keys, view, history, except: best.interval }
    for (const { stage, infer } of this.#stages) {
      const found = infer(question)
      if (!found) continue
      const stratum = stratumOf(facts, found.reason, this.#constants)
      this.#scores.add(stage, stratum, found.label.process === label.process, missedByPolls)
    }
  }

  #view(isLate: boolean): DirectView {
    return {
      timeline: this.#timeline,
      clocks: this.#clocks,
      exits: this.#exits,
      coverage: this.#coverage,
      constants: this.#constants,
      pollPeriodUs: this.#pollPeriodUs(),
      containerAddresses: this.#containerAddresses,
      isLate,
    }
  }

  #pollPeriodUs(): number {
    return this.#host?.poll_period_us ?? this.#polls.periodUs ?? this.#constants.pollPeriodUs
  }

  #isPolled(facts: SessionFacts): boolean {
    return this.#coverage.covers(snapshotClock, facts.firstUs, facts.firstUs)
  }

  /** Whether any socket was on the local port while the session lasted. */
  #isPortInUse(facts: SessionFacts, { clocks, pollPeriodUs }: DirectView): boolean {
    const records = this.intervalsOf(facts.proto, facts.localPort)
    // A port with more records than that is in use.
    if (records.length > portRecords) return true
    return records.some(({ from, until, seen, endTold }) => {
      const last = until ?? (endTold ? null : seen)
      const begun = clocks.toCapture(from.clock, from.lowUs) <= facts.lastUs + pollPeriodUs
      return begun && (!last || clocks.toCapture(last.clock, last.highUs) >= facts.firstUs - pollPeriodUs)
    })
  }

  /** Socket data of a time whose sessions were judged already: they deserve another look. */
  #noteEvidence(clock: string, hostUs: number): void {
    const fromUs = this.#clocks.toCapture(clock, hostUs) - this.#constants.offsetSearchUs
    if (this.#clocks.toCapture(clock, hostUs) > this.#judgedUs) return
    this.#late = { fromUs: Math.min(fromUs, this.#late?.fromUs ?? fromUs), toUs: this.#judgedUs }
  }
}
