import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { ethernet, ipv4, udp } from '#core/decode/build-frame.ts'
import { codecs, type PacketBatch, readPacketColumns, type SocketSnapshot } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { createTopics, unique, until } from '#shared/bus/kafka-fixture.ts'
import { pcapHeader, pcapRecord } from '../../capture/files/write-pcap.ts'
import { type Stack, startStack } from '../stack/stack.ts'
import { CuttingProxy } from './cutting-proxy.ts'

/**
 * Agent and capture killed with SIGKILL, also while the broker is frozen: what they sent is on its way or in its socket buffers, no
 * acknowledgement comes, and what they had spooled is replayed by their next run.
 */
const command = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))
const desk = [10, 0, 0, 1]
const startUs = 1_700_000_000_000_000
const packetEveryUs = 5000
/** A batch or a message in the making covers up to a second; it then waits up to 1.25 s in memory; the rest is for a busy machine. */
const mostLostMs = 3500

let stack: Stack
let proxy: CuttingProxy
let bus: KafkaBus
let folder: string
const children = new Set<ChildProcess>()
const stopped = new AbortController()
let reading: Promise<void>
/** All that arrived, in order, repetitions too. */
const batches: PacketBatch[] = []
const snapshots: SocketSnapshot[] = []

before(async () => {
  proxy = await CuttingProxy.listen()
  stack = await startStack({ kafka: true, kafkaProxyPort: proxy.port })
  proxy.target = stack.kafka!.behindProxyPort!
  const { brokers } = stack.kafka!
  await createTopics(brokers, ['hosts', 'packets', 'socket-snapshots', 'socket-events'], 3)
  folder = mkdtempSync(join(tmpdir(), 'proclabel-faults-'))
  bus = new KafkaBus({ brokers, clientId: 'faults' })
  const host = {
    host_id: 'desk',
    names: [],
    addresses: [{ ip: desk.join('.'), since_us: null, until_us: null, namespace: null }],
    os: 'linux',
    agent_version: 'test',
    poll_period_us: null,
    boot_id: null,
    updated_us: startUs,
  }
  await bus.publish('hosts', [{ key: 'desk', value: codecs.hosts.encode(host) }])
  reading = (async () => {
    for await (const batch of bus.subscribe(['packets', 'socket-snapshots'], unique('faults'), stopped.signal)) {
      for (const { topic, value } of batch.records)
        if (topic === 'packets') {
          const batch = codecs.packets.decode(value!)
          // The agents of the other tests are hosts as well, of which the captures see nothing.
          if (batch.host_id === 'desk') batches.push(batch)
        } else snapshots.push(codecs['socket-snapshots'].decode(value!))
      await batch.commit()
    }
  })()
})

after(async () => {
  for (const child of children) child.kill('SIGKILL')
  stopped.abort()
  await reading
  await bus.close()
  await stack.stop()
  proxy.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A command of ours, which dies with this process. */
const run = (...args: string[]) => runVia(stack.kafka!.brokers[0]!, ...args)

function runVia(broker: string, ...args: string[]) {
  const all = [command, ...args, '--brokers', broker]
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, ...all], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  children.add(child)
  let log = ''
  child.stderr.on('data', text => {
    log += text
  })
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    children.delete(child)
    if (signal === 'SIGTERM') assert.equal(child.exitCode, 0, log)
  }
  /** Waits for what it does; says what it logged when that does not happen. */
  const does = (what: string, check: () => boolean) =>
    until(what, check).catch(error => {
      throw new Error(`${error.message}; the log of ${args[0]}:\n${log}`)
    })
  return { end, does }
}

/** A minute of packets, each with a remote port that tells its number. */
function writeCapture(): string {
  const records = Array.from({ length: 60_000_000 / packetEveryUs }, (_, i) => {
    const datagram = udp(4000, i + 1, new Uint8Array(20))
    return pcapRecord(
      startUs + i * packetEveryUs,
      ethernet(0x0800, ipv4(17, datagram, { from: desk, to: [10, 9, 9, 9] })),
    )
  })
  const path = join(folder, 'numbered.pcap')
  writeFileSync(path, Buffer.concat([pcapHeader(1), ...records]))
  return path
}

/** Numbers of the batch's packets. */
function numbersOf(batch: PacketBatch): number[] {
  const columns = readPacketColumns(batch)
  const ports = new Uint16Array(Uint8Array.from(batch.flow_port).buffer)
  return Array.from({ length: columns.packets }, (_, i) => ports[columns.packetFlow[i]! * 2 + 1]! - 1)
}

/** What a reader counts who skips, for each run, numbers that are not higher than the last; and how often it skipped. */
function counted<M extends { run_id: string; seq: number }>(messages: readonly M[]) {
  const runs = new Map<string, M[]>()
  let repeated = 0
  for (const message of messages) {
    const ofRun = runs.get(message.run_id) ?? []
    runs.set(message.run_id, ofRun)
    if (message.seq > (ofRun.at(-1)?.seq ?? -1)) ofRun.push(message)
    else repeated++
  }
  for (const ofRun of runs.values())
    assert.deepEqual(
      ofRun.map(({ seq }) => seq),
      ofRun.map((_, i) => i),
      'no message of a run is missing before its last',
    )
  return { runs: [...runs.values()], repeated }
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i)
const broker = () => stack.kafka!.nodes[0]!

for (const freeze of [false, true, true]) {
  const when = `killed ${freeze ? 'while the broker is frozen' : 'while all is well'}`

  test(`capture ${when}: no packet twice, none missing but the last moments`, async t => {
    batches.length = 0
    const capture = writeCapture()
    const spool = join(folder, unique('spool'))
    const start = () => run('capture', '--file', capture, '--realtime', '--spool', spool, '--sensor', 'mirror')
    const first = start()
    await first.does('packets flow', () => batches.some(batch => numbersOf(batch).length > 0))
    const wholeMs = () => (batches.flatMap(numbersOf).length * packetEveryUs) / 1000
    const beforeMs = performance.now() - wholeMs()
    if (freeze) broker().signal('SIGSTOP')
    await sleep((freeze ? 3500 : 300) + Math.random() * 1500)
    const killedMs = performance.now() - beforeMs
    await first.end('SIGKILL')
    if (freeze) broker().signal('SIGCONT')
    const firstRun = batches[0]!.run_id
    const second = start()
    await second.does('the next run’s packets flow', () =>
      batches.some(batch => batch.run_id !== firstRun && numbersOf(batch).length > 0),
    )
    await second.end('SIGTERM')
    await sleep(1000)
    const { runs, repeated } = counted(batches)
    assert.equal(runs.length, 2)
    for (const ofRun of runs) {
      const numbers = ofRun.flatMap(numbersOf)
      assert.deepEqual(numbers, range(numbers.length))
    }
    const gotMs = (runs[0]!.flatMap(numbersOf).length * packetEveryUs) / 1000
    t.diagnostic(`${Math.round(killedMs - gotMs)} ms lost of ${Math.round(killedMs)}; ${repeated} batches came twice`)
    assert.ok(killedMs - gotMs < mostLostMs, `${gotMs} of ${killedMs} ms arrived`)
  })

  test(`agent ${when}: no poll twice, none missing but the last moments`, async t => {
    snapshots.length = 0
    const spool = join(folder, unique('spool'))
    const host = unique('host')
    const start = () => run('agent', '--host', host, '--spool', spool)
    const first = start()
    await first.does('polls come', () => snapshots.length > 0)
    if (freeze) broker().signal('SIGSTOP')
    await sleep((freeze ? 3500 : 300) + Math.random() * 1500)
    const killedUs = Date.now() * 1000
    await first.end('SIGKILL')
    if (freeze) broker().signal('SIGCONT')
    const firstRun = snapshots[0]!.run_id
    const second = start()
    await second.does('the next run’s polls come', () => snapshots.some(({ run_id }) => run_id !== firstRun))
    await second.end('SIGTERM')
    await sleep(1000)
    const { runs, repeated } = counted(snapshots)
    assert.equal(runs.length, 2)
    for (const ofRun of runs) {
      const polls = ofRun.flatMap(({ polls }) => polls.map(({ poll_seq }) => poll_seq))
      assert.deepEqual(polls, range(polls.length))
    }
    const lostMs = (killedUs - runs[0]!.at(-1)!.polls.at(-1)!.time_us) / 1000
    t.diagnostic(`${Math.round(lostMs)} ms lost; ${repeated} messages came twice`)
    assert.ok(lostMs < mostLostMs, `${lostMs} ms`)
  })
}

test('connections of capture and agent are cut as the broker acknowledges: no packet and no poll missing or twice', async t => {
  batches.length = 0
  snapshots.length = 0
  const via = (...args: string[]) =>
    runVia(`127.0.0.1:${proxy.port}`, ...args, '--spool', join(folder, unique('spool')))
  const capture = via('capture', '--file', writeCapture(), '--realtime', '--sensor', 'mirror')
  const agent = via('agent', '--host', unique('host'))
  await capture.does('packets flow', () => batches.some(batch => numbersOf(batch).length > 0))
  await agent.does('polls come', () => snapshots.length > 0)
  const wholeMs = () => (counted(batches).runs.flat().flatMap(numbersOf).length * packetEveryUs) / 1000
  const beforeMs = performance.now() - wholeMs()
  for (const wanted = 6; proxy.cuts < wanted; await sleep(500)) proxy.cut()
  const [soFarMs, nowUs] = [performance.now() - beforeMs, Date.now() * 1000]
  const recovered = async (does: Promise<void>, what: string) => {
    await does
    t.diagnostic(`${what} of after the last cut came ${Math.round(performance.now() - proxy.lastCutMs)} ms after it`)
  }
  await Promise.all([
    recovered(
      capture.does('packets of after the last cut come', () => wholeMs() > soFarMs),
      'packets',
    ),
    recovered(
      agent.does('polls of after the last cut come', () => snapshots.at(-1)!.polls.at(-1)!.time_us > nowUs),
      'polls',
    ),
  ])
  await Promise.all([capture.end('SIGTERM'), agent.end('SIGTERM')])
  await sleep(1000)
  const packets = counted(batches)
  const polls = counted(snapshots)
  assert.deepEqual([packets.runs.length, polls.runs.length], [1, 1])
  const numbers = packets.runs[0]!.flatMap(numbersOf)
  assert.deepEqual(numbers, range(numbers.length))
  const pollNumbers = polls.runs[0]!.flatMap(({ polls }) => polls.map(({ poll_seq }) => poll_seq))
  assert.deepEqual(pollNumbers, range(pollNumbers.length))
  t.diagnostic(
    `${proxy.cuts} connections cut; ${numbers.length} packets in ${batches.length} batches, ${packets.repeated} of them twice`,
  )
  t.diagnostic(`${pollNumbers.length} polls in ${snapshots.length} messages, ${polls.repeated} of them twice`)
})
