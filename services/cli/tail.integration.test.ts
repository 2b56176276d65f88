import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Codecs, LabeledSession } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import { sessionOf } from '#shared/session-fixture.ts'
import { type Stack, startStack } from '../e2e/stack/stack.ts'

const command = fileURLToPath(new URL('main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'proclabel-tail-'))
const count = 3000
let stack: Stack
let bus: KafkaBus
let where: string[]
let codecs: Codecs

before(async () => {
  stack = await startStack({ kafka: true, registry: true })
  where = ['--brokers', ...stack.kafka!.brokers, '--registry', stack.registry!.url]
  await promisify(execFile)(process.execPath, [
    ...[command, 'topics', 'apply', ...where, '--partitions', '4', '--replication', '1'],
  ])
  bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'test' })
  const registry = await RegistryCodecs.connect({
    registry: new Registry({ url: stack.registry!.url }),
    cacheFile: null,
    log: createLog('test', 'silent'),
    metrics: registryMetrics(noMetrics),
    health: new Health().component('registry'),
    signal: new AbortController().signal,
  })
  codecs = registry.codecs
  await publish(Array.from({ length: count }, (_, i) => ({ host_id: `h${i % 5}`, revision: i % 3 })))
})
after(async () => {
  await bus?.close()
  await stack?.stop()
  rmSync(folder, { recursive: true })
})

let published = 0
async function publish(sessions: readonly Partial<LabeledSession>[]): Promise<void> {
  const records = sessions.map(more => {
    const session = sessionOf({ session_id: String(published++).padStart(32, '0'), ...more })
    return {
      key: session.session_id,
      partitionKey: session.host_id!,
      value: codecs['labeled-sessions'].encode(session),
    }
  })
  await bus.publish('labeled-sessions', records)
}

test('tail hands on what its filter lets through, until it is told to stop', async () => {
  const args = [command, 'tail', ...where, '--from-beginning', '--host', 'h3']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const ids = new Set<string>()
  for await (const line of createInterface(child.stdout)) {
    const session = JSON.parse(line)
    assert.equal(session.host_id, 'h3')
    ids.add(session.session_id)
    if (ids.size === count / 5) break
  }
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
})

test('an exporter that is killed and started again writes every session once', async () => {
  const start = () =>
    spawn(process.execPath, [command, 'export', ...where, '--out', folder, '--format', 'jsonl', '--every', '1'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  const linesOf = (pattern: string) =>
    globSync(pattern, { cwd: folder }).flatMap(name =>
      readFileSync(join(folder, name), 'utf8').split('\n').slice(0, -1),
    )
  const sessions = () => linesOf('day=*/**/*.jsonl')
  const first = start()
  while (sessions().length + linesOf('.journal/*').length === 0) await sleep(5)
  first.kill('SIGKILL')
  await once(first, 'exit')
  const second = start()
  const exited = once(second, 'exit')
  const ids = () => new Set(sessions().map(line => JSON.parse(line).session_id as string))
  const until = Date.now() + 90_000
  while (ids().size < count && Date.now() < until) await sleep(200)
  second.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
  assert.equal(ids().size, count)
  assert.equal(sessions().length, count)
})

test('report and who read what is there, to its end', async () => {
  const run = (...args: string[]) => promisify(execFile)(process.execPath, [command, ...args], { maxBuffer: 1 << 26 })
  const { stdout } = await run('report', ...where)
  assert.match(stdout, new RegExp(`^Sessions {2}${count.toLocaleString('en-US')} `))
  assert.match(stdout, /^h4 +600 +600 +100.00 %/m)
  const owners = await run('who', ...where, 'tcp', '10.0.0.1:40000', '192.0.2.1:443', '2023-11-14T22:13:20Z')
  assert.equal(owners.stdout.match(/^curl \(pid 7\) on h\d, by stage A: one owner$/gm)?.length, count)
})

test('tail begins with what is published next', async () => {
  const child = spawn(process.execPath, [command, 'tail', ...where], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  // Nobody tells when it has begun to read.
  const publishing = setInterval(() => publish([0, 1, 2, 3].map(i => ({ host_id: `next ${i}` }))), 300)
  const hosts = new Set<string>()
  for await (const line of createInterface(child.stdout)) {
    const { host_id } = JSON.parse(line)
    assert.match(host_id, /^next/, 'was there before')
    hosts.add(host_id)
    if (hosts.size === 4) break
  }
  clearInterval(publishing)
  child.kill('SIGTERM')
  assert.deepEqual(await exited, [0, null])
})
