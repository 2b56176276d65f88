import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import avro from 'avsc'
import { type Codecs, codecs as ownCodecs, readPacketColumns, schemaOf, type Topic } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique, until } from '#shared/bus/kafka-fixture.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs, subjectOf } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import type { RecordedInput } from '../../embedded/recording-fixture.ts'
import { waitForOutput } from '../lab/network.ts'
import { Services } from '../lab/services.ts'
import { startStack } from '../stack/stack.ts'
import { differences } from './pipeline.ts'
import { keepLatest, labeledInProcess, recordedHosts, type Sessions } from './recorded-hosts.ts'

const partitions = 3

/** Kafka, Redis and a registry that can be frozen and killed; services by the command; gone with the test. */
async function deploy(t: TestContext) {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-registry-'))
  parts.defer(() => rmSync(folder, { recursive: true }))
  const stack = await startStack({ kafka: true, registry: true, redis: true })
  parts.defer(() => stack.stop())
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  await services.prepare(partitions)
  const client = new Registry({ url: stack.registry!.url })
  const { codecs } = await RegistryCodecs.connect({
    ...{ registry: client, cacheFile: null, log: createLog('test', 'silent'), metrics: registryMetrics(noMetrics) },
    ...{ health: new Health().component('registry'), signal: new AbortController().signal },
  })
  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'test' })
  parts.defer(() => bus.close())
  return { parts, folder, services, client, codecs, bus, registry: stack.registry!.node }
}

/** What is on a topic, as it comes. */
function follow(
  { parts, bus }: Awaited<ReturnType<typeof deploy>>,
  topic: Topic,
  take: (value: Uint8Array) => void,
): void {
  const stop = new AbortController()
  const reading = (async () => {
    for await (const { records, commit } of bus.subscribe([topic], unique('test'), stop.signal)) {
      for (const { value } of records) take(value!)
      await commit()
    }
  })()
  parts.defer(async () => {
    stop.abort()
    await reading
  })
}

/** A later version of packets, as a release to come may register it. */
const laterSchema = { ...(schemaOf('packets') as { fields: object[] }) }
laterSchema.fields = [...laterSchema.fields, { name: 'of_later', type: 'string', doc: 'A field to come.', default: '' }]
const laterType = avro.Type.forSchema(laterSchema as unknown as avro.Schema)

function asLater({ topic, key, value }: RecordedInput, id: number): RecordedInput {
  const head = Buffer.alloc(5)
  head.writeInt32BE(id, 1)
  const record = { ...ownCodecs.packets.decode(value), of_later: 'x' }
  return { topic, key, value: Buffer.concat([head, laterType.toBuffer(record)]) }
}

const asRegistered = (codecs: Codecs, { topic, key, value }: RecordedInput): RecordedInput => {
  const { decode } = ownCodecs[topic] as { decode: (value: Uint8Array) => unknown }
  const { encode } = codecs[topic] as { encode: (record: unknown) => Buffer }
  return { topic, key, value: encode(decode(value)) }
}

test('the registry away at start and later: services wait for it, or go on with what they know; nothing is lost', async t => {
  const inputs = await recordedHosts(4)
  const expected = await labeledInProcess(inputs)
  const deployment = await deploy(t)
  const { services, registry, codecs, bus, folder, client } = deployment
  const { id } = await client.register(subjectOf('packets'), JSON.stringify(laterSchema))
  const sessions: Sessions = new Map()
  follow(deployment, 'labeled-sessions', value => keepLatest(sessions, codecs['labeled-sessions'].decode(value)))
  const letters: string[] = []
  follow(deployment, 'dead-letters', value => {
    const { topic, reason, detail } = codecs['dead-letters'].decode(value)
    letters.push(`${topic}: ${reason}: ${detail}`)
  })
  const runs = new Set<string>()
  follow(deployment, 'socket-snapshots', value => {
    const { host_id, run_id } = codecs['socket-snapshots'].decode(value)
    if (host_id === 'real') runs.add(run_id)
  })
  const publish = async (part: readonly RecordedInput[]) => {
    for (const { topic, key, value } of part) await bus.publish(topic, [{ key, value }])
  }
  const third = Math.floor(inputs.length / 3)
  const cache = ['--registry-cache', join(folder, 'matcher-ids.json')]
  const startMatcher = (message: string) =>
    services.start('matcher', ['--partitions', `${partitions}`, ...cache], message)
  const startAgent = (message: string) =>
    services.start('agent', ['--host', 'real', '--spool', join(folder, 'spool')], message)

  registry.signal('SIGSTOP')
  const [matcher, agent] = await Promise.all([startMatcher('no schema ids yet'), startAgent('no schema ids yet')])
  await publish(inputs.slice(0, third).map(input => asRegistered(codecs, input)))
  registry.signal('SIGCONT')
  await until('sessions are told, and polls', () => sessions.size > 0 && runs.size === 1, 60_000)

  const waits = waitForOutput(matcher.child, 'records wait for their schema', 60_000)
  registry.signal('SIGSTOP')
  const later = inputs.slice(third, 2 * third)
  await publish(later.map(input => (input.topic === 'packets' ? asLater(input, id) : asRegistered(codecs, input))))
  await waits
  const learnt = waitForOutput(matcher.child, 'another version of the schema is read', 60_000)
  registry.signal('SIGCONT')
  await learnt

  await registry.kill()
  await Promise.all([services.stop(matcher), services.stop(agent)])
  await Promise.all([startMatcher('schema ids come from the cache'), startAgent('schema ids come from the cache')])
  await publish(inputs.slice(2 * third).map(input => asRegistered(codecs, input)))
  await until('polls of the next run come', () => runs.size === 2, 60_000)
  const told = () => differences(sessions, expected)
  await until('all is told', () => told().length === 0, 90_000).catch(() => {})
  assert.deepEqual(letters, [])
  assert.deepEqual(told().slice(0, 5), [])
  await sleep(0)
  await services.stopAll()
})

/** Each goes to a host of its own network, which only the capture of the test sees. */
const datagrams = { count: 20, address: '127.77.0.2', port: 4077 }

async function sendDatagrams(): Promise<void> {
  const socket = createSocket('udp4')
  for (let i = 0; i < datagrams.count; i++)
    await new Promise(sent => socket.send('datagram', datagrams.port, datagrams.address, sent))
  socket.close()
}

test('the registry away at start and later: a capture waits for it, or goes on with what it knows; no packet is lost', async t => {
  const deployment = await deploy(t)
  const { services, registry, codecs, folder } = deployment
  let packets = 0
  follow(deployment, 'packets', value => {
    packets += readPacketColumns(codecs.packets.decode(value)).packets
  })
  const come = (times: number) =>
    until(`${times * datagrams.count} packets come`, () => packets === times * datagrams.count, 60_000)
  const seen = ['--interface', 'lo', '--filter', `udp port ${datagrams.port}`, '--networks', `${datagrams.address}/32`]
  const start = (message: string) =>
    services.start('capture', [...seen, '--sensor', 'real', '--spool', join(folder, 'packets')], message)
  const capturing = ({ child }: Awaited<ReturnType<typeof start>>) => waitForOutput(child, '"msg":"capturing"', 60_000)

  registry.signal('SIGSTOP')
  const capture = await start('no schema ids yet')
  registry.signal('SIGCONT')
  await capturing(capture)
  await sendDatagrams()
  await come(1)

  registry.signal('SIGSTOP')
  await sendDatagrams()
  await come(2)

  await registry.kill()
  await services.stop(capture)
  await capturing(await start('schema ids come from the cache'))
  await sendDatagrams()
  await come(3)
  await services.stopAll()
})
