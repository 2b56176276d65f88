import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs from 'kafkajs'
import { codecs, type DeadLetter, type LabeledSession } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { grant, unique, until } from '#shared/bus/kafka-fixture.ts'
import { keepLatest, labeledInProcess, recordedHosts, type Sessions } from './faults/recorded-hosts.ts'
import { Services, serviceUsers } from './lab/services.ts'
import { startStack } from './stack/stack.ts'

const hostId = 'host-0'
const partitions = 2
const noEvent = '{"no event"'
const topic = 'winlogbeat'
/** What `topics acls` cannot know: which topic is the site's own. */
const mayReadItsTopic = {
  principal: 'User:import',
  host: '*',
  permissionType: kafkajs.AclPermissionTypes.ALLOW,
  operation: kafkajs.AclOperationTypes.READ,
  resourceType: kafkajs.AclResourceTypes.TOPIC,
  resourceName: topic,
  resourcePatternType: kafkajs.ResourcePatternTypes.LITERAL,
}

/** The event by which Sysmon would have told of a session, in the shape that Winlogbeat sends. */
function sysmonEvent(session: LabeledSession): string {
  const { proto, local_ip, local_port, remote_ip, remote_port, first_us, label, direction } = session
  const ends = [
    { ip: local_ip, port: local_port },
    { ip: remote_ip, port: remote_port },
  ]
  const [source, destination] = direction === 'in' ? ends.reverse() : ends
  return JSON.stringify({
    '@timestamp': new Date(first_us / 1000).toISOString(),
    winlog: {
      channel: 'Microsoft-Windows-Sysmon/Operational',
      provider_name: 'Microsoft-Windows-Sysmon',
      event_id: '3',
      computer_name: hostId,
      event_data: {
        UtcTime: new Date(first_us / 1000).toISOString().replace('T', ' ').replace('Z', ''),
        ProcessId: String(label!.pid),
        Image: `C:\\Programs\\${label!.process}.exe`,
        Protocol: proto,
        Initiated: String(direction !== 'in'),
        SourceIp: source!.ip,
        SourcePort: String(source!.port),
        DestinationIp: destination!.ip,
        DestinationPort: String(destination!.port),
      },
    },
  })
}

test('on a secured stack, events that a topic gathers label the sessions of their host, also where the importer was killed meanwhile', {
  timeout: 300_000,
}, async t => {
  const parts = new AsyncDisposableStack()
  t.after(() => parts.disposeAsync())
  const stack = await startStack({ kafka: true, redis: true, secured: true, users: serviceUsers })
  parts.defer(() => stack.stop())
  const { brokers } = stack.kafka!
  const services = new Services(stack, null)
  parts.defer(() => services.kill())
  await services.prepare(partitions)
  await services.withAdmin(async admin => {
    await admin.createTopics({ topics: [{ topic, numPartitions: 3 }], waitForLeaders: false })
    await grant(admin, [mayReadItsTopic])
  })
  const bus = new KafkaBus({ brokers, clientId: 'test', security: services.adminSecurity })
  parts.defer(() => bus.close())
  await services.start('matcher', ['--partitions', String(partitions)], 'reading')

  const sessions: Sessions = new Map()
  const letters: DeadLetter[] = []
  let eventsTold = 0
  const stop = new AbortController()
  const reading = (async () => {
    const topics = ['labeled-sessions', 'dead-letters', 'socket-events']
    for await (const { records, commit } of bus.subscribe(topics, unique('observer'), stop.signal)) {
      for (const { topic, value } of records)
        if (topic === 'dead-letters') letters.push(codecs['dead-letters'].decode(value!))
        else if (topic === 'socket-events') eventsTold += codecs['socket-events'].decode(value!).events.length
        else keepLatest(sessions, codecs['labeled-sessions'].decode(value!))
      await commit()
    }
  })()
  parts.defer(async () => {
    stop.abort()
    await reading
  })

  const inputs = await recordedHosts(1)
  const expected = [...(await labeledInProcess(inputs)).values()].filter(
    ({ proto, stage, label }) => proto === 'tcp' && stage === 'A' && label?.pid != null,
  )
  assert.ok(expected.length > 50, `${expected.length} sessions`)
  const packets = inputs.filter(({ topic }) => topic === 'packets')
  const silence = packets.pop()!
  for (const { topic, key, value } of packets) await bus.publish(topic, [{ key, value }])

  const events = expected.map(sysmonEvent)
  let importer = await services.start('import', ['--from-topic', topic], 'importing')
  const publish = (text: string, i: number) => bus.publish(topic, [{ key: `beat ${i}`, value: Buffer.from(text) }])
  await publish(noEvent, 0)
  await publish(JSON.stringify({ winlog: { channel: 'System', event_id: '7036', computer_name: hostId } }), 0)
  // Killed twice while events come and it tells of them.
  const half = Math.ceil(events.length / 2)
  for (const round of [events.slice(0, half), events.slice(half)]) {
    const before = eventsTold
    const publishing = (async () => {
      for (const [i, event] of round.entries()) {
        await publish(event, i)
        await sleep(20)
      }
    })()
    await until('it tells', () => eventsTold > before, 90_000)
    importer.child.kill('SIGKILL')
    await importer.outcome
    await publishing
    importer = await services.start('import', ['--from-topic', topic], 'importing')
  }
  await until('all is told', () => eventsTold >= events.length, 90_000)
  await bus.publish('packets', [{ key: silence.key, value: silence.value }])

  const byId = (session: LabeledSession) => sessions.get(session.session_id)
  const isLabeled = (session: LabeledSession) => byId(session)?.label?.process === `${session.label!.process}.exe`
  await until('all sessions have their label', () => expected.every(isLabeled), 90_000).catch(() => {})
  for (const session of expected) {
    const { label, stage, evidence } = byId(session)!
    assert.deepEqual(
      [label?.process, label?.pid, stage, evidence.source],
      [`${session.label!.process}.exe`, session.label!.pid, 'A', 'sysmon'],
    )
  }
  // The letter of a batch is told behind its events, and once more where the importer was killed before its commit.
  await until('the dead letter is told', () => letters.length > 0, 90_000).catch(() => {})
  const byPosition = new Map(letters.map(letter => [`${letter.partition} ${letter.offset}`, letter]))
  assert.deepEqual(
    [...byPosition.values()].map(({ topic, reason, detail, value }) => [topic, reason, detail, String(value)]),
    [['winlogbeat', 'undecodable', 'not-json', noEvent]],
  )
  t.diagnostic(`${events.length} events, told ${eventsTold} times`)
  await services.stop(importer)
})
