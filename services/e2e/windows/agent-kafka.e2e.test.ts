import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { codecs, type PacketBatch, partitionKey } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique, until } from '#shared/bus/kafka-fixture.ts'
import { buildSingleFile } from '../../deploy/single-file/build.ts'
import { keepLatest, type Sessions, silenceAfter } from '../faults/recorded-hosts.ts'
import { relay } from '../lab/relay.ts'
import { Services } from '../lab/services.ts'
import { startStack } from '../stack/stack.ts'
import { Wine, whatWineNeeds } from './wine.ts'

const missing = whatWineNeeds()
const partitions = 2
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

test('the one-file agent publishes to Kafka from Wine, and the sessions of a Windows program get their label', {
  skip: missing ?? false,
  timeout: 400_000,
}, async t => {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-wine-kafka-'))
  parts.defer(() => rmSync(folder, { recursive: true, force: true }))
  const wine = await Wine.create(folder)
  const agent = path.join(folder, 'proclabel.exe')
  await buildSingleFile('windows', agent)
  const stack = await startStack({ kafka: true, registry: true, redis: true })
  parts.defer(() => stack.stop())
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  await services.prepare(partitions)
  await services.start('matcher', ['--partitions', String(partitions)], 'reading')

  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'observer' })
  parts.defer(() => bus.close())
  const sessions: Sessions = new Map()
  let lastPackets: PacketBatch | undefined
  const topics = ['labeled-sessions', 'packets']
  const stop = new AbortController()
  const reading = (async () => {
    for await (const { records, commit } of bus.subscribe(topics, unique('observer'), stop.signal)) {
      for (const { topic, value } of records)
        if (topic === 'packets') lastPackets = codecs.packets.decode(value!)
        else keepLatest(sessions, codecs['labeled-sessions'].decode(value!))
      await commit()
    }
  })()
  parts.defer(async () => {
    stop.abort()
    await reading
  })

  // Kafka and the registry, from the loopback of this machine to that of Wine's namespace.
  const ports = [...stack.kafka!.brokers, new URL(stack.registry!.url).host].map(address =>
    Number(address.split(':')[1]),
  )
  const socketOf = (port: number) => path.join(folder, `${port}.sock`)
  for (const port of ports) {
    const server = await relay({ path: socketOf(port) }, { host: '127.0.0.1', port })
    parts.defer(() => void server.close())
  }
  const relays = [script('../lab/relay.ts'), ...ports.map(port => `${port}=${socketOf(port)}`)]
  const connection = `--brokers ${stack.kafka!.brokers.join(' ')} --registry ${stack.registry!.url}`
  const node = process.execPath
  const [ends, said, captured, waited] = ['ends.json', 'agent.txt', 'capture.txt', 'client.txt'].map(name =>
    path.join(folder, name),
  ) as [string, string, string, string]
  const { status, errors } = await wine.run(
    [
      `${node} ${relays.join(' ')} > ${folder}/relay.txt 2>&1 & until grep -qs ready ${folder}/relay.txt; do sleep 0.1; done; `,
      `$WINE ${agent} agent ${connection} --host desk --spool '${folder}/spool-agent' > ${said} 2>&1 < /dev/null & agent=$!; `,
      `until grep -qs 'polling sockets' ${said} || ! kill -0 $agent; do sleep 0.1; done; sleep 3; `,
      `${node} ${script('../../cli/main.ts')} capture -i lo ${connection} --filter 'host 127.0.0.2' --spool ${folder}/spool-capture > ${captured} 2>&1 & capture=$!; `,
      `until grep -qs '"capturing"' ${captured} || ! kill -0 $capture; do sleep 0.1; done; sleep 2; `,
      `$WINE_NODE '${script('client.mjs')}' '${ends}' > ${waited} 2>&1 < /dev/null || exit 9; `,
      'sleep 5; kill -TERM $capture; wait $capture; kill -KILL $agent; exit 0',
    ].join(''),
  )
  const told = () => [said, captured, waited].map(file => readFileSync(file, 'utf8')).join('\n') + errors
  assert.equal(status, 0, told())
  const { pid, tcp, udp } = JSON.parse(readFileSync(ends, 'utf8')) as { pid: number; tcp: number[]; udp: number[] }
  // For so long nothing comes that every session has ended.
  const silence = codecs.packets.encode(silenceAfter(lastPackets!))
  await bus.publish('packets', [{ key: partitionKey('desk'), value: silence }])
  const wanted = [...tcp.map(port => `tcp ${port}`), ...udp.map(port => `udp ${port}`)]
  const labeled = () =>
    new Map([...sessions.values()].filter(({ label }) => label).map(one => [`${one.proto} ${one.local_port}`, one]))
  await until('all have a label', () => wanted.every(key => labeled().has(key)), 60_000).catch(() => {})
  for (const key of wanted) {
    const session = labeled().get(key)
    assert.deepEqual(
      [session?.host_id, session?.label?.process, session?.label?.pid, session?.stage],
      ['desk', 'node.exe', pid, 'A'],
      `${key} of ${[...labeled().keys()]}; ${sessions.size} sessions\n${told()}`,
    )
  }
})
