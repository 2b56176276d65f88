import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { codecs, type Host, type PacketBatch, partitionKey, type SocketSnapshot } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique, until } from '#shared/bus/kafka-fixture.ts'
import { buildSingleFile } from '../../deploy/single-file/build.ts'
import { keepLatest, type Sessions, silenceAfter } from '../faults/recorded-hosts.ts'
import { relay } from '../lab/relay.ts'
import { Services, serviceUsers } from '../lab/services.ts'
import { readJsonLines } from '../lab/truth.ts'
import { startStack } from '../stack/stack.ts'
import { quiet, Wine, whatWineNeeds } from './wine.ts'

const missing = whatWineNeeds()
const partitions = 2
const metricsAddress = '127.0.0.1:9464'
/** An address that the host has for a while. */
const lateAddress = '192.0.2.7'
const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))

test('the agent as a service of Windows: starts with it, spools while Kafka is away, leaves nothing untold when it stops', {
  skip: missing ?? false,
  timeout: 400_000,
}, async t => {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-wine-kafka-'))
  parts.defer(() => rmSync(folder, { recursive: true, force: true }))
  const wine = await Wine.create(folder)
  parts.defer(() => wine.close())
  const installed = path.join(folder, 'Program Files')
  const agent = path.join(installed, 'proclabel.exe')
  mkdirSync(installed)
  await buildSingleFile('windows', agent)
  const stack = await startStack({ kafka: true, registry: true, redis: true, secured: true, users: serviceUsers })
  parts.defer(() => stack.stop())
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  await services.prepare(partitions)
  await services.start('matcher', ['--partitions', String(partitions)], 'reading')

  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'observer', security: services.adminSecurity })
  parts.defer(() => bus.close())
  const sessions: Sessions = new Map()
  const snapshots: SocketSnapshot[] = []
  let lastPackets: PacketBatch | undefined
  let host: Host | undefined
  const topics = ['labeled-sessions', 'packets', 'socket-snapshots', 'hosts']
  const stop = new AbortController()
  const reading = (async () => {
    for await (const { records, commit } of bus.subscribe(topics, unique('observer'), stop.signal)) {
      for (const { topic, value } of records) {
        if (topic === 'packets') lastPackets = codecs.packets.decode(value!)
        else if (topic === 'hosts') host = codecs.hosts.decode(value!)
        else if (topic === 'socket-snapshots') snapshots.push(codecs['socket-snapshots'].decode(value!))
        else keepLatest(sessions, codecs['labeled-sessions'].decode(value!))
      }
      await commit()
    }
  })()
  parts.defer(async () => {
    stop.abort()
    await reading
  })

  // Kafka and the registry, from the loopback of this machine to that of Wine's namespace.
  const [brokerPort, registryPort] = [stack.kafka!.brokers[0]!, new URL(stack.registry!.url).host].map(address =>
    Number(address.split(':')[1]),
  ) as [number, number]
  const socketOf = (port: number) => path.join(folder, `${port}.sock`)
  for (const port of [brokerPort, registryPort]) {
    const server = await relay({ path: socketOf(port) }, { host: '127.0.0.1', port })
    parts.defer(() => void server.close())
  }
  const node = process.execPath
  const relayTo = (port: number) =>
    `${node} ${script('../lab/relay.ts')} ${port}=${socketOf(port)} > ${folder}/${port}.txt 2>&1 & ` +
    `until grep -qs ready ${folder}/${port}.txt; do sleep 0.1; done; `

  const { caFile, users } = stack.kafka!.secured!
  copyFileSync(caFile, path.join(installed, 'ca.pem'))
  copyFileSync(users.agent!.passwordFile, path.join(installed, 'password'))
  const settings = {
    brokers: stack.kafka!.brokers,
    registry: stack.registry!.url,
    'kafka-ca-file': 'ca.pem',
    'kafka-username': 'agent',
    'kafka-password-file': 'password',
    host: 'desk',
    hide: ['users'],
    'metrics-address': metricsAddress,
  }
  writeFileSync(path.join(installed, 'agent.json'), JSON.stringify(settings))
  // Of Wine's folder for what services keep.
  const log = path.join(wine.driveC, 'users/Public/proclabel/agent.log')
  const [ends, metrics, reached, captured, waited] = [
    'ends.json',
    'metrics',
    'reached',
    'capture.txt',
    'client.txt',
  ].map(name => path.join(folder, name)) as [string, string, string, string, string]
  const untilItPolls = `until grep -qs 'polling sockets' '${log}'; do sleep 0.1; done; sleep 3; `
  // Wine starts its services with the first program, and ends them with the last.
  const program = "$WINE_NODE -e 'setTimeout(() => {}, 600_000)' > /dev/null 2>&1 < /dev/null & program=$!; "
  // An agent that came before Wine's driver of sockets has failed. Windows would start it again, Wine does not.
  const startAgain =
    `until $WINE_NODE -e 'os.networkInterfaces()' > /dev/null 2>&1 < /dev/null; do sleep 0.2; done; sleep 1; ` +
    '$WINE net start proclabel > /dev/null 2>&1 < /dev/null; '

  const first = await wine.run(
    [
      ...[relayTo(registryPort), program, quiet(`'${agent}' --config agent.json install`), untilItPolls],
      `kill $program; ${wine.shutDown}`,
    ].join(''),
  )
  assert.equal(first.status, 0, first.errors)
  const { status, errors } = await wine.run(
    [
      `mv '${log}' ${folder}/first.log; `,
      ...[relayTo(registryPort), program, startAgain, untilItPolls],
      `date +%s%6N > ${reached}; `,
      relayTo(brokerPort),
      `ip address add ${lateAddress}/32 dev lo; `,
      `${node} ${script('../../cli/main.ts')} capture -i lo ${services.connection('capture').join(' ')} --filter 'host 127.0.0.2' --spool ${folder}/spool-capture > ${captured} 2>&1 & capture=$!; `,
      `until grep -qs '"capturing"' ${captured} || ! kill -0 $capture; do sleep 0.1; done; sleep 2; `,
      `$WINE_NODE '${script('client.mjs')}' '${ends}' > ${waited} 2>&1 < /dev/null || exit 9; `,
      `ip address delete ${lateAddress}/32 dev lo; sleep 5; kill -TERM $capture; wait $capture; `,
      `${node} -e 'fetch("http://${metricsAddress}/metrics").then(answer => answer.text()).then(console.log)' > ${metrics}; `,
      quiet(`'${agent}' uninstall`),
      // Windows takes it away when it has ended.
      'while $WINE sc query proclabel > /dev/null 2>&1 < /dev/null; do sleep 0.2; done',
    ].join(''),
  )
  const told = () => [log, captured, waited].map(file => readFileSync(file, 'utf8')).join('\n') + errors
  assert.equal(status, 0, told())

  const lines = readJsonLines(log) as { msg: string; agent?: { messages: number } }[]
  assert.deepEqual(
    lines.map(({ msg }) => msg).filter(msg => ['stopping', 'summary', 'stopped'].includes(msg)),
    ['stopping', 'summary', 'stopped'],
    told(),
  )
  const { messages } = lines.find(({ msg }) => msg === 'summary')!.agent!
  const runs = () => Map.groupBy(snapshots, ({ run_id }) => run_id)
  await until('the last snapshot is there', () => [...runs().values()].at(-1)?.length === messages, 20_000).catch(
    () => {},
  )
  // The first run spooled all it saw; with Windows it ended.
  assert.equal(runs().size, 2)
  for (const run of runs().values()) {
    assert.deepEqual(
      run.map(({ seq }) => seq),
      run.map((_, place) => place),
    )
    assert.ok(run[0]!.polls[0]!.time_us < Number(readFileSync(reached, 'utf8')), 'nothing was spooled')
  }
  assert.equal([...runs().values()].at(-1)!.length, messages)
  assert.deepEqual([...new Set(snapshots.flatMap(({ processes }) => processes.map(({ user }) => user)))], [null])
  const addresses = new Map(host!.addresses.map(({ ip, since_us, until_us }) => [ip, [since_us, until_us]]))
  assert.deepEqual(
    [addresses.get('127.0.0.1'), addresses.get('::1')],
    [
      [null, null],
      [null, null],
    ],
  )
  const [sinceUs, untilUs] = addresses.get(lateAddress)!
  assert.ok(sinceUs! < untilUs!, `${lateAddress} from ${sinceUs} to ${untilUs}`)
  assert.match(readFileSync(metrics, 'utf8'), /^proclabel_agent_sockets\{service="agent"\} [1-9]/m)

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
    assert.match(session?.label?.path ?? '', /\\node\.exe$/)
    assert.ok(Math.abs(session!.label!.process_start_us! - session!.first_us) < 30e6)
    assert.deepEqual(
      [session?.host_id, session?.label?.process, session?.label?.pid, session?.stage],
      ['desk', 'node.exe', pid, 'A'],
      `${key} of ${[...labeled().keys()]}; ${sessions.size} sessions\n${told()}`,
    )
  }
})
