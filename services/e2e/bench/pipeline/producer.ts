/** Publishes a load's file as capture and agents would: a process of its own, told by messages how far and how fast. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BusRecord } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { type FiledRecord, readLoad } from './load-file.ts'

export interface ProducerSettings {
  brokers: string[]
  file: string
}

/** Publish what comes before `untilMs` of the load, as fast as it goes or at a pace. */
export interface ProducerOrder {
  untilMs: number
  /** The load's moment `fromMs` is at `goMs` by the wall clock; from there its time passes at `speed`. */
  pace: { fromMs: number; goMs: number; speed: number } | null
}

/** What the producer tells when an order is carried out: the bus has it all. */
export interface ProducerAnswer {
  records: number
  wallS: number
  /** How far behind its pace it was at most. */
  behindMs: number
}

/** Publishes under way; one at a time waits for nobody. */
const inFlightBytes = 16 << 20
/** Records of so many bytes go out in one publish. */
const publishBytes = 800_000

const { brokers, file }: ProducerSettings = JSON.parse(process.argv[2]!)
const bus = new KafkaBus({ brokers, clientId: 'bench-producer' })
const load = readLoad(file)
let next = load.next()
let waiting = 0
const underWay = new Set<Promise<void>>()

function publish(part: readonly FiledRecord[]): void {
  for (const [topic, group] of Map.groupBy(part, record => record.topic)) {
    const bytes = group.reduce((sum, { value }) => sum + value.length, 0)
    waiting += bytes
    const publishing = bus.publish(topic, group as readonly BusRecord[]).finally(() => {
      waiting -= bytes
      underWay.delete(publishing)
    })
    underWay.add(publishing)
  }
}

async function carryOut({ untilMs, pace }: ProducerOrder): Promise<ProducerAnswer> {
  const startMs = performance.now()
  let records = 0
  let behindMs = 0
  let part: FiledRecord[] = []
  let bytes = 0
  const flush = () => {
    publish(part)
    part = []
    bytes = 0
  }
  for (; !next.done && next.value.atMs <= untilMs; next = load.next()) {
    const record = next.value
    if (pace !== null) {
      const lateMs = Date.now() - (pace.goMs + (record.atMs - pace.fromMs) / pace.speed)
      if (lateMs < 0) {
        flush()
        await sleep(-lateMs)
      } else behindMs = Math.max(behindMs, lateMs)
    }
    part.push(record)
    bytes += record.value.length
    records++
    if (bytes > publishBytes) flush()
    while (waiting > inFlightBytes) await Promise.race(underWay)
  }
  flush()
  await Promise.all(underWay)
  return { records, wallS: (performance.now() - startMs) / 1000, behindMs }
}

process.on('message', async order => process.send!(await carryOut(order as ProducerOrder)))
