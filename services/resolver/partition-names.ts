import { BoundedMap } from '#core/bounded-map.ts'
import { ShadowScores, stratumOf } from '#core/confidence.ts'
import type { MatchConstants } from '#core/constants.ts'
import { type Inference, programOf } from '#core/program.ts'
import { factsOf, type SessionFacts } from '#core/session-facts.ts'
import { keysOf, type SessionKeys } from '#core/session-keys.ts'
import { ServerNames, SharedNames } from '#core/stages/server-name.ts'
import { isInferable } from '#core/unknown-cause.ts'
import type { LabeledSession, Resolution } from '#schemas'

/** Sessions without label that wait for a name to become known, at most; the oldest are given up. */
const maxWaiting = 50_000
/** Sessions remembered as learned from. A long session is told again every five minutes: so many begin in that time. */
const maxTaught = 50_000

/** A closed session without label whose names may tell it. */
interface Waiting {
  hostId: string
  revision: number
  facts: SessionFacts
}

/**
 * What the labeled sessions of one partition tell: names that programs ask for, how often stage N was right with them, and the
 * sessions that still wait for a label. Pure: it follows from what it was shown, and from the other partitions that it is
 * asked over.
 */
export class PartitionNames {
  readonly #constants: MatchConstants
  readonly names: SharedNames
  readonly scores: ShadowScores
  /** Sessions learned from, with the program they taught. */
  readonly #taught = new BoundedMap<string, string>(maxTaught)
  /** By session id, oldest first. */
  readonly #waiting = new Map<string, Waiting>()
  #nowUs = Number.NEGATIVE_INFINITY
  #givenUp = 0

  constructor(constants: MatchConstants) {
    this.#constants = constants
    this.names = new SharedNames(constants)
    this.scores = new ShadowScores(constants)
  }

  /** Event time: the latest packet that any session had, microseconds since the epoch. */
  get nowUs(): number {
    return this.#nowUs
  }

  /** Sessions that wait for a label. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Sessions that were given up for want of room, since this was created. */
  get givenUp(): number {
    return this.#givenUp
  }

  /** Plain data, to be packed at once, or handed to `restore`. */
  state() {
    return {
      names: this.names.stored.state(),
      scores: this.scores.state(),
      taught: this.#taught.state(),
      waiting: this.#waiting,
      nowUs: this.#nowUs,
    }
  }

  restore({ names, scores, taught, waiting, nowUs }: ReturnType<PartitionNames['state']>): void {
    this.names.stored.restore(names as never)
    this.scores.restore(scores)
    this.#taught.restore(taught)
    for (const [id, session] of waiting) this.#waiting.set(id, session)
    this.#nowUs = nowUs
  }

  /**
   * A record of a session, in their order. `takenInUs`: when the bus took it in; its packets cannot be later. `all`: the
   * partitions that names are asked over, this one among them.
   */
  observe(record: LabeledSession, takenInUs: number, all: readonly PartitionNames[]): void {
    const { session_id, host_id, label, stage, label_final, state } = record
    this.#nowUs = Math.max(this.#nowUs, Math.min(record.last_us, takenInUs))
    this.#waiting.delete(session_id)
    if (host_id === null) return
    if (stage === 'A') {
      if (label_final || state === 'closed') this.#learn(record, all)
    } else if (label === null && state === 'closed' && !label_final) this.#wait(record, host_id)
  }

  /** The session is gone from the topic. */
  forget(sessionId: string): void {
    this.#waiting.delete(sessionId)
  }

  /** What is known by now of the sessions that wait; those that are answered wait no longer. Forgets what is past its time. */
  resolve(all: readonly PartitionNames[]): Resolution[] {
    const scores = new ShadowScores(this.#constants)
    for (const one of all) scores.addScores(one.scores.scores())
    this.names.expire(this.#nowUs)
    const resolutions: Resolution[] = []
    const answers = new Map<string, Inference | null>()
    for (const [session_id, { hostId: host_id, revision, facts }] of this.#waiting) {
      if (facts.firstUs < this.#nowUs - this.#constants.keepUs) {
        this.#waiting.delete(session_id)
        continue
      }
      const question = `${facts.sni} ${facts.ja4} ${facts.remotePort}`
      let answer = answers.get(question)
      if (answer === undefined) {
        answer = infer(all, facts, keysOf(facts))
        answers.set(question, answer)
      }
      if (answer === null) continue
      const { label, reason, support, share } = answer
      const stratum = stratumOf(facts, reason, this.#constants)
      if (scores.mustAbstain('N', stratum)) continue
      this.#waiting.delete(session_id)
      resolutions.push({
        ...{ host_id, session_id, revision, stage: 'N', process: label.process, pid: null, process_start_us: null },
        ...{ confidence: scores.confidence('N', stratum), support, share: share ?? 1, reason },
      })
    }
    return resolutions
  }

  /** Notes what stage N would have said, then lets it learn. Each session teaches once, or again if A corrects itself. */
  #learn(record: LabeledSession, all: readonly PartitionNames[]): void {
    const { session_id, label, evidence } = record
    const facts = factsOf(record)
    const keys = keysOf(facts)
    if (label === null || keys.names.length === 0) return
    const taught = this.#taught.get(session_id, this.#nowUs)
    this.#taught.set(session_id, label.process, this.#nowUs)
    if (taught === label.process) return
    if (taught === undefined && evidence.quality === 'exact') {
      const found = infer(all, facts, keys)
      const isRight = found?.label.process === label.process
      // A record does not tell whether polls missed the socket, so all samples count alike.
      if (found) this.scores.add('N', stratumOf(facts, found.reason, this.#constants), isRight, false)
    }
    this.names.learn(facts, keys, programOf(label))
  }

  #wait(record: LabeledSession, hostId: string): void {
    const facts = factsOf(record)
    if (!this.#constants.stages.includes('N') || !isInferable(facts, record.unknown_cause)) return
    if (keysOf(facts).names.length === 0) return
    this.#waiting.set(record.session_id, { hostId, revision: record.revision, facts })
    if (this.#waiting.size <= maxWaiting) return
    this.#waiting.delete(this.#waiting.keys().next().value!)
    this.#givenUp++
  }
}

/** What stage N answers that has learned in all these partitions. */
function infer(all: readonly PartitionNames[], facts: SessionFacts, keys: SessionKeys): Inference | null {
  const names = all.map(one => one.names)
  return ServerNames.inferOver(names, facts, keys)
}
