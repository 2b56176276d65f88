import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type LabeledSession, PacketBatchBuilder } from '#schemas'
import type { Headers } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique, until } from '#shared/bus/kafka-fixture.ts'
import { traceHeader } from '#shared/bus/trace-context.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import { inputTopics, matcherGroup } from '../matcher/matcher.ts'
import { differences } from './faults/pipeline.ts'
import { keepLatest, labeledInProcess, type Sessions } from './faults/recorded-hosts.ts'
import { LabNetwork } from './lab/network.ts'
import { namedCurl } from './lab/programs.ts'
import { readTopics } from './lab/read-topics.ts'
import { startWorld } from './lab/recording.ts'
import { bringPorts } from './lab/relay.ts'
import { Services, serviceUsers } from './lab/services.ts'
import { createCounter, Traffic } from './lab/traffic.ts'
import { score, scoreTable, Truth } from './lab/truth.ts'
import { startStack } from './stack/stack.ts'

const canMakeNamespaces = process.getuid?.() === 0 && spawnSync('ip', ['netns', 'list']).status === 0
if (!canMakeNamespaces && process.env.CI === 'true') throw new Error('needs root and iproute2')
const skip = canMakeNamespaces ? false : 'needs root and iproute2'

/** `desk` and `shed` are in one partition, `lab` in the other. */
const hosts = ['desk', 'lab', 'shed']
const partitions = 2
/** A server name that so many sessions of `desk` teach, and so many of `shed`, whose agent is gone, are told by. */
const commonName = 'mirror.example.com'
const teaching = 32
const taught = 5
/** All that agents and capture publish begins a trace: of half, none may lead to one of the few writes that tell sessions. */
const traced = ['--trace-one-in', '1']
/** So long is the silence after the traffic: every session has ended. */
const silenceUs = 400_000_000
/** The resolver looks every 30 s. */
const resolverMs = 90_000
const settleMs = 60_000

/** A stack, services on it and a network of hosts, all gone when the test is over. */
async function deploy(t: TestContext, secured: boolean) {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-pipeline-'))
  parts.defer(() => rmSync(folder, { recursive: true }))
  const stack = await startStack({ kafka: true, registry: true, redis: true, secured, users: serviceUsers })
  parts.defer(() => stack.stop())
  const network = new LabNetwork(`proclabel-${process.pid}`, hosts)
  parts.defer(() => network.close())
  const services = new Services(stack, network)
  parts.defer(() => services.kill())
  await Promise.all([services.prepare(partitions), startWorld(network, folder)])

  const urls = [...stack.kafka!.brokers.map(broker => `tcp://${broker}`), stack.registry!.url]
  const ports = urls.map(url => Number(new URL(url).port))
  for (const side of [...hosts, 'world']) parts.defer(await bringPorts(network, side, folder, ports))

  const registry = await RegistryCodecs.connect({
    registry: new Registry({ url: stack.registry!.url }),
    cacheFile: null,
    log: createLog('proof', 'silent'),
    metrics: registryMetrics(noMetrics),
    health: new Health().component('registry'),
    signal: new AbortController().signal,
  })
  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'proof', security: services.adminSecurity })
  parts.defer(() => bus.close())
  return { parts, folder, network, services, bus, codecs: registry.codecs, prepare: registry.prepare.bind(registry) }
}

type Deployment = Awaited<ReturnType<typeof deploy>>

/** The last record of every session, kept up to date until the test is over. */
function followSessions({ parts, bus, codecs }: Deployment): Sessions {
  const sessions: Sessions = new Map()
  const stop = new AbortController()
  const read = async () => {
    for await (const { records, commit } of bus.subscribe(['labeled-sessions'], unique('proof'), stop.signal)) {
      for (const { value } of records) keepLatest(sessions, codecs['labeled-sessions'].decode(value!))
      await commit()
    }
  }
  const reading = read()
  parts.defer(async () => {
    stop.abort()
    await reading
  })
  return sessions
}

/** Starts the agents and then the capture, once it can know all hosts. */
async function startProducers({ services, folder }: Deployment) {
  const agents = hosts.map(host =>
    services.start('agent', ['--host', host, '--spool', `${folder}/spool-${host}`, ...traced], 'polling sockets', host),
  )
  const [, , shed] = await Promise.all(agents)
  await services.withAdmin(async admin => {
    for (let known = 0; known < hosts.length; await sleep(100))
      known = (await admin.fetchTopicOffsets('hosts')).reduce((sum, { high }) => sum + Number(high), 0)
  })
  const from = ['--interface', 'eth0', '--sensor', 'mirror', '--spool', `${folder}/spool-mirror`, ...traced]
  const capture = await services.start('capture', from, 'capturing', 'world')
  return { shed: shed!, capture, agents: await Promise.all(agents.slice(0, 2)) }
}

/** What the programs of all hosts do; all that `shed` does comes after its agent has gone. */
async function makeTraffic(network: LabNetwork, truth: Truth, stopAgentOfShed: () => Promise<void>): Promise<void> {
  const next = createCounter()
  const [desk, lab, shed] = hosts.map((host, place) => new Traffic(network, truth, next, host, place))
  const ask = namedCurl(commonName)
  const teach = async () => {
    for (let i = 0; i < teaching; i += 8)
      await Promise.all(Array.from({ length: 8 }, () => desk!.alone('curl by name', at => ask(at, 400))))
  }
  await Promise.all([desk!.mixture(1), lab!.mixture(1), stopAgentOfShed()])
  await Promise.all([teach(), desk!.portReuse(), desk!.servers(), lab!.visitedBy(desk!)])
  for (let i = 0; i < taught; i++) await shed!.alone('curl of shed', at => ask(at, 0))
}

/** The mirror port is said to have been silent for long: sessions end. */
async function endSessions({ bus, codecs }: Deployment): Promise<void> {
  const nowUs = Date.now() * 1000
  const silence = { sensor_id: 'silence', run_id: unique('run'), seq: 0, until_us: nowUs + silenceUs, lost: 0 }
  const records = hosts.map(host_id => {
    const batch = new PacketBatchBuilder().build({ host_id, ...silence, names: [], dns: [] })
    return { key: host_id, value: codecs.packets.encode(batch) }
  })
  await bus.publish('packets', records)
}

/** What follows from a session's packets alone, as text: records that were decoded have classes. */
function toldByPackets({ first_us, last_us, tcp_flags, end_reason, community_id, ...more }: LabeledSession): string {
  const { sni, alpn, ja4, dns_name, splt, peer_session_id } = more
  const names = [community_id, sni, alpn, ja4, dns_name, peer_session_id]
  return JSON.stringify([first_us, last_us, tcp_flags, end_reason, names, splt])
}

/** Two hosts' sessions name each other, also where the hosts are different matchers'; answers with how many hosts' are named. */
function checkPeers(sessions: Sessions): Set<string | null> {
  const named = new Set<string | null>()
  for (const { session_id, peer_session_id, host_id, local_ip, remote_ip } of sessions.values()) {
    if (peer_session_id === null) continue
    const peer = sessions.get(peer_session_id)
    assert.deepEqual([peer?.peer_session_id, peer?.local_ip, peer?.remote_ip], [session_id, remote_ip, local_ip])
    named.add(host_id)
  }
  return named
}

/** The traces that were begun by what tells of each host: HOST TRACE_ID. */
const tracesOf = (records: readonly { hostId: string; headers: Headers | undefined }[]): Set<string> =>
  new Set(
    records.flatMap(({ hostId, headers }) => {
      const [, trace] =
        /^00-([0-9a-f]{32})-[0-9a-f]{16}-01$/.exec(Buffer.from(headers?.[traceHeader] ?? []).toString()) ?? []
      return trace === undefined ? [] : [`${hostId} ${trace}`]
    }),
  )

for (const secured of [false, true]) {
  const name = secured ? 'a secured stack, each service with the rights that `topics acls` prints' : 'a real stack'

  test(`agents, capture, two matchers and a resolver on ${name}`, { skip, timeout: 280_000 }, async t => {
    const deployment = await deploy(t, secured)
    const { services, network, bus, codecs, prepare } = deployment
    const matcher = () => services.start('matcher', ['--partitions', String(partitions)], 'reading')
    const resolver = () => services.start('resolver', ['--partitions', String(partitions)], 'reading')
    const [, , producers] = await Promise.all([
      Promise.all([matcher(), matcher(), resolver()]),
      0,
      startProducers(deployment),
    ])
    const sessions = followSessions(deployment)

    const truth = new Truth()
    await makeTraffic(network, truth, () => services.stop(producers.shed))
    await sleep(500)
    for (const producer of [producers.capture, ...producers.agents]) await services.stop(producer)
    await endSessions(deployment)

    const byName = () => [...sessions.values()].filter(({ host_id, sni }) => host_id === 'shed' && sni === commonName)
    const areTold = () => byName().length === taught && byName().every(({ stage }) => stage === 'N')
    await until('the resolver has told the sessions of a host without agent', areTold, resolverMs)
    const members = await services.withAdmin(
      async admin => (await admin.describeGroups([matcherGroup])).groups[0]!.members,
    )
    assert.equal(members.length, 2)

    const inputs = await readTopics(services, bus, [...inputTopics, 'resolutions'])
    assert.deepEqual(new Set(inputs.map(({ partition }) => partition)), new Set([0, 1]))
    const told = inputs.map(({ input }) => input)
    const expected = await labeledInProcess(told, { codecs, prepare })
    await until('all is told', () => differences(sessions, expected).length === 0, settleMs).catch(() => {})
    assert.deepEqual(differences(sessions, expected), [])
    for (const [id, record] of expected) assert.deepEqual(toldByPackets(sessions.get(id)!), toldByPackets(record))
    assert.deepEqual(checkPeers(sessions), new Set(['desk', 'lab']))
    const output = await readTopics(services, bus, ['labeled-sessions'])
    const begun = tracesOf(inputs.map(({ input, headers }) => ({ hostId: input.key, headers })))
    const ended = tracesOf(
      output.map(({ input, headers }) => {
        return { hostId: codecs['labeled-sessions'].decode(input.value).host_id!, headers }
      }),
    )
    assert.ok(ended.size > 0 && begun.size > ended.size)
    assert.deepEqual(
      [...ended].filter(trace => !begun.has(trace)),
      [],
      'a session goes on with a trace of its own host',
    )
    t.diagnostic(`${begun.size} traces begun, ${ended.size} go on to labeled sessions`)
    await services.stopAll()

    const pollsOf = (host: string) =>
      told
        .filter(({ topic, key }) => topic === 'socket-snapshots' && key === host)
        .flatMap(({ value }) => codecs['socket-snapshots'].decode(value).polls.map(({ time_us }) => time_us))
    const scored = hosts.flatMap(host => {
      const ofHost = [...sessions.values()].filter(({ host_id }) => host_id === host)
      return score(ofHost, truth, pollsOf(host))
    })
    for (const line of scoreTable(scored).split('\n')) t.diagnostic(line)
    assert.deepEqual(
      scored.filter(({ verdict }) => verdict === 'wrong'),
      [],
    )
    const missed = scored.filter(
      ({ polls, verdict, session }) => polls >= 2 && (verdict !== 'right' || session.stage !== 'A'),
    )
    assert.deepEqual(missed, [], 'all that two polls could see match directly')
    t.diagnostic(`${sessions.size} sessions from ${told.length} records, as in one process`)
  })
}
