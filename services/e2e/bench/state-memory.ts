/**
 * What hosts' state takes in a matcher and in Redis: a session, and 1,000 intervals in which a socket was somebody's. Real
 * flows (the captures of the tests) at random moments, through the matcher's own pipelines; their snapshots in a real Redis.
 * Packets and sockets apart, and hosts that know nothing yet are subtracted.
 *
 * `node --expose-gc services/e2e/bench/state-memory.ts [--hosts 50] [--sessions 500] [--seconds 30]`
 */
import { parseArgs } from 'node:util'
import { defaultConstants } from '#core/constants.ts'
import { HostPipeline } from '../../matcher/host-pipeline.ts'
import { capturesDir } from '../../shared/captures-dir.ts'
import { pack } from '../../shared/store/packed-state.ts'
import { RedisStore } from '../../shared/store/redis.ts'
import { startRedis } from '../../shared/store/redis-server.ts'
import { compileRedisSettings } from '../../shared/store/redis-settings.ts'
import { machine } from './measure.ts'
import { Load, type LoadRecord, meanDurationS, meanPackets } from './pipeline/load.ts'
import { FlowMix, readRealFlows } from './pipeline/real-flows.ts'

const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '50' },
    sessions: { type: 'string', default: '500' },
    seconds: { type: 'string', default: '30' },
  },
})
const hosts = Number(values.hosts)
const { gc } = globalThis
const captures = capturesDir()
if (!gc || captures === null) throw new Error('needs node --expose-gc, and the captures of the tests')
const mix = new FlowMix(await readRealFlows(`${captures}/captures`), meanPackets, meanDurationS)

const redis = await startRedis()
const store = new RedisStore(compileRedisSettings({ redisUrl: [`redis://127.0.0.1:${redis.port}`] }))
const redisBytes = () => Number(/^used_memory:(\d+)/m.exec(redis.cli('info', 'memory'))![1])
const ownBytes = () => {
  for (let i = 0; i < 3; i++) gc()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** What the pipelines take once `apply` has given them its part of a load; the load is the same each time. */
async function measure(apply: (pipeline: HostPipeline, record: LoadRecord) => void, seconds: number) {
  redis.cli('flushall', 'sync')
  const shape = { hosts, sessionsPerSecond: Number(values.sessions), batchMs: 1000, historyMs: 0, seed: 1 }
  const load = new Load(shape, mix, 1_700_000_000_000_000)
  const options = { constants: defaultConstants, sharedNames: null, provisional: true }
  const pipelines = Array.from({ length: hosts }, (_, i) => new HostPipeline(`host-${i}`, options))
  const before = ownBytes()
  for (let second = 0; second < seconds; second++)
    for (const record of load.next()) {
      const pipeline = pipelines[record.host]!
      apply(pipeline, record)
      pipeline.take()
    }
  // With what the load itself holds, which is the same when nothing is applied.
  const matcher = ownBytes() - before
  const redisBefore = redisBytes()
  for (const pipeline of pipelines) {
    const put = new Map([['snapshot', pack(pipeline.state())]])
    await store.save(pipeline.hostId, { expectedVersion: '0', put, outbox: [] })
  }
  const sessions = pipelines.reduce((sum, { size }) => sum + size, 0)
  return { matcher, redis: redisBytes() - redisBefore, sessions }
}

const seconds = Number(values.seconds)
const intervals = new Set<string>()
const count = ({ hostId }: HostPipeline, { sockets }: LoadRecord) => {
  for (const { opened } of sockets?.polls ?? []) for (const { id } of opened) intervals.add(`${hostId} ${id}`)
}
await measure(count, seconds)
const idle = await measure(() => {}, seconds)
const packets = await measure((pipeline, { packets }) => packets && pipeline.applyPackets(packets, 0), seconds)
const sockets = await measure((pipeline, { sockets }) => sockets && pipeline.applySnapshot(sockets), seconds)

console.log(`${machine()}; ${hosts} hosts, ${packets.sessions} sessions, ${intervals.size} socket intervals\n`)
console.log('| | bytes in the matcher | bytes in Redis |')
console.log('| --- | --- | --- |')
const row = (what: string, of: typeof idle, count: number) => {
  const [own, stored] = [of.matcher - idle.matcher, of.redis - idle.redis].map(bytes => Math.round(bytes / count))
  console.log(`| ${what} | ${own} | ${stored} |`)
}
row('a session', packets, packets.sessions)
row('1,000 socket intervals', sockets, intervals.size / 1000)
await store.close()
await redis.stop()
