import { randomUUID } from 'node:crypto'
import os from 'node:os'
import { setImmediate } from 'node:timers/promises'
import type { Topic, TopicRecord } from '#schemas'
import { EventMessages } from './event-messages.ts'
import type { EventSource } from './event-source.ts'
import { HostRecorder, readAddresses } from './host-record.ts'
import { MemoryLimit } from './memory-limit.ts'
import { PollPace } from './poll-pace.ts'
import type { Privacy } from './privacy.ts'
import { SnapshotBuilder } from './snapshots.ts'
import type { SocketPolls, SocketReading, SocketSource } from './socket-source.ts'

/** The topics an agent writes. */
export type AgentTopic = Extract<Topic, 'hosts' | 'socket-snapshots' | 'socket-events'>

/**
 * Takes a record; the records of one agent come one at a time, in order. False says that it had to drop it: then the next
 * snapshots begin with a keyframe. A rejection ends the agent.
 */
export type PublishAgentRecord = <T extends AgentTopic>(
  topic: T,
  record: TopicRecord<T>,
) => Promise<void> | boolean | void

export interface AgentOptions {
  source: SocketSource
  /** Tells what polls are too slow for; without it polls are all there is. */
  events?: EventSource | null | undefined
  publish: PublishAgentRecord
  /** Ends the run: what was read is published, then runAgent resolves. */
  signal: AbortSignal
  /** The host's name when not given. */
  hostId?: string | undefined
  pollPeriodMs?: number | undefined
  /** Time between two polls while events tell of every socket and none is lost; `pollPeriodMs` when not given. */
  calmPollPeriodMs?: number | undefined
  /** Most of one processor's time that polls may take, 0 to 1: a large table is polled more seldom. */
  maxCpuShare?: number | undefined
  /** Most memory the process may take; above it the agent forgets what it can, and ends where that is not enough. */
  maxMemoryBytes?: number | undefined
  /** What is left out of all records; nothing when not given. */
  privacy?: Privacy | undefined
  /** A multiple of the second that a message covers. */
  keyframePeriodMs?: number | undefined
  /** Called with every reading of the socket table. */
  onPoll?: ((reading: SocketReading) => void) | undefined
  /** Called after every message. */
  onProgress?: ((statistics: Readonly<AgentStatistics>) => void) | undefined
}

export interface AgentStatistics {
  polls: number
  /** Moments at which a poll was due but the one before was still going on. */
  missedPolls: number
  messages: number
  /** Messages that were dropped because the publisher was too far behind, or said so; the next one begins with a keyframe. */
  droppedMessages: number
  /** Sockets in the table at the last poll. */
  sockets: number
  /** Processes that own them, or did not long ago. */
  processes: number
  /** Time between two polls by now. */
  pollPeriodMs: number
  /** Events of sockets and processes. */
  events: number
  /** Events that the system dropped: the agent did not fetch them in time. */
  lostEvents: number
}

export const DEFAULT_POLL_PERIOD_MS = 50
export const DEFAULT_KEYFRAME_PERIOD_MS = 5000
const MESSAGE_PERIOD_MS = 1000
/** About a minute of messages. */
const MAX_WAITING_RECORDS = 64

/**
 * Has the source polled, and reads the events, until `signal` aborts; publishes hosts, socket-snapshots and socket-events. Rejects
 * when a poll or a publish fails, or it takes too much memory. Closes the sources in any case.
 */
export async function runAgent(options: AgentOptions): Promise<AgentStatistics> {
  const { source, events = null, signal } = options
  const hostId = options.hostId ?? os.hostname()
  const pollPeriodMs = options.pollPeriodMs ?? DEFAULT_POLL_PERIOD_MS
  const slotsPerMessage = Math.max(1, Math.round(MESSAGE_PERIOD_MS / pollPeriodMs))
  const messagesPerKeyframe = Math.max(
    1,
    Math.round((options.keyframePeriodMs ?? DEFAULT_KEYFRAME_PERIOD_MS) / MESSAGE_PERIOD_MS),
  )
  const snapshots = new SnapshotBuilder(hostId, randomUUID(), messagesPerKeyframe)
  const host = new HostRecorder(hostId, source.os, () => readAddresses(source.addresses?.()))
  const { calmPollPeriodMs, maxCpuShare } = options
  const pace = new PollPace({ periodMs: pollPeriodMs, calmPeriodMs: calmPollPeriodMs, maxCpuShare })
  const memory = new MemoryLimit(options.maxMemoryBytes ?? Number.POSITIVE_INFINITY)
  const eventMessages = events && new EventMessages(hostId, randomUUID(), events)
  const statistics: AgentStatistics = {
    polls: 0,
    missedPolls: 0,
    messages: 0,
    droppedMessages: 0,
    sockets: 0,
    processes: 0,
    pollPeriodMs,
    events: 0,
    lostEvents: 0,
  }
  const publish: PublishAgentRecord = (topic, record) =>
    options.publish(topic, options.privacy?.apply(topic, record) ?? record)
  const outgoing = new Outgoing(publish, topic => {
    if (topic === 'hosts') return
    statistics.droppedMessages++
    if (topic === 'socket-snapshots') snapshots.restart()
    else eventMessages?.restart()
  })

  const tellHost = () => {
    const record = host.next(Date.now() * 1000, statistics.pollPeriodMs)
    if (record !== null) outgoing.send('hosts', record)
  }
  const readEvents = () => {
    if (!events || !eventMessages) return
    const reading = events.read()
    eventMessages.add(reading)
    statistics.events += reading.events.length
    statistics.lostEvents += reading.lost
    if (reading.lost > 0) pace.lostEvents(performance.now())
  }
  const tellSnapshots = () => {
    const message = snapshots.take()
    // Whoever begins to read here, as in the log of a new day, gets to know all processes.
    if (message.polls[0]?.kind === 'keyframe') eventMessages?.restart()
    const told = eventMessages?.take() ?? []
    statistics.messages += 1 + told.length
    outgoing.send('socket-snapshots', message)
    for (const record of told) outgoing.send('socket-events', record)
    options.onProgress?.(statistics)
    if (memory.mustGiveBack(process.memoryUsage.rss(), performance.now())) {
      events?.forget?.()
      eventMessages?.restart()
    }
  }

  const takePolls = async (polls: SocketPolls) => {
    const { readings, missed } = polls.take()
    statistics.missedPolls += missed
    for (const reading of readings) {
      pace.polled(reading.cpuUs / 1000)
      snapshots.add(reading)
      statistics.polls++
      statistics.sockets = snapshots.socketCount
      statistics.processes = snapshots.processCount
      options.onPoll?.(reading)
      const { pollPeriodMs } = statistics
      const coveredMs = (reading.monotonicUs - snapshots.waitingSinceUs!) / 1000 + pollPeriodMs
      // Half a period off: polls come a little late, and the message must not grow by one for that.
      if (coveredMs <= MESSAGE_PERIOD_MS - pollPeriodMs / 2) continue
      tellHost()
      tellSnapshots()
      // What the publisher drops at once is known before the next message begins.
      await setImmediate()
    }
  }

  const sleep = createSleep(signal)
  try {
    tellHost()
    const startMs = performance.now()
    const polls = source.start(pollPeriodMs)
    for (let slot = 0; !signal.aborted; ) {
      outgoing.throwIfFailed()
      readEvents()
      await takePolls(polls)
      const slots = pace.slots(events?.complete === true, performance.now())
      statistics.pollPeriodMs = slots * pollPeriodMs
      polls.pace(slots)
      // Events are fetched twice a poll where polls are rare: their buffer is bounded.
      const due = slot + Math.min(slotsPerMessage, events ? Math.ceil(slots / 2) : slotsPerMessage)
      // The moments are fixed from the start, so that delays do not add up.
      slot = Math.max(due, Math.ceil((performance.now() - startMs) / pollPeriodMs))
      await sleep(startMs + slot * pollPeriodMs - performance.now())
    }
    await takePolls(polls)
    readEvents()
    if (snapshots.waitingSinceUs !== null) tellSnapshots()
    await outgoing.drained()
    return statistics
  } finally {
    source.close()
    events?.close()
  }
}

/** Sleeps that end early when `signal` aborts; a promise timer with a signal costs 0.1 ms of CPU more each time. */
function createSleep(signal: AbortSignal): (ms: number) => Promise<void> {
  let wake = () => {}
  signal.addEventListener('abort', () => wake(), { once: true })
  return ms =>
    new Promise(resolve => {
      if (signal.aborted) return resolve()
      const timer = setTimeout(resolve, ms)
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
}

/** Records on their way to the publisher, in order: polling goes on while it is busy. */
class Outgoing {
  readonly #publish: PublishAgentRecord
  readonly #onDrop: (topic: AgentTopic) => void
  #waiting = 0
  #last: Promise<void> = Promise.resolve()
  #failure: { cause: unknown } | null = null

  constructor(publish: PublishAgentRecord, onDrop: (topic: AgentTopic) => void) {
    this.#publish = publish
    this.#onDrop = onDrop
  }

  /** Drops the record when too many wait already. */
  send<T extends AgentTopic>(topic: T, record: TopicRecord<T>): void {
    if (this.#waiting >= MAX_WAITING_RECORDS) {
      this.#onDrop(topic)
      return
    }
    this.#waiting++
    this.#last = this.#last
      .then(() => (this.#failure === null ? this.#publish(topic, record) : undefined))
      .then(taken => {
        if (taken === false) this.#onDrop(topic)
      })
      .catch((cause: unknown) => {
        this.#failure ??= { cause }
      })
      .finally(() => {
        this.#waiting--
      })
  }

  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure.cause
  }

  /** Resolves when everything sent was published; rejects with the publisher's error. */
  async drained(): Promise<void> {
    await this.#last
    this.throwIfFailed()
  }
}
