import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { codecs, type LabeledSession } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { createTopics, kafkaOf, until } from '#shared/bus/kafka-fixture.ts'
import type { RecordedInput } from '../../embedded/recording-fixture.ts'
import { matcherGroup } from '../../matcher/matcher.ts'
import { type Stack, startStack } from '../stack/stack.ts'
import { keepLatest, type Sessions, topicsOfMatcher } from './recorded-hosts.ts'
import type { ServiceSettings } from './service-process.ts'

const run = promisify(execFile)
const program = (name: string) => fileURLToPath(new URL(`${name}-process.ts`, import.meta.url))
export const partitions = 6
/** Short, so that a killed member is soon out of its group. */
const times = { sessionMs: 6_000, rebalanceMs: 10_000 }

/** Real Kafka and Redis, matchers in processes of their own, and what comes out of them. */
export class Pipeline {
  readonly stack: Stack
  readonly bus: KafkaBus
  /** The last record of every session, and how often each (session id, revision) was published. */
  readonly sessions: Sessions = new Map()
  readonly #published = new Map<string, LabeledSession>()
  /** Revisions that were published twice with different content. */
  readonly contradictions: string[] = []
  readonly #matchers = new Set<ChildProcess>()
  readonly #children = new Set<ChildProcess>()
  readonly #stop = new AbortController()
  #reading: Promise<void> = Promise.resolve()

  private constructor(stack: Stack) {
    this.stack = stack
    this.bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'test', times })
  }

  /** Stops with the test. */
  static async start(t: TestContext): Promise<Pipeline> {
    const pipeline = new Pipeline(await startStack({ kafka: true, redis: true }))
    await createTopics(pipeline.stack.kafka!.brokers, topicsOfMatcher, partitions)
    pipeline.#reading = pipeline.#read()
    t.after(() => pipeline.stop())
    return pipeline
  }

  /** A matcher; it is ended with the pipeline. */
  startMatcher(): ChildProcess {
    const matcher = this.#start('matcher')
    this.#matchers.add(matcher)
    matcher.once('exit', () => this.#matchers.delete(matcher))
    return matcher
  }

  /** A resolver; it is ended with the pipeline. */
  startResolver(): ChildProcess {
    return this.#start('resolver')
  }

  #start(name: 'matcher' | 'resolver'): ChildProcess {
    const { kafka, redis } = this.stack
    const settings: ServiceSettings = { brokers: kafka!.brokers, redisUrl: redis!.urls[0]!, partitions, times }
    // Dies with this process, however that ends; setpriv becomes the service, so the pid is the service's.
    const args = ['--pdeathsig', 'KILL', process.execPath, program(name), JSON.stringify(settings)]
    const child = spawn('setpriv', args, { stdio: ['ignore', 'inherit', 'inherit'] })
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Revisions of sessions that were told. */
  get told(): number {
    return this.#published.size
  }

  /** Ends all matchers; they leave their group. */
  async stopMatchers(): Promise<void> {
    const ends = Array.from(this.#matchers, matcher => once(matcher, 'exit'))
    for (const matcher of this.#matchers) matcher.kill('SIGTERM')
    await Promise.all(ends)
  }

  /** Forgets what was told so far, and answers with it. */
  takeSessions(): Sessions {
    const told = new Map(this.sessions)
    this.sessions.clear()
    this.#published.clear()
    return told
  }

  /** Publishes inputs in their order, `chunk` at a time; `between` is called after each. */
  async publish(inputs: readonly RecordedInput[], chunk = 200, between?: () => Promise<void>): Promise<void> {
    for (let at = 0; at < inputs.length; at += chunk) {
      const byTopic = Map.groupBy(inputs.slice(at, at + chunk), ({ topic }) => topic)
      for (const [topic, records] of byTopic) await this.bus.publish(topic, records)
      await between?.()
    }
  }

  /** Waits until the sessions are the expected ones; fails with the first differences when nothing came for `quietMs`. */
  async settle(expected: Sessions, quietMs = 40_000): Promise<void> {
    let seen = -1
    for (let quiet = 0; quiet < quietMs; quiet += 100) {
      if (differences(this.sessions, expected).length === 0) return
      if (this.#published.size !== seen) quiet = 0
      seen = this.#published.size
      await sleep(100)
    }
    assert.deepEqual(differences(this.sessions, expected).slice(0, 5), [])
  }

  /** Waits until so many sessions have been told of. */
  async untilTold(count: number): Promise<void> {
    await until(`${count} sessions told`, () => this.sessions.size >= count, 60_000)
  }

  /** Waits until more is told, but no longer: of a short piece of input nothing may be to tell yet. */
  async untilMoreToldOr(atMostMs: number): Promise<void> {
    const { told } = this
    const endMs = performance.now() + atMostMs
    while (this.told === told && performance.now() < endMs) await sleep(20)
  }

  /** Redis loses all it has; its clients are cut off, as they are when it is started anew. */
  async emptyRedis(): Promise<void> {
    const [url] = this.stack.redis!.urls
    const client = new Redis(url!)
    await client.flushall()
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    client.disconnect()
  }

  /** What an operator does so that all is read again by matchers that know nothing: none may run. */
  async resetMatchers(): Promise<void> {
    await this.emptyRedis()
    const admin = kafkaOf(this.stack.kafka!.brokers).admin()
    await admin.connect()
    try {
      await admin.deleteGroups([matcherGroup])
    } finally {
      await admin.disconnect()
    }
  }

  /** Cuts every TCP connection to the broker and to Redis; answers with how many that were. Needs root. */
  async cutConnections(): Promise<number> {
    const { kafka, redis } = this.stack
    const ports = [...kafka!.brokers, ...redis!.urls].map(address => address.split(':').at(-1)!)
    const either = ports.map(port => `dport = ${port}`).join(' or ')
    const { stdout } = await run('ss', ['-K', '-H', '-t', `( ${either} )`])
    return stdout.split('\n').length - 1
  }

  /** Waits until all is told as expected, and says how long that took since a fault. */
  async finish(t: TestContext, expected: Sessions, sinceMs: number, quietMs?: number): Promise<void> {
    await this.settle(expected, quietMs)
    t.diagnostic(`${expected.size} sessions, all told ${Math.round(performance.now() - sinceMs)} ms after the fault`)
    assert.deepEqual(this.contradictions, [])
  }

  async stop(): Promise<void> {
    for (const child of this.#children) {
      child.kill('SIGCONT')
      child.kill('SIGKILL')
    }
    this.#stop.abort()
    try {
      await this.#reading
    } finally {
      await this.bus.close()
      await this.stack.stop()
    }
  }

  async #read(): Promise<void> {
    for await (const batch of this.bus.subscribe(['labeled-sessions'], 'test', this.#stop.signal)) {
      for (const { value } of batch.records) {
        const record = codecs['labeled-sessions'].decode(value!)
        const id = `${record.session_id}/${record.revision}`
        const before = this.#published.get(id)
        if (before && toldBy(before) !== toldBy(record)) this.contradictions.push(id)
        this.#published.set(id, record)
        keepLatest(this.sessions, record)
      }
      await batch.commit()
    }
  }
}

/** What counts of a record: who, how much, and whose. */
const toldBy = (record: LabeledSession): string => {
  const { state, host_id, packets_out, packets_in, bytes_out, bytes_in, label, stage, unknown_cause } = record
  return JSON.stringify([state, host_id, packets_out, packets_in, bytes_out, bytes_in, label, stage, unknown_cause])
}

/** Sessions that are missing, too many or told differently, a line each. */
export function differences(sessions: Sessions, expected: Sessions): string[] {
  const found: string[] = []
  for (const [id, record] of expected) {
    const actual = sessions.get(id)
    if (!actual) found.push(`missing ${id} ${toldBy(record)}`)
    else if (toldBy(actual) !== toldBy(record)) found.push(`${id}: ${toldBy(actual)} instead of ${toldBy(record)}`)
  }
  for (const id of sessions.keys()) if (!expected.has(id)) found.push(`too many: ${id}`)
  return found
}

/** Ends a process with SIGKILL and waits until it is gone. */
export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
