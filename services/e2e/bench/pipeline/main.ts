/**
 * The pipeline on real Kafka and Redis: a producer of packet batches and socket polls, matchers in processes of their own, a
 * reader of labeled-sessions, all on this machine.
 * `npm run bench -- pipeline [--quick] [--only capacity,latency,…] [--batch-ms 250] [--seconds 120]`
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseArgs } from 'node:util'
import { capturesDir } from '#shared/captures-dir.ts'
import { machine } from '../measure.ts'
import { Load, type LoadShape, meanDurationS, meanPackets } from './load.ts'
import { type LoadFigures, LoadWriter } from './load-file.ts'
import { FlowMix, readRealFlows } from './real-flows.ts'
import { capacityHead, type Phase, printCapacity, printLag, printTimes } from './report.ts'
import { Servers } from './servers.ts'

const all = ['capacity', 'sustained', 'latency', 'partition', 'single', 'cluster'] as const
type Part = (typeof all)[number]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    'batch-ms': { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '60' },
  },
})
const parts = (values.only?.split(',') ?? (values.quick ? ['capacity', 'latency'] : all)) as Part[]
/** How often a sensor closes its batches. */
const batchMs = Number(values['batch-ms'])
const unknown = parts.filter(part => !all.includes(part))
if (unknown.length > 0) throw new Error(`no such part: ${unknown.join(', ')}; there are ${all.join(', ')}`)
const isQuick = values.quick
/** The target: 300,000 packets and 5,000 sessions each second. */
const sessionsPerSecond = isQuick ? 1000 : 5000
/** UDP sessions end after a minute of silence: from then on as many end as begin. */
const historyMs = isQuick ? 10_000 : 65_000
const spanMs = isQuick ? 5000 : 8000
/** In real time. */
const pacedMs = isQuick ? 15_000 : Number(values.seconds) * 1000
const warmMs = 4000
const partitions = 48

const dir = capturesDir()
if (dir === null) throw new Error('the flows are taken from the test captures: set PROCLABEL_CAPTURES to their folder')
const mix = new FlowMix(await readRealFlows(`${dir}/captures`), meanPackets, meanDurationS)
const folder = mkdtempSync(`${tmpdir()}/proclabel-bench-`)
// However this ends; servers and programs end with it.
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))
let files = 0

interface Written {
  file: string
  startUs: number
  figures: LoadFigures[]
}

/** A load in a file, in spans one after the other. */
function write(shape: Partial<LoadShape>, spansMs: readonly number[]): Written {
  // Plausible to a matcher whenever it comes: it believes times of the past.
  const startUs = Math.floor(Date.now() / 1000) * 1e6 - 600e6
  const file = `${folder}/load-${files++}`
  const whole = { hosts: 100, sessionsPerSecond, batchMs, historyMs, seed: 1, ...shape }
  const writer = new LoadWriter(file, new Load(whole, mix, startUs))
  const figures = spansMs.map(ms => writer.write(ms))
  writer.close()
  return { file, startUs, figures }
}

const hostRecords = 100

/** The history and one span at full speed. */
async function oneSpan(
  shape: Partial<LoadShape>,
  servers: { partitions: number; redis: true | 'cluster'; matchers: number },
): Promise<Phase> {
  const { file, figures } = write(shape, [shape.historyMs!, spanMs])
  const running = await Servers.start({ file, ...servers })
  try {
    await running.startMatchers(servers.matchers)
    await running.publish({ untilMs: shape.historyMs!, pace: null }, figures[0]!.records + hostRecords)
    const span = await running.publish({ untilMs: shape.historyMs! + spanMs, pace: null }, figures[1]!.records)
    return { figures: figures[1]!, span }
  } finally {
    await running.stop()
    rmSync(file)
  }
}

/** At full speed with 2, 1 and 4 matchers, one after the other on the same state. */
async function capacity(): Promise<void> {
  const rows = isQuick ? [2] : [2, 1, 4]
  // Each after a warm-up: matchers that were just started load their hosts, and compile.
  const spans = [historyMs, ...rows.flatMap(() => [warmMs, spanMs])]
  const { file, figures } = write({}, spans)
  const servers = await Servers.start({ file, partitions, redis: true })
  try {
    await servers.startMatchers(2)
    let part = 0
    let atMs = 0
    const next = () => {
      atMs += spans[part]!
      const records = figures[part]!.records + (part === 0 ? hostRecords : 0)
      part++
      return servers.publish({ untilMs: atMs, pace: null }, records)
    }
    await next()
    let isFirst = true
    console.log(`\n### At full speed, ${figures[1]!.open} sessions open\n\n${capacityHead}`)
    for (const matchers of rows) {
      if (!isFirst) await servers.startMatchers(matchers)
      await next()
      const before = servers.diskBytes()
      const phase = { figures: figures[part]!, span: await next() }
      if (isFirst) await noteSizes(servers, before, phase)
      printCapacity(`${matchers} matcher${matchers > 1 ? 's' : ''}`, phase)
      isFirst = false
    }
    console.log(`Closed records by stage, or by why there is no label: ${JSON.stringify(servers.reader.labels)}`)
  } finally {
    await servers.stop()
    rmSync(file)
  }
}

/** The whole load in real time: does the lag stay where it is? */
async function sustained(): Promise<void> {
  const { file, figures } = write({}, [historyMs, warmMs, pacedMs])
  const servers = await Servers.start({ file, partitions, redis: true })
  try {
    await servers.startMatchers(2)
    const fromMs = historyMs + warmMs
    await servers.publish({ untilMs: fromMs, pace: null }, figures[0]!.records + figures[1]!.records + hostRecords)
    const pace = { fromMs, goMs: Date.now() + 1000, speed: 1 }
    const span = await servers.publish({ untilMs: fromMs + pacedMs, pace }, figures[2]!.records)
    console.log(`\n### In real time for ${pacedMs / 1000} s\n\n${capacityHead}`)
    printCapacity('2 matchers', { figures: figures[2]!, span })
    printLag(span)
  } finally {
    await servers.stop()
    rmSync(file)
  }
}

const notes: string[] = []
async function noteSizes(servers: Servers, before: Record<string, number>, { figures, span }: Phase): Promise<void> {
  const after = servers.diskBytes()
  const written = (topic: string) => after[topic]! - (before[topic] ?? 0)
  const { matcherBytes, redisBytes, sessions } = await servers.memory()
  const perPoll = written('socket-snapshots') / figures.polls
  notes.push(
    `Kafka bytes a packet: ${(written('packets') / figures.packets).toFixed(2)} (${(figures.packetBytes / figures.packets).toFixed(1)} before compression)`,
    `Kafka bytes a poll: ${perPoll.toFixed(0)}, ${((100 * perPoll) / figures.wholeBytes).toFixed(1)} % of a whole snapshot's ${figures.wholeBytes.toFixed(0)}, both compressed`,
    `Kafka bytes a record of labeled-sessions: ${(written('labeled-sessions') / span.told).toFixed(0)}`,
    `Memory with ${sessions} sessions in 2 matchers: ${Math.round(matcherBytes / 2 ** 20)} MiB of theirs, ${Math.round(redisBytes / 2 ** 20)} MiB of Redis: ${(matcherBytes / sessions / 1024).toFixed(1)} KiB and ${Math.round(redisBytes / sessions)} bytes a session, sockets and all`,
  )
}

/** At half the load in real time: how long after the moment that the rules set is a record there. */
async function latency(): Promise<void> {
  const half = sessionsPerSecond / 2
  const { file, startUs, figures } = write({ sessionsPerSecond: half }, [historyMs, pacedMs])
  const servers = await Servers.start({ file, partitions, redis: true })
  try {
    await servers.startMatchers(2)
    await servers.publish({ untilMs: historyMs, pace: null }, figures[0]!.records + hostRecords)
    const goMs = Date.now() + 1000
    servers.reader.follow(startUs + historyMs * 1000, goMs)
    const span = await servers.publish(
      { untilMs: historyMs + pacedMs, pace: { fromMs: historyMs, goMs, speed: 1 } },
      figures[1]!.records,
    )
    console.log(`\n### Latency at ${half * meanPackets} packets/s and ${half} sessions/s, batches of ${batchMs} ms\n`)
    printTimes(servers.reader)
    console.log(`\nThe producer was ${Math.round(span.answer.behindMs)} ms behind its pace at most.`)
  } finally {
    await servers.stop()
    rmSync(file)
  }
}

console.log(
  `${machine()}; ${mix.packets.toFixed(0)} packets a session, ${mix.durationS.toFixed(0)} s long, on average\n`,
)
if (parts.includes('capacity')) await capacity()
if (parts.includes('sustained')) await sustained()
if (parts.includes('latency')) await latency()
const small = { sessionsPerSecond: sessionsPerSecond / 2, historyMs: 10_000 }
const rest: [string, () => Promise<Phase>][] = []
if (parts.includes('partition'))
  rest.push(['1 partition, 1 matcher', () => oneSpan(small, { partitions: 1, redis: true, matchers: 1 })])
if (parts.includes('cluster'))
  rest.push(
    ['Redis alone, 2 matchers', () => oneSpan(small, { partitions, redis: true, matchers: 2 })],
    ['Redis Cluster of 6, 2 matchers', () => oneSpan(small, { partitions, redis: 'cluster', matchers: 2 })],
  )
const few = { sessionsPerSecond: isQuick ? 50 : 200, historyMs: 5000 }
if (parts.includes('single'))
  rest.push(
    ['few packets, in batches', () => oneSpan(few, { partitions, redis: true, matchers: 1 })],
    ['as many, a message each', () => oneSpan({ ...few, isSingle: true }, { partitions, redis: true, matchers: 1 })],
  )
if (rest.length > 0) console.log(`\n### Compared, at full speed\n\n${capacityHead}`)
for (const [what, run] of rest) printCapacity(what, await run())
if (notes.length > 0) console.log(`\n${notes.map(note => `- ${note}`).join('\n')}`)
// Clients of kafkajs keep timers for what they no longer wait for.
process.exit()
