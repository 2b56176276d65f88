import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codecs, type Host, type SocketSnapshot } from '#schemas'
import { type AgentOptions, type AgentTopic, runAgent } from './agent.ts'
import type { EventSource } from './event-source.ts'
import { HostRecorder } from './host-record.ts'
import { TimedSource } from './timed-source-fixture.ts'

function collect(): {
  records: { topic: AgentTopic; record: Host | SocketSnapshot }[]
  publish: AgentOptions['publish']
} {
  const records: { topic: AgentTopic; record: Host | SocketSnapshot }[] = []
  return { records, publish: (topic, record) => void records.push({ topic, record: record as Host | SocketSnapshot }) }
}

function pollsOf(records: { topic: AgentTopic; record: Host | SocketSnapshot }[]): SocketSnapshot['polls'] {
  return records.flatMap(({ topic, record }) => (topic === 'socket-snapshots' ? (record as SocketSnapshot).polls : []))
}

test('hosts first, then messages of about a second, and the rest at the end', async () => {
  const { records, publish } = collect()
  const source = new TimedSource()
  const signal = AbortSignal.timeout(2300)
  const statistics = await runAgent({
    source,
    publish,
    signal,
    hostId: 'desk',
    pollPeriodMs: 20,
    keyframePeriodMs: 2000,
  })
  assert.deepEqual(
    records.map(({ topic }) => topic),
    ['hosts', 'socket-snapshots', 'socket-snapshots', 'socket-snapshots'],
  )
  for (const { topic, record } of records) codecs[topic].encode(record as never)
  const host = records[0]!.record as Host
  assert.deepEqual([host.host_id, host.os, host.poll_period_us], ['desk', 'linux', 20_000])
  assert.ok(host.addresses.some(({ ip }) => ip === '127.0.0.1'))
  const messages = records.slice(1).map(({ record }) => record as SocketSnapshot)
  assert.deepEqual(
    messages.map(message => [message.seq, message.polls[0]?.kind]),
    [
      [0, 'keyframe'],
      [1, 'delta'],
      [2, 'keyframe'],
    ],
  )
  assert.equal(pollsOf(records).length, source.polls)
  assert.deepEqual([statistics.polls, statistics.messages, statistics.droppedMessages], [source.polls, 3, 0])
  assert.equal(source.closed, 1)
})

test('polling goes on while the publisher is busy; nothing is lost or out of order', async () => {
  const seqs: number[] = []
  const publish: AgentOptions['publish'] = async (topic, record) => {
    await sleep(700)
    if (topic === 'socket-snapshots') seqs.push((record as SocketSnapshot).seq)
  }
  const source = new TimedSource()
  await runAgent({ source, publish, signal: AbortSignal.timeout(1200), pollPeriodMs: 20 })
  assert.ok(source.polls > 40)
  assert.deepEqual(seqs, [0, 1])
})

test('after a message that the publisher had to drop comes a keyframe', async () => {
  const messages: SocketSnapshot[] = []
  const publish: AgentOptions['publish'] = (topic, record) => {
    if (topic !== 'socket-snapshots') return true
    messages.push(record as SocketSnapshot)
    return messages.length !== 2
  }
  const { droppedMessages } = await runAgent({
    source: new TimedSource(),
    publish,
    signal: AbortSignal.timeout(3200),
    pollPeriodMs: 20,
    keyframePeriodMs: 60_000,
  })
  assert.equal(droppedMessages, 1)
  assert.deepEqual(
    messages.map(({ seq, polls }) => [seq, polls[0]!.kind]),
    [
      [0, 'keyframe'],
      [1, 'delta'],
      [2, 'keyframe'],
      [3, 'delta'],
    ],
  )
})

test('a failing publisher or source ends the agent with its error', async () => {
  const signal = AbortSignal.timeout(10_000)
  const source = new TimedSource()
  const publish = () => Promise.reject(new Error('disk full'))
  await assert.rejects(runAgent({ source, publish, signal }), /disk full/)
  assert.equal(source.closed, 1)
  const broken = new TimedSource(() => {
    throw new Error('no netlink')
  })
  await assert.rejects(runAgent({ source: broken, publish: collect().publish, signal }), /no netlink/)
  assert.equal(broken.closed, 1)
})

test('while events tell everything polls are rare and events are still fetched; after a loss polls are frequent at once', async () => {
  const { records, publish } = collect()
  const source = new TimedSource()
  let reads = 0
  let isLost = false
  const events: EventSource = {
    mechanism: 'tracepoint',
    complete: true,
    read: () => {
      reads++
      const lost = isLost ? 7 : 0
      isLost = false
      return { untilUs: Date.now() * 1000, lost, events: [], processes: [] }
    },
    close: () => {},
  }
  const stop = new AbortController()
  const running = runAgent({
    source,
    events,
    publish,
    signal: stop.signal,
    pollPeriodMs: 20,
    calmPollPeriodMs: 400,
  })
  while (source.polls < 4) await sleep(10)
  assert.ok(reads > source.polls, `${reads} looks at events for 4 polls`)
  isLost = true
  while (isLost) await sleep(1)
  const calmPolls = source.polls
  const calmReads = reads
  while (reads < calmReads + 40) await sleep(10)
  stop.abort()
  const statistics = await running
  assert.ok(source.polls - calmPolls >= 38, `${source.polls - calmPolls} polls for 40 looks at events`)
  assert.equal(statistics.pollPeriodMs, 20)
  const told = records.filter(({ topic }) => topic === 'hosts').map(({ record }) => (record as Host).poll_period_us)
  assert.ok(told.includes(400_000), `periods told: ${told}`)
})

test('the host is told at the start, when addresses or its pace change, and once a minute', () => {
  const own = (ip: string) => ({ ip, namespace: null })
  let addresses: ReturnType<typeof own>[] | null = null
  const host = new HostRecorder('desk', 'linux', () => addresses)
  const second = 1_000_000
  const span = (record: Host | null) => record?.addresses.map(({ ip, since_us, until_us }) => [ip, since_us, until_us])
  assert.deepEqual(span(host.next(0.5 * second, 50)), [])
  assert.equal(host.next(0.6 * second, 50), null)
  addresses = [own('192.0.2.1')]
  assert.deepEqual(span(host.next(1 * second, 50)), [['192.0.2.1', null, null]])
  assert.equal(host.next(2 * second, 50), null)
  addresses = [own('192.0.2.1'), own('2001:db8::1')]
  assert.deepEqual(span(host.next(3 * second, 50)), [
    ['192.0.2.1', null, null],
    ['2001:db8::1', 2 * second, null],
  ])
  addresses = [own('2001:db8::1')]
  const ended = [
    ['192.0.2.1', null, 4 * second],
    ['2001:db8::1', 2 * second, null],
  ]
  assert.deepEqual(span(host.next(4 * second, 50)), ended)
  assert.equal(host.next(5 * second, 50), null)
  addresses = null
  assert.equal(host.next(6 * second, 50), null)
  assert.deepEqual(span(host.next(64 * second, 50)), ended)
  assert.equal(host.next(65 * second, 500)?.poll_period_us, 500_000)
  assert.equal(host.next(66 * second, 500), null)
  assert.ok(host.next(66 * second - 3600 * second, 500), 'the clock was set back by an hour')
})
