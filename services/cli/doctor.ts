import { randomUUID } from 'node:crypto'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { type Admin, Kafka, logLevel } from 'kafkajs'
import { type Codecs, codecs as checkedIn, type Topic } from '#schemas'
import type { Bus, ConsumedRecord } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { readSecurity } from '#shared/bus/kafka-security.ts'
import { patchKafkajs } from '#shared/bus/kafkajs-patches.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs, schemaText, subjectOf } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import { RedisConnection } from '#shared/store/redis-connection.ts'
import { compileRedisSettings, type RedisSettings } from '#shared/store/redis-settings.ts'
import {
  type Finding,
  failure,
  type GroupSeen,
  type HostHeard,
  judgeGroup,
  judgeHosts,
  judgeRedis,
  newHostHeard,
  notChecked,
  ok,
  renderFindings,
  warning,
} from './doctor-findings.ts'
import { redisOptions } from './redis-options.ts'
import { type ConnectionFlags, type Connections, compileConnections, connectionOptions } from './service-options.ts'
import { topicNames, topicSettings } from './topic-settings.ts'
import { wholeNumber } from './whole-number.ts'

interface DoctorFlags extends ConnectionFlags, Omit<RedisSettings, 'redisUrl'> {
  redisUrl?: string[]
  listen: number
}

/** As packet-batch.avsc has it. */
const bytesOfFlowIndex = 2
/** Matchers commit 10 s behind what they wrote. */
const commitsTrailMs = 25_000
const brokenTodo = 'everything else waits for that'

export function doctorCommand(): Command {
  const command = redisOptions(connectionOptions(new Command('doctor')))
  // Without Redis the rest is looked at all the same.
  command.options.find(option => option.long === '--redis-url')!.makeOptionMandatory(false)
  return command
    .description('looks at broker, registry, Redis, topics, agents, clocks, capture and matchers, and says what to do')
    .option('--listen <seconds>', 'how long to listen to agents and captures', wholeNumber(2, 600), 10)
    .action(async (flags: DoctorFlags) => {
      const findings = await examine(compileConnections(flags), flags)
      process.stdout.write(`${renderFindings(findings)}\n`)
      process.exit(findings.some(({ level }) => level === 'failure') ? exitCodes.brokenWorld : exitCodes.done)
    })
}

async function examine(connections: Connections, flags: DoctorFlags): Promise<Finding[]> {
  const { brokers, clientId, security } = connections
  patchKafkajs()
  const admin = new Kafka({
    brokers,
    clientId: clientId ?? 'proclabel-doctor',
    logLevel: logLevel.NOTHING,
    retry: { retries: 2 },
    ...readSecurity(security),
  }).admin()
  const findings: Finding[] = []
  const [registry, redis] = await Promise.all([examineRegistry(connections), examineRedis(flags)])
  try {
    await admin.connect()
    const { brokers: nodes } = await admin.describeCluster()
    findings.push(ok('kafka', `${nodes.length} broker(s)`))
    findings.push(...(await examineTopics(admin)), ...registry, ...redis)
    if (!findings.some(({ about, level }) => about === 'topics' && level === 'failure'))
      findings.push(...(await examineFlow(admin, connections, flags.listen)))
  } catch (error) {
    findings.push(
      failure('kafka', (error as Error).message, `see --brokers, --kafka-* and the broker's log; ${brokenTodo}`),
    )
    if (findings.length === 1) findings.push(...registry, ...redis)
  } finally {
    await admin.disconnect()
  }
  return findings
}

async function examineTopics(admin: Admin): Promise<Finding[]> {
  const there = new Set(await admin.listTopics())
  const missing = topicNames.filter(topic => !there.has(topic))
  if (missing.length > 0)
    return [
      failure('topics', `missing: ${missing.join(', ')}`, 'run `proclabel topics apply`; or the right to see them'),
    ]
  const { topics } = await admin.fetchTopicMetadata({ topics: [...topicNames] })
  const counts = new Set(topics.map(({ partitions }) => partitions.length))
  if (counts.size > 1)
    return [
      failure(
        'topics',
        `partition counts differ: ${topics.map(({ name, partitions }) => `${name} ${partitions.length}`).join(', ')}`,
        'make them anew, all with one count: `proclabel topics apply` says how',
      ),
    ]
  const copies = Math.min(...topics.flatMap(({ partitions }) => partitions.map(({ replicas }) => replicas.length)))
  const behind = topics.filter(({ partitions }) => partitions.some(({ isr, replicas }) => isr.length < replicas.length))
  const findings =
    behind.length > 0
      ? [
          warning(
            'topics',
            `not all copies are in step: ${behind.map(({ name }) => name).join(', ')}`,
            'see the brokers',
          ),
        ]
      : [ok('topics', `${topics.length}, ${[...counts][0]} partitions, ${copies} copies`)]
  const settings = await orProblem(examineSettings(admin, copies))
  if (settings instanceof Error)
    return [
      ...findings,
      notChecked('topics', settings.message, 'their settings: run the doctor as a user who may see them'),
    ]
  return [...findings, ...settings]
}

async function examineSettings(admin: Admin, replication: number): Promise<Finding[]> {
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: topicNames.map(name => ({ type: 2, name })),
  })
  const wrong = resources.flatMap(({ resourceName, configEntries }) => {
    const now = new Map(configEntries.map(({ configName, configValue }) => [configName, configValue]))
    const wanted = topicSettings(resourceName as Topic, { partitions: 0, replication })
    return Object.entries(wanted)
      .filter(([name, value]) => name !== 'min.insync.replicas' && now.get(name) !== value)
      .map(([name, value]) => `${resourceName} ${name} is ${now.get(name)}, not ${value}`)
  })
  return wrong.length === 0 ? [] : [warning('topics', wrong.join('; '), 'run `proclabel topics apply`')]
}

async function examineRegistry({ registry }: Connections): Promise<Finding[]> {
  if (registry === null) return [notChecked('registry', 'no --registry is given', 'give it if the services have one')]
  try {
    const asked = new Registry(registry)
    const missing: string[] = []
    for (const topic of topicNames)
      if ((await asked.idOf(subjectOf(topic), schemaText(topic))) === null) missing.push(subjectOf(topic))
    return missing.length === 0
      ? [ok('registry', `${topicNames.length} schemas of this version`)]
      : [failure('registry', `not registered: ${missing.join(', ')}`, 'run `proclabel topics apply --registry URL`')]
  } catch (error) {
    return [failure('registry', (error as Error).message, 'services go on with --registry-cache; new ones wait for it')]
  }
}

async function examineRedis({ redisUrl, ...flags }: DoctorFlags): Promise<Finding[]> {
  if (redisUrl === undefined) return [notChecked('redis', 'no --redis-url is given', 'give it to have Redis looked at')]
  const connection = new RedisConnection(compileRedisSettings({ ...flags, redisUrl }))
  try {
    return judgeRedis(await connection.call(() => connection.client.info()))
  } catch (error) {
    return [failure('redis', (error as Error).message, 'matchers wait until it is back; nothing is lost meanwhile')]
  } finally {
    connection.close()
  }
}

/** Listens to agents and captures, and looks at the groups before and after. */
async function examineFlow(admin: Admin, connections: Connections, listenSeconds: number): Promise<Finding[]> {
  const groups = ['matcher', 'resolver'] as const
  const before = await Promise.all(groups.map(group => orProblem(groupOffsets(admin, group))))
  const heard = await listen(connections, listenSeconds)
  const findings = judgeHosts(heard, listenSeconds)
  for (const [i, group] of groups.entries()) {
    const first = before[i]!
    const seen = first instanceof Error ? first : await orProblem(seenGroup(admin, group, first))
    const todo = 'run the doctor as a user who may describe the group'
    findings.push(seen instanceof Error ? notChecked(group, seen.message, todo) : judgeGroup(group, seen))
  }
  return findings
}

const orProblem = <T>(asked: Promise<T>): Promise<T | Error> => asked.catch(error => error as Error)

async function seenGroup(admin: Admin, group: keyof typeof inputsOf, first: Offsets): Promise<GroupSeen> {
  const last = await movedOffsets(admin, group, first)
  const { groups } = await admin.describeGroups([group])
  const moved = last.committed > first.committed
  return { members: groups[0]?.members.length ?? 0, lagBefore: first.lag, lagAfter: last.lag, moved }
}

/** The group's offsets, waited for until they have moved or there is nothing to move: commits trail what was done. */
async function movedOffsets(admin: Admin, group: keyof typeof inputsOf, before: Offsets): Promise<Offsets> {
  const until = Date.now() + commitsTrailMs
  for (;;) {
    const now = await groupOffsets(admin, group)
    if (now.committed > before.committed || before.lag === 0 || Date.now() > until) return now
    await sleep(1000)
  }
}

const inputsOf = {
  matcher: ['hosts', 'socket-snapshots', 'socket-events', 'packets', 'resolutions'],
  resolver: ['labeled-sessions'],
} as const satisfies Record<string, readonly Topic[]>

interface Offsets {
  lag: number
  committed: number
}

async function groupOffsets(admin: Admin, group: keyof typeof inputsOf): Promise<Offsets> {
  const sum = { lag: 0, committed: 0 }
  const committed = await admin.fetchOffsets({ groupId: group, topics: [...inputsOf[group]] })
  for (const { topic, partitions } of committed) {
    const offsets = new Map(partitions.map(({ partition, offset }) => [partition, Number(offset)]))
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      // Minus one: nothing was committed, so all that is there waits.
      const at = Math.max(Number(low), offsets.get(partition) ?? -1)
      sum.lag += Number(high) - at
      sum.committed += at
    }
  }
  return sum
}

/** By host: what came of it, and all hosts that were ever announced. */
async function listen(
  { brokers, clientId, security, registry }: Connections,
  seconds: number,
): Promise<Map<string, HostHeard>> {
  const bus = new KafkaBus({ brokers, clientId: clientId ?? 'proclabel-doctor', security })
  const stop = new AbortController()
  const heard = new Map<string, HostHeard>()
  const log = createLog('doctor', 'silent')
  const connected =
    registry &&
    (await RegistryCodecs.connect({
      registry: new Registry(registry),
      cacheFile: null,
      log,
      metrics: registryMetrics(noMetrics),
      health: new Health().component('registry'),
      signal: AbortSignal.timeout(10_000),
    }))
  const codecs = connected?.codecs ?? checkedIn
  const read = async (topics: readonly Topic[], beginAt: 'earliest' | 'next') => {
    for await (const { records } of (bus as Bus).subscribe(
      topics,
      `doctor-${randomUUID()}`,
      stop.signal,
      {},
      beginAt,
    )) {
      await connected?.prepare(records)
      for (const record of records) hear(heard, codecs, record)
    }
  }
  try {
    const reading = Promise.all([
      read(['hosts'], 'earliest'),
      read(['socket-snapshots', 'socket-events', 'packets'], 'next'),
    ])
    await Promise.race([reading, sleep(seconds * 1000)])
    stop.abort()
    await reading
  } finally {
    stop.abort()
    await bus.close()
  }
  return heard
}

/** Takes a record in; one that cannot be read is the matcher's to bury. */
function hear(heard: Map<string, HostHeard>, codecs: Codecs, { topic, key, value, appendMs }: ConsumedRecord): void {
  if (topic === 'hosts' && value === null) return void heard.delete(key)
  if (value === null) return
  const host = heard.get(key) ?? newHostHeard()
  heard.set(key, host)
  const ahead = (timeUs: number, before: number | null) => Math.max(timeUs / 1000 - appendMs, before ?? -Infinity)
  try {
    if (topic === 'hosts') host.announced = true
    else if (topic === 'socket-snapshots') {
      const last = codecs['socket-snapshots'].decode(value).polls.at(-1)
      host.agentMessages++
      if (last) host.agentAheadMs = ahead(last.time_us, host.agentAheadMs)
    } else if (topic === 'socket-events') {
      host.agentMessages++
      host.agentAheadMs = ahead(codecs['socket-events'].decode(value).until_us, host.agentAheadMs)
    } else {
      const batch = codecs.packets.decode(value)
      host.packetBatches++
      host.packets += batch.packet_flow.length / bytesOfFlowIndex
      host.lost += batch.lost
      host.captureAheadMs = ahead(batch.until_us, host.captureAheadMs)
    }
  } catch {
    // As above.
  }
}
