import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { codecs, type DeadLetter } from '#schemas'
import type { Bus, BusRecord } from '#shared/bus/bus.ts'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { unique, until } from '#shared/bus/kafka-fixture.ts'
import { HostKey, signedBus } from '#shared/bus/signed-records.ts'
import type { RecordedInput } from '../embedded/recording-fixture.ts'
import { differences } from './faults/pipeline.ts'
import { keepLatest, labeledInProcess, recordedHosts, type Sessions } from './faults/recorded-hosts.ts'
import { Services, serviceUsers } from './lab/services.ts'
import { freePort } from './stack/ports.ts'
import { startStack } from './stack/stack.ts'

const [victim, liar, third] = ['host-0', 'host-1', 'third'] as const
const partitions = 2
const settleMs = 90_000

/** What an agent of the victim would say, but for the names of the programs. */
function lieOf({ topic, key, value }: RecordedInput): RecordedInput {
  const record = codecs['socket-snapshots'].decode(value)
  const processes = record.processes.map(process => ({ ...process, name: 'innocent' }))
  return { topic, key, value: codecs['socket-snapshots'].encode({ ...record, processes }) }
}

test('on a secured stack no agent is believed what it says of another host', { timeout: 240_000 }, async t => {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-lies-'))
  parts.defer(() => rmSync(folder, { recursive: true }))
  const users = [...serviceUsers, victim, liar]
  const stack = await startStack({ kafka: true, redis: true, secured: true, users })
  parts.defer(() => stack.stop())
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  const agents = [victim, liar, 'agent'].map(name => `User:${name}`)
  await services.prepare(partitions, ['--principal-agent', ...agents])

  const { secured, brokers } = stack.kafka!
  const { caFile, mutualTls, users: principals } = secured!
  /** By the certificate of a principal; its key is also the host's. */
  const certified = (name: string) => {
    const { certFile, keyFile } = principals[name]!
    const bus = new KafkaBus({ brokers: mutualTls, clientId: name, security: { caFile, certFile, keyFile } })
    parts.defer(() => bus.close())
    const hostKey = new HostKey(keyFile)
    return { bus, hostKey, signed: signedBus(bus, hostKey) }
  }
  const honest = certified(victim)
  const mallory = certified(liar)
  const sensor = certified('capture').bus
  const observer = new KafkaBus({ brokers, clientId: 'observer', security: services.adminSecurity })
  parts.defer(() => observer.close())

  const hostKeys = `${folder}/host-keys`
  const thirdKey = principals.agent!.keyFile
  const lines = [
    [victim, honest.hostKey],
    [liar, mallory.hostKey],
    [third, new HostKey(thirdKey)],
  ] as const
  writeFileSync(hostKeys, lines.map(([host, { publicKey }]) => `${host} ${publicKey}\n`).join(''))

  const metricsAddress = `127.0.0.1:${await freePort()}`
  const options = ['--partitions', String(partitions), '--metrics-address', metricsAddress]
  await services.start('matcher', [...options, '--host-keys', hostKeys], 'reading')
  const told = ['--host', third, '--spool', `${folder}/spool`, '--host-key-file', thirdKey]
  const agentOfThird = await services.start('agent', told, 'polling sockets')

  const stop = new AbortController()
  const sessions: Sessions = new Map()
  const letters: DeadLetter[] = []
  const reading = (async () => {
    const topics = ['labeled-sessions', 'dead-letters']
    for await (const { records, commit } of observer.subscribe(topics, unique('observer'), stop.signal)) {
      for (const { topic, value } of records)
        if (topic === 'dead-letters') letters.push(codecs['dead-letters'].decode(value!))
        else keepLatest(sessions, codecs['labeled-sessions'].decode(value!))
      await commit()
    }
  })()
  parts.defer(async () => {
    stop.abort()
    await reading
  })

  const inputs = await recordedHosts(2)
  const lied: RecordedInput[] = []
  for (const input of inputs) {
    const own: Pick<Bus, 'publish'> =
      input.topic === 'packets' ? sensor : input.key === victim ? honest.signed : mallory.signed
    if (input.topic === 'socket-snapshots' && input.key === victim) {
      const { topic, ...record } = lieOf(input)
      await mallory.signed.publish(topic, [record])
      lied.push({ topic, ...record })
    }
    await own.publish(input.topic, [{ key: input.key, value: input.value }])
    lied.push(input)
  }
  const snapshots = inputs.filter(({ topic, key }) => topic === 'socket-snapshots' && key === victim).length
  const hostRecord = inputs.find(({ topic, key }) => topic === 'hosts' && key === victim)!
  // Somebody's signature of other words: what a liar could have if it might read, which it may not.
  const copied = honest.hostKey.sign('hosts', { key: victim, value: hostRecord.value })
  const otherLies: readonly [reason: string, publish: Promise<void>][] = [
    ['unsigned', mallory.bus.publish('hosts', [{ key: victim, value: hostRecord.value }])],
    ['unsigned', mallory.bus.publish('hosts', [{ key: victim, value: null }])],
    ['forged', mallory.signed.publish('hosts', [{ key: victim, value: null }])],
    ['forged', mallory.bus.publish('socket-events', [copied as BusRecord])],
    ['host-unknown', mallory.signed.publish('hosts', [{ key: 'nobody', value: hostRecord.value }])],
  ]
  await Promise.all(otherLies.map(([, publish]) => publish))
  await assert.rejects(mallory.bus.publish('packets', [{ key: victim, value: hostRecord.value }]), /not authorized/i)

  const expected = await labeledInProcess(inputs)
  const ofBoth = () => new Map([...sessions].filter(([, { host_id }]) => host_id !== third))
  await until('all is told', () => differences(ofBoth(), expected).length === 0, settleMs).catch(() => {})
  assert.deepEqual(differences(ofBoth(), expected).slice(0, 5), [])
  const harm = differences(await labeledInProcess(lied), expected).length
  assert.ok(harm > 10, `believed, the lies would have changed ${harm} sessions`)
  t.diagnostic(`${expected.size} sessions right; believed, the lies would have changed ${harm} of them`)

  const reasons = [...otherLies.map(([reason]) => reason), ...Array.from({ length: snapshots }, () => 'forged')]
  await until('all lies are buried', () => letters.length >= reasons.length)
  assert.deepEqual(letters.map(({ reason }) => reason).sort(), reasons.sort())
  assert.ok(letters.every(({ step }) => step === 'matcher'))
  const ask = async (path: string) => (await fetch(`http://${metricsAddress}/${path}`)).text()
  assert.deepEqual([await ask('healthz'), await ask('readyz')], ['ok\n', 'ok\n'])
  const metrics = await ask('metrics')
  const counted = (series: string) =>
    Number(new RegExp(`^proclabel_${series}[^}]*\\} (\\d+)$`, 'm').exec(metrics)?.[1] ?? Number.NaN)
  for (const [reason, list] of Map.groupBy(reasons, reason => reason))
    assert.equal(counted(`dlq_messages_total\\{reason="${reason}"`), list.length, reason)
  assert.ok(counted('consumer_rebalances_total\\{') > 0)
  assert.ok(counted('redis_command_duration_seconds_count\\{[^}]*command="save",result="ok"') > 0)
  assert.equal(counted('matcher_hosts\\{'), 3, 'the third host, of the command, is believed too')

  await services.stop(agentOfThird)
  await services.stopAll()
})
