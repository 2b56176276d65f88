/**
 * What a save costs in the Redis store, client and server on this machine, and what a field takes in Redis's memory; beside
 * plain HSETs without version, outbox and atomicity, and beside other layouts. Redis appends to a file, synced each second.
 *
 * `node services/e2e/bench/store.ts [--hosts 100] [--seconds 2] [--runs 3]`
 */
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { RedisStore } from '../../shared/store/redis.ts'
import { type RedisServer, startRedis } from '../../shared/store/redis-server.ts'
import { compileRedisSettings } from '../../shared/store/redis-settings.ts'
import type { OutboxRecord, Store, Version } from '../../shared/store/store.ts'
import { machine, median, spread } from './measure.ts'

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '2' },
    runs: { type: 'string', default: '3' },
  },
})
const hosts = Array.from({ length: Number(values.hosts) }, (_, i) => `host-${i}`)
const seconds = Number(values.seconds)
const runs = Number(values.runs)
/** Sessions that a host has, each a field; a save changes some of them. */
const sessionsAHost = 1000
const fieldBytes = 200
const recordBytes = 400

/** As long as a session id in base64url. */
const nameOf = (session: number) => `session-${String(session).padStart(14, '0')}`

/** A different value each time, as if the session had gone on. */
function newValue(bytes: number): Buffer {
  const value = Buffer.alloc(bytes, 'x')
  value.writeDoubleLE(Math.random())
  return value
}

let records = 0
const newRecord = (): OutboxRecord => ({
  id: `${nameOf(records++)}/1`,
  topic: 'labeled-sessions',
  key: 'host',
  value: newValue(recordBytes),
})

/** `count` sessions of a host from a random one on, and with `bucket` over 1 all that share a field with one of them. */
function changed(count: number, bucket = 1): Map<string, Buffer> {
  const put = new Map<string, Buffer>()
  const step = Math.floor(sessionsAHost / count)
  const first = Math.floor(Math.random() * sessionsAHost)
  for (let i = 0; i < count; i++) {
    const session = (first + i * step) % sessionsAHost
    put.set(nameOf(Math.floor(session / bucket)), newValue(fieldBytes * bucket))
  }
  return put
}

interface Rate {
  /** Saves a second of wall time. */
  rate: number
  clientUs: number
  redisUs: number
}

function redisCpuUs({ cli }: RedisServer): number {
  const info = cli('info', 'cpu')
  return ['user', 'sys'].reduce((sum, kind) => {
    return sum + Number(new RegExp(`used_cpu_${kind}_main_thread:([\\d.]+)`).exec(info)![1]) * 1e6
  }, 0)
}

/** Calls `round`, which makes a number of saves, for some seconds. */
async function measure(server: RedisServer, round: () => Promise<number>): Promise<Rate> {
  await round()
  const redisBefore = redisCpuUs(server)
  const clientBefore = process.cpuUsage()
  const began = performance.now()
  let saves = 0
  while (performance.now() - began < seconds * 1000) saves += await round()
  const wallS = (performance.now() - began) / 1000
  const { user, system } = process.cpuUsage(clientBefore)
  return {
    rate: saves / wallS,
    clientUs: (user + system) / saves,
    redisUs: (redisCpuUs(server) - redisBefore) / saves,
  }
}

class Saver {
  readonly store: Store
  #versions = new Map<string, Version>()

  constructor(store: Store) {
    this.store = store
  }

  async save(host: string, fields: number, outboxRecords: number, acknowledge: boolean, bucket = 1): Promise<void> {
    const outbox = Array.from({ length: outboxRecords }, newRecord)
    const expectedVersion = this.#versions.get(host) ?? '0'
    const version = await this.store.save(host, { expectedVersion, put: changed(fields, bucket), outbox })
    if (version === null) throw new Error(`${host} is fenced`)
    this.#versions.set(host, version)
    const ids = outbox.map(({ id }) => id)
    if (acknowledge) await this.store.acknowledge(host, ids)
  }

  /** Every host once, at the same time. */
  async all(...how: [fields: number, outboxRecords: number, acknowledge: boolean, bucket?: number]): Promise<number> {
    await Promise.all(hosts.map(host => this.save(host, ...how)))
    return hosts.length
  }
}

const storeOf = (port: number) => new RedisStore(compileRedisSettings({ redisUrl: [`redis://127.0.0.1:${port}`] }))

const figure = (value: number) => Math.round(value).toLocaleString('en-US')

async function rates(): Promise<void> {
  const server = await startRedis(['--appendonly', 'yes', '--appendfsync', 'everysec'])
  const store = storeOf(server.port)
  const plain = new Redis(server.port)
  const saver = new Saver(store)
  try {
    const plainHset = async (fields: number) => {
      await Promise.all(hosts.map(host => plain.hset(`plain:${host}`, changed(fields))))
      return hosts.length
    }
    const oneByOne = async () => {
      for (const host of hosts.slice(0, 10)) await saver.save(host, 100, 50, true)
      return 10
    }
    let base = 1
    const rounds: [string, number, () => Promise<number>][] = [
      ['plain HSET of 100 fields, nothing else', 100, () => plainHset(100)],
      ['save of 100 fields', 100, () => saver.all(100, 0, false)],
      ['save of 50 fields, 50 records, acknowledged', 50, () => saver.all(50, 50, true)],
      ['save of 100 fields, 50 records, acknowledged', 100, () => saver.all(100, 50, true)],
      ['save of 300 fields, 50 records, acknowledged', 300, () => saver.all(300, 50, true)],
      ['the same of 100 fields, host after host', 100, oneByOne],
      ['100 sessions in fields of 16 sessions, 50 records, acknowledged', 100, () => saver.all(100, 50, true, 16)],
    ]
    console.log(
      '| What, all hosts at once | saves/s | sessions/s | client µs a save | Redis µs a save | time of plain |',
    )
    console.log('| --- | --- | --- | --- | --- | --- |')
    for (const [what, sessions, round] of rounds) {
      const results: Rate[] = []
      for (let i = 0; i < runs; i++) results.push(await measure(server, round))
      const rate = median(results.map(result => result.rate))
      if (base === 1) base = rate
      console.log(
        `| ${what} | ${spread(
          results.map(result => result.rate),
          0,
        )} | ${figure(rate * sessions)} | ${figure(median(results.map(({ clientUs }) => clientUs)))} ` +
          `| ${figure(median(results.map(({ redisUs }) => redisUs)))} | ${(base / rate).toFixed(1)} × |`,
      )
    }
  } finally {
    await store.close()
    plain.disconnect()
    await server.stop()
  }
}

/** Redis's memory by layout, and how long it takes to load all of it. */
async function memory(): Promise<void> {
  console.log('\n| Layout of 1,000 sessions of 200 bytes a host | bytes a session | load of all hosts, ms |')
  console.log('| --- | --- | --- |')
  for (const bucket of [1, 4, 16, 64, 1000]) {
    const server = await startRedis()
    const store = storeOf(server.port)
    const used = () => Number(/used_memory_dataset:(\d+)/.exec(server.cli('info', 'memory'))![1])
    try {
      await store.load('warm up')
      const before = used()
      for (const host of hosts) {
        await store.save(host, { expectedVersion: '0', put: changed(sessionsAHost, bucket), outbox: [] })
      }
      const sessionBytes = (used() - before) / hosts.length / sessionsAHost
      const began = performance.now()
      await store.loadMany(hosts)
      const ms = performance.now() - began
      const layout = bucket === 1 ? 'one a field' : bucket === 1000 ? 'all in one field' : `${bucket} a field`
      console.log(`| ${layout} | ${figure(sessionBytes)} | ${figure(ms)} |`)
    } finally {
      await store.close()
      await server.stop()
    }
  }
}

console.log(`${machine()}, ${hosts.length} hosts; median of ${runs} runs (lowest to highest)\n`)
await rates()
await memory()
