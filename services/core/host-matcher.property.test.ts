import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { SocketEvents, SocketSnapshot } from '#schemas'
import { defaultConstants } from './constants.ts'
import type { SessionFacts } from './session-facts.ts'
import { at, type EventText, type Row, session, TestHost, words } from './test-host.ts'

/** A minute of a small machine: connections of several programs, some too brief for a poll, seen by polls and events. */
interface Connection {
  startMs: number
  lastsMs: number
  port: number
  remote: string
  process: string
}

const connections = fc.uniqueArray(
  fc.record({
    startMs: fc.integer({ min: 100, max: 50_000 }),
    lastsMs: fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 61, max: 5_000 })),
    port: fc.integer({ min: 40_000, max: 40_400 }),
    remote: fc.constantFrom('1.1.1.1:443', '2.2.2.2:80', '3.3.3.3:53'),
    process: fc.constantFrom('curl', 'firefox', 'python'),
  }),
  { minLength: 1, maxLength: 30, selector: connection => connection.port },
)

const endsOf = ({ port, remote }: Connection) => `tcp 10.0.0.1:${port} ${remote}`

type Message = { snapshot: SocketSnapshot } | { events: SocketEvents }

/** What the agent sends: polls every 50 ms, events once a second; each by a clock of its own. */
function record(host: TestHost, all: readonly Connection[], pollShiftMs = 0, eventShiftMs = 0): Message[] {
  const messages: Message[] = []
  for (let ms = 0; ms <= 60_000; ms += 50) {
    const alive = all.filter(one => one.startMs <= ms && ms < one.startMs + one.lastsMs)
    const rows = alive.map((one): Row => [endsOf(one), one.process])
    messages.push({ snapshot: host.pollMessage(ms + pollShiftMs, ...rows) })
    if (ms % 1_000 !== 0) continue
    const events = eventsOf(all, ms - 1_000, ms).map(event => ({ ...event, ms: event.ms + eventShiftMs }))
    messages.push({ events: host.eventMessage('etw', ms + eventShiftMs, events) })
  }
  return messages
}

function eventsOf(all: readonly Connection[], fromMs: number, untilMs: number): EventText[] {
  const events: EventText[] = []
  for (const one of all) {
    const { process, startMs, lastsMs } = one
    events.push({ ms: startMs, kind: 'connect', ends: endsOf(one), process })
    events.push({ ms: startMs + lastsMs, kind: 'close', ends: endsOf(one), process })
  }
  return events.filter(({ ms }) => ms > fromMs && ms <= untilMs).sort((a, b) => a.ms - b.ms)
}

function apply(host: TestHost, message: Message): void {
  if ('snapshot' in message) host.matcher.applySnapshot(message.snapshot)
  else host.matcher.applyEvents(message.events)
}

function factsOf({ port, remote, startMs, lastsMs }: Connection): SessionFacts {
  return session(`tcp ${port} > ${remote}`, startMs, { lastUs: at(startMs + lastsMs) })
}

function labels(host: TestHost, all: readonly Connection[]): string[] {
  const sessions = all.map(factsOf).sort((a, b) => a.firstUs - b.firstUs)
  for (const facts of sessions) host.matcher.observeSession(facts)
  return sessions.map(facts => `${facts.localPort} ${words(host.matcher.judge(facts))}`)
}

function truth(all: readonly Connection[]): string[] {
  const owner = { curl: 1000, firefox: 1001, python: 1005 } as Record<string, number>
  const sorted = [...all].sort((a, b) => a.startMs - b.startMs)
  return sorted.map(({ port, process }) => `${port} A ${process}:${owner[process]}`)
}

test('polls and events together label every connection with its owner', () => {
  fc.assert(
    fc.property(connections, all => {
      const host = new TestHost()
      for (const message of record(host, all)) apply(host, message)
      assert.deepEqual(labels(host, all), truth(all))
    }),
    { numRuns: 40 },
  )
})

test('delivering any message again changes nothing', () => {
  fc.assert(
    fc.property(connections, fc.array(fc.nat(), { maxLength: 50 }), (all, again) => {
      const host = new TestHost()
      const messages = record(host, all)
      for (const [i, message] of messages.entries()) {
        apply(host, message)
        for (const pick of again) apply(host, messages[pick % (i + 1)]!)
      }
      assert.deepEqual(labels(host, all), truth(all))
      const calm = new TestHost()
      for (const message of messages) apply(calm, message)
      assert.equal(host.matcher.intervalCount, calm.matcher.intervalCount)
    }),
    { numRuns: 20 },
  )
})

test('whether polls or events come first does not change a label', () => {
  fc.assert(
    fc.property(connections, fc.integer({ min: 0, max: 40 }), (all, lateBy) => {
      const host = new TestHost()
      // Events stay behind the polls by up to two seconds, and are merged when they come.
      const waiting: Message[] = []
      let polls = 0
      for (const message of record(host, all)) {
        if ('events' in message) waiting.push(message)
        else {
          apply(host, message)
          if (++polls % (lateBy + 1) === 0) for (const late of waiting.splice(0)) apply(host, late)
        }
      }
      for (const late of waiting) apply(host, late)
      assert.deepEqual(labels(host, all), truth(all))
    }),
    { numRuns: 30 },
  )
})

test('clocks of polls and events that are seconds off, each its own way, are found out', () => {
  const shift = fc.integer({ min: -12_000, max: 12_000 })
  fc.assert(
    fc.property(connections, shift, shift, (all, pollShiftMs, eventShiftMs) => {
      const host = new TestHost()
      for (const message of record(host, all, pollShiftMs, eventShiftMs)) apply(host, message)
      assert.deepEqual(labels(host, all), truth(all))
      const offsetUs = host.matcher.clockOffsets().get('etw')!
      assert.ok(Math.abs(offsetUs - eventShiftMs * 1_000) <= 25_000, `${offsetUs} for ${eventShiftMs} ms`)
    }),
    { numRuns: 30 },
  )
})

test('polls alone never name a wrong owner', () => {
  fc.assert(
    fc.property(connections, all => {
      const host = new TestHost({ stages: [] })
      for (const message of record(host, all)) if ('snapshot' in message) apply(host, message)
      const right = new Set(truth(all))
      for (const label of labels(host, all)) assert.ok(right.has(label) || label.endsWith('unknown too-short'), label)
    }),
    { numRuns: 30 },
  )
})

test('memory is bounded: by number, and by age', () => {
  const host = new TestHost({ maxIntervals: 1_000 })
  let most = 0
  for (let i = 0; i < 5_000; i++) {
    const ends = `tcp 10.0.0.1:${30_000 + (i % 30_000)} 1.1.1.1:443`
    host.events('sysmon', i * 10, [{ ms: i * 10, kind: 'connect', ends, process: 'curl' }])
    most = Math.max(most, host.matcher.intervalCount)
  }
  assert.ok(most <= 1_001, String(most))
  const newest = session('tcp 34999 > 1.1.1.1:443', 49_990)
  assert.equal(words(host.judge(newest)), 'A curl:1000', 'the newest stay')
  host.matcher.expire(at(60_000) + 2 * defaultConstants.keepUs)
  assert.equal(host.matcher.intervalCount, 0)
})
