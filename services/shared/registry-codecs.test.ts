import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type SocketEvents, type Topic, topics } from '#schemas'
import { ProclabelError } from './errors.ts'
import { Health } from './health.ts'
import { createLog } from './log.ts'
import { noMetrics } from './metrics.ts'
import { RegistryCodecs, schemaText, subjectOf } from './registry-codecs.ts'
import { registryMetrics } from './service-metrics.ts'

/** A registry that can be away, and counts what it is asked. */
class TestRegistry {
  isAway = false
  asked = 0
  readonly registered: { subject: string; id: number; schema: string }[] = []

  constructor(firstId: number) {
    for (const topic of Object.keys(topics) as Topic[]) this.add(topic, firstId++, schemaText(topic))
  }

  add(topic: Topic, id: number, schema: string): void {
    this.registered.push({ subject: subjectOf(topic), id, schema })
  }

  idOf = async (subject: string, schema: string) =>
    this.#answer(this.registered.find(known => known.subject === subject && known.schema === schema)?.id)
  schema = async (id: number) => this.#answer(this.registered.find(known => known.id === id)?.schema)

  #answer<T>(found: T | undefined): T | null {
    this.asked++
    if (this.isAway) throw new ProclabelError('PROCLABEL_REGISTRY', 'the schema registry is away', { retryable: true })
    return found ?? null
  }
}

function setUp(t: TestContext, firstId = 10) {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-registry-'))
  const stop = new AbortController()
  t.after(() => {
    stop.abort()
    rmSync(folder, { recursive: true })
  })
  const registry = new TestRegistry(firstId)
  const cacheFile = join(folder, 'schemas.json')
  const health = new Health()
  const connect = (from = registry) =>
    RegistryCodecs.connect({
      registry: from,
      cacheFile,
      log: createLog('test', 'silent'),
      metrics: registryMetrics(noMetrics),
      health: health.component('registry'),
      signal: stop.signal,
    })
  return { registry, cacheFile, health, connect, stop }
}

const event: SocketEvents = {
  host_id: 'h',
  run_id: 'r',
  seq: 1,
  source: 's',
  complete: true,
  lost: 0,
  until_us: 0,
  events: [],
  processes: [],
}
/** Fails when `check` does not hold within some seconds. */
async function until(check: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !check(); i++) await sleep(10)
  assert.ok(check())
}
const idIn = (bytes: Buffer) => bytes.readUInt32BE(1)

/** A later version of the schema of `socket-events`, and a record that it wrote. */
function laterVersion(id: number) {
  const schema = JSON.parse(schemaText('socket-events'))
  schema.fields.push({ name: 'added', type: 'int', default: 0 })
  const write = (bytes: Buffer) => {
    const later = Buffer.concat([bytes, Buffer.from([2])])
    later.writeUInt32BE(id, 1)
    return later
  }
  return { schema: JSON.stringify(schema), write }
}

test('records carry the ids that the registry gave', async t => {
  const { connect, health } = setUp(t, 100)
  const { codecs } = await connect()
  assert.equal(idIn(codecs['socket-events'].encode(event)), 102)
  assert.deepEqual(health.notReady(), [])
})

test('while the registry is away, or does not know the schemas yet, the service is not ready and goes on asking', async t => {
  const { connect, registry, health } = setUp(t)
  registry.isAway = true
  const connecting = connect()
  await until(() => health.notReady()[0] === 'registry: the schema registry is away')
  const schemas = registry.registered.splice(0)
  registry.isAway = false
  await until(() => health.notReady()[0] === "registry: schemas are not registered yet: run 'proclabel topics apply'")
  registry.registered.push(...schemas)
  await connecting
  assert.deepEqual(health.notReady(), [])
})

test('stopping ends the wait for the registry', async t => {
  const { connect, registry, stop } = setUp(t)
  registry.isAway = true
  const connecting = connect()
  stop.abort()
  await assert.rejects(connecting, { name: 'AbortError' })
})

test('a restart works without the registry, also for records of other versions', async t => {
  const { connect, registry } = setUp(t)
  const later = laterVersion(50)
  registry.add('socket-events', 50, later.schema)
  const first = await connect()
  const bytes = later.write(first.codecs['socket-events'].encode(event))
  await first.prepare([{ topic: 'socket-events', value: bytes }])
  registry.isAway = true
  const second = await connect()
  assert.equal(idIn(second.codecs['socket-events'].encode(event)), 12)
  assert.equal(second.prepare([{ topic: 'socket-events', value: bytes }]), undefined)
  assert.equal(second.codecs['socket-events'].decode(bytes).seq, 1)
})

test('when a registry comes back with other ids than the cache had, they are taken over', async t => {
  const { connect, registry } = setUp(t)
  await connect()
  const other = new TestRegistry(200)
  other.isAway = true
  const { codecs } = await connect(other)
  const before = codecs['socket-events'].encode(event)
  other.isAway = false
  assert.equal(idIn(before), 12)
  await until(() => idIn(codecs['socket-events'].encode(event)) === 202)
  assert.equal(codecs['socket-events'].decode(before).seq, 1)
  assert.ok(registry.asked > 0)
})

test('a damaged cache, or one of other schemas, is not used', async t => {
  const { connect, registry, cacheFile } = setUp(t)
  await connect()
  const cache = JSON.parse(readFileSync(cacheFile, 'utf8'))
  for (const content of ['{', JSON.stringify({ ...cache, digest: 'another', ids: { packets: 99 } })]) {
    writeFileSync(cacheFile, content)
    registry.isAway = true
    const connecting = connect()
    await sleep(50)
    registry.isAway = false
    assert.equal(idIn((await connecting).codecs['socket-events'].encode(event)), 12)
  }
})

test('an id that the registry does not know, or that is of another topic, is asked for once and refused', async t => {
  const { connect, registry } = setUp(t)
  const { codecs, prepare } = bind(await connect())
  const unknown = Buffer.concat([Buffer.from([0, 0, 0, 3, 232]), Buffer.alloc(20)])
  const ofPackets = Buffer.from(unknown)
  ofPackets.writeUInt32BE(13, 1)
  const records = [unknown, ofPackets, unknown].map(value => ({ topic: 'socket-events', value }))
  const before = registry.asked
  await prepare(records)
  assert.equal(registry.asked, before + 3)
  await prepare(records)
  assert.equal(registry.asked, before + 3)
  for (const { value } of records) {
    assert.throws(() => codecs['socket-events'].decode(value), { name: 'DecodeError', reason: 'unknown-schema-id' })
  }
})

test('many made-up ids do not become as many questions', async t => {
  const { connect, registry } = setUp(t)
  const { prepare } = bind(await connect())
  const before = registry.asked
  const records = Array.from({ length: 5000 }, (_, i) => {
    const value = Buffer.alloc(10)
    value.writeUInt32BE(1000 + i, 1)
    return { topic: 'packets', value }
  })
  await prepare(records)
  assert.equal(registry.asked, before + 1000)
})

test('known records, tombstones, garbage and foreign topics ask nothing', async t => {
  const { connect, registry } = setUp(t)
  const { codecs, prepare } = bind(await connect())
  const before = registry.asked
  const waiting = prepare([
    { topic: 'socket-events', value: codecs['socket-events'].encode(event) },
    { topic: 'packets', value: null },
    { topic: 'packets', value: Buffer.from('garbage') },
    { topic: 'toString', value: Buffer.alloc(9) },
  ])
  assert.equal(waiting, undefined)
  assert.equal(registry.asked, before)
})

test('while the registry is away, records of an unknown version wait for it', async t => {
  const { connect, registry, health } = setUp(t)
  const { codecs, prepare } = bind(await connect())
  const later = laterVersion(50)
  const bytes = later.write(codecs['socket-events'].encode(event))
  registry.isAway = true
  const waiting = prepare([{ topic: 'socket-events', value: bytes }])!
  await until(() => health.notReady()[0] === 'registry: the schema registry is away')
  registry.isAway = false
  registry.add('socket-events', 50, later.schema)
  await waiting
  assert.deepEqual(health.notReady(), [])
  assert.equal(codecs['socket-events'].decode(bytes).seq, 1)
})

const bind = (connected: RegistryCodecs) => ({
  codecs: connected.codecs,
  prepare: (records: { topic: string; value: Uint8Array | null }[]) => connected.prepare(records),
})
