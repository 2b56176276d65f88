import type { ChildProcess } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import type { Admin } from 'kafkajs'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { kafkaOf } from '#shared/bus/kafka-fixture.ts'
import { applyTopics } from '../../../cli/apply-topics.ts'
import { matcherFlags } from '../../../cli/service-flags.mjs'
import { matcherGroup } from '../../../matcher/matcher.ts'
import { type Stack, startStack } from '../../stack/stack.ts'
import type { MatcherProgress, MatcherSettings } from './matcher.ts'
import { cpuSecondsOf, machineCpuSeconds, startProgram, stopProgram } from './processes.ts'
import type { ProducerAnswer, ProducerOrder, ProducerSettings } from './producer.ts'
import { Reader } from './reader.ts'

export interface ServersOptions {
  /** The load that is published. */
  file: string
  partitions: number
  redis: true | 'cluster'
}

/** What has been done so far, and the CPU seconds that it took each part. */
export interface Sample {
  ms: number
  /** Input records that were applied and written. */
  records: number
  /** Of the worst matcher, seconds. */
  lagS: number
  cpu: PartsCpu
}

export interface PartsCpu {
  producer: number
  broker: number
  redis: number
  matchers: number
  reader: number
  /** Of the whole machine, whoever used it. */
  machine: number
}

/** What one order took. */
export interface Span {
  samples: Sample[]
  answer: ProducerAnswer
  /** Records that came into labeled-sessions. */
  told: number
}

const program = (name: string) => fileURLToPath(new URL(name, import.meta.url))
/** For whoever looks into a matcher: a profiler, for example. */
const moreFlags = process.env.PROCLABEL_BENCH_MATCHER_FLAGS?.split(' ') ?? []
const sampleMs = 500
/** Without a record applied for so long, a run is given up. */
const stallMs = 60_000
/** Who applied nothing for so long has nothing to do. */
const quietMs = 5000

/** Real servers, a producer, matchers in processes of their own, and this process as the reader of what they tell. */
export class Servers {
  readonly reader: Reader
  readonly #options: ServersOptions
  readonly #stack: Stack
  readonly #admin: Admin
  readonly #bus: KafkaBus
  readonly #stop = new AbortController()
  readonly #reading: Promise<void>
  readonly #producer: ChildProcess
  #matchers: { child: ChildProcess; progress: MatcherProgress }[] = []
  /** CPU seconds of matchers that have ended. */
  #endedCpu = 0

  private constructor(options: ServersOptions, stack: Stack, admin: Admin) {
    this.#options = options
    this.#admin = admin
    this.#stack = stack
    const { brokers } = stack.kafka!
    this.#bus = new KafkaBus({ brokers, clientId: 'bench-reader' })
    this.reader = new Reader()
    this.#reading = this.reader.read(this.#bus.subscribe(['labeled-sessions'], 'bench-reader', this.#stop.signal))
    const settings: ProducerSettings = { brokers, file: options.file }
    this.#producer = startProgram(program('producer.ts'), settings)
  }

  static async start(options: ServersOptions): Promise<Servers> {
    const stack = await startStack({ kafka: true, redis: options.redis })
    const admin = kafkaOf(stack.kafka!.brokers).admin()
    await admin.connect()
    await applyTopics(admin, { partitions: options.partitions, replication: 1 })
    return new Servers(options, stack, admin)
  }

  /** Ends the matchers there are, and starts so many; returns when they have nothing to do. */
  async startMatchers(count: number): Promise<void> {
    this.#endedCpu = this.#cpu().matchers
    await Promise.all(this.#matchers.map(({ child }) => stopProgram(child)))
    this.#matchers = Array.from({ length: count }, () => {
      const settings: MatcherSettings = {
        brokers: this.#stack.kafka!.brokers,
        redisUrls: this.#stack.redis!.urls,
        redisCluster: this.#options.redis === 'cluster',
        partitions: this.#options.partitions,
      }
      const child = startProgram(program('matcher.ts'), settings, [...matcherFlags, ...moreFlags])
      const matcher = { child, progress: { records: 0, lagS: 0, sessions: 0, rssBytes: 0 } }
      child.on('message', message => Object.assign(matcher.progress, message))
      return matcher
    })
    await this.#joined(count)
    // They read again what was not committed.
    let records = -1
    while (records !== this.#records()) {
      records = this.#records()
      await sleep(quietMs)
    }
  }

  /** Waits until the group has so many members, and knows who reads what. */
  async #joined(count: number): Promise<void> {
    for (;;) {
      // A broker that was just started has no coordinator yet.
      const { groups } = await this.#admin.describeGroups([matcherGroup]).catch(() => ({ groups: [] }))
      if (groups[0]?.state === 'Stable' && groups[0].members.length === count) return
      await sleep(sampleMs)
    }
  }

  /** Publishes a part of the load; returns when the matchers have applied and written all of it. */
  async publish(order: ProducerOrder, records: number): Promise<Span> {
    const until = this.#records() + records
    let answer: ProducerAnswer | null = null
    this.#producer.once('message', message => {
      answer = message as ProducerAnswer
    })
    const before = await this.#told()
    this.#producer.send(order)
    const samples = [this.#sample()]
    for (let stalledMs = 0; answer === null || this.#records() < until; stalledMs += sampleMs) {
      await sleep(sampleMs)
      const sample = this.#sample()
      if (sample.records > samples.at(-1)!.records) stalledMs = 0
      samples.push(sample)
      const ended = [this.#producer, ...this.#matchers.map(({ child }) => child)].find(child => child.exitCode !== null)
      if (ended) throw new Error(`a process of the bench ended with ${ended.exitCode}`)
      if (stalledMs > stallMs)
        throw new Error(`nothing applied for ${stallMs / 1000} s, ${until - sample.records} records left`)
    }
    const told = await this.#told()
    for (let waitedMs = 0; this.reader.records < told && waitedMs < stallMs; waitedMs += sampleMs) await sleep(sampleMs)
    return { samples, answer, told: told - before }
  }

  /** Memory of each matcher and of Redis, and the sessions that the matchers hold. */
  async memory(): Promise<{ matcherBytes: number; redisBytes: number; sessions: number }> {
    let redisBytes = 0
    for (const url of this.#stack.redis!.urls) {
      const redis = new Redis(url)
      redisBytes += Number(/used_memory:(\d+)/.exec(await redis.info('memory'))![1])
      redis.disconnect()
    }
    const sum = (of: (progress: MatcherProgress) => number) =>
      this.#matchers.reduce((total, { progress }) => total + of(progress), 0)
    return { matcherBytes: sum(({ rssBytes }) => rssBytes), redisBytes, sessions: sum(({ sessions }) => sessions) }
  }

  /** The log segments on the broker's disk, by topic. */
  diskBytes(): Record<string, number> {
    const bytes: Record<string, number> = {}
    const folder = `${this.#stack.folder}/kafka-1/data`
    for (const partition of readdirSync(folder, { withFileTypes: true })) {
      const topic = /^(.*)-\d+$/.exec(partition.name)?.[1]
      if (!topic || !partition.isDirectory()) continue
      for (const file of readdirSync(`${folder}/${partition.name}`))
        if (file.endsWith('.log'))
          bytes[topic] = (bytes[topic] ?? 0) + statSync(`${folder}/${partition.name}/${file}`).size
    }
    return bytes
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all([this.#producer, ...this.#matchers.map(({ child }) => child)].map(child => stopProgram(child)))
    await this.#reading
    await this.#bus.close()
    await this.#admin.disconnect()
    await this.#stack.stop()
  }

  /** Records in labeled-sessions. */
  async #told(): Promise<number> {
    let offsets = null
    // A topic that was just made has no leader yet, whatever waiting for them promised.
    while (offsets === null)
      offsets = await this.#admin.fetchTopicOffsets('labeled-sessions').catch(() => sleep(100, null))
    return offsets.reduce((sum, { high }) => sum + Number(high), 0)
  }

  #records(): number {
    return this.#matchers.reduce((sum, { progress }) => sum + progress.records, 0)
  }

  #sample(): Sample {
    return {
      ms: performance.now(),
      records: this.#records(),
      lagS: Math.max(...this.#matchers.map(({ progress }) => progress.lagS)),
      cpu: this.#cpu(),
    }
  }

  #cpu(): PartsCpu {
    const sum = (pids: readonly number[]) => pids.reduce((total, pid) => total + cpuSecondsOf(pid), 0)
    return {
      producer: cpuSecondsOf(this.#producer.pid!),
      broker: sum(this.#stack.kafka!.nodes.map(({ pid }) => pid)),
      redis: sum(this.#stack.redis!.nodes.map(({ pid }) => pid)),
      matchers: this.#endedCpu + sum(this.#matchers.map(({ child }) => child.pid!)),
      reader: cpuSecondsOf(process.pid),
      machine: machineCpuSeconds(),
    }
  }
}
