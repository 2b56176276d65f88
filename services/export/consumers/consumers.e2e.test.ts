import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import kafkajs from 'kafkajs'
import type { LabeledSession } from '#schemas'
import { KafkaBus } from '#shared/bus/kafka.ts'
import { grant } from '#shared/bus/kafka-fixture.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { Registry } from '#shared/registry.ts'
import { RegistryCodecs } from '#shared/registry-codecs.ts'
import { registryMetrics } from '#shared/service-metrics.ts'
import { debianCommand, pythonTools } from '../../deploy/tools.ts'
import { Services, serviceUsers } from '../../e2e/lab/services.ts'
import { type Stack, startStack } from '../../e2e/stack/stack.ts'

const here = fileURLToPath(new URL('.', import.meta.url))
const sample = fileURLToPath(new URL('../../embedded/sample/', import.meta.url))
const command = fileURLToPath(new URL('../../cli/proclabel.mjs', import.meta.url))
const patienceMs = 120_000

/** The sessions of the bundled recording, as `label` tells them. */
function recordedSessions(): LabeledSession[] {
  const args = ['label', `${sample}capture.pcap.gz`, '--sockets', `${sample}sockets.jsonl.gz`, '--out', '-', '--quiet']
  const lines = execFileSync(process.execPath, [command, ...args], {
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return lines
    .toString()
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

/** What a matcher may publish of a session: still open, closed without a label, labeled, and all of it a second time. */
function revisionsOf(session: LabeledSession): LabeledSession[] {
  const unlabeled = { label: null, stage: null, unknown_cause: 'agent-gap' }
  const revisions: LabeledSession[] = [
    { ...session, ...unlabeled, revision: 0, state: 'open' },
    { ...session, ...unlabeled, revision: 1 },
    { ...session, revision: 2 },
  ]
  return [...revisions, ...revisions]
}

async function publish(stack: Stack, services: Services, sessions: readonly LabeledSession[]): Promise<void> {
  const { codecs } = await RegistryCodecs.connect({
    registry: new Registry({ url: stack.registry!.url }),
    cacheFile: null,
    log: createLog('test', 'silent'),
    metrics: registryMetrics(noMetrics),
    health: new Health().component('registry'),
    signal: new AbortController().signal,
  })
  const bus = new KafkaBus({ brokers: stack.kafka!.brokers, clientId: 'test', security: services.adminSecurity })
  const records = sessions.flatMap(revisionsOf).map(session => ({
    key: session.session_id,
    partitionKey: session.host_id ?? '',
    value: codecs['labeled-sessions'].encode(session),
  }))
  await bus.publish('labeled-sessions', records)
  await bus.close()
}

/** The rights of a consumer of one's own: to read the topic, and to be in its group. */
async function allowReader(services: Services, user: string): Promise<void> {
  const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs
  const allow = (resourceType: number, resourceName: string) => ({
    principal: `User:${user}`,
    host: '*',
    permissionType: AclPermissionTypes.ALLOW,
    operation: AclOperationTypes.READ,
    resourceType,
    resourceName,
    resourcePatternType: ResourcePatternTypes.LITERAL,
  })
  const groups = ['my-consumer', 'my-table'].map(group => allow(AclResourceTypes.GROUP, group))
  const acl = [allow(AclResourceTypes.TOPIC, 'labeled-sessions'), ...groups]
  await services.withAdmin(admin => grant(admin, acl))
}

/** Runs an example until it has told all, then ends it as a user would. */
async function untilAll(
  [name, ...args]: [string, ...string[]],
  env: Record<string, string>,
  isAll: (line: string | null) => boolean,
): Promise<void> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', name, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text
  })
  const exited = once(child, 'close')
  const end = AbortSignal.timeout(patienceMs)
  let told = false
  createInterface(child.stdout).on('line', line => {
    told ||= isAll(line)
  })
  while (!told && !end.aborted && child.exitCode === null) {
    await sleep(200)
    told ||= isAll(null)
  }
  // As Ctrl-C does: to the whole pipeline.
  if (child.exitCode === null) process.kill(-child.pid!, 'SIGINT')
  await exited
  assert.ok(told, `${name} ${args.join(' ')} did not tell all: ${said}`)
  assert.doesNotMatch(said, /warning/i)
}

for (const secured of [false, true])
  test(`each example tells the latest revision of every session${secured ? ', over TLS as a user of its own' : ''}`, async t => {
    const folder = mkdtempSync(join(tmpdir(), 'proclabel-consumers-'))
    t.after(() => rmSync(folder, { recursive: true }))
    const stack = await startStack({ kafka: true, registry: true, secured, users: [...serviceUsers, 'reader'] })
    t.after(() => stack.stop())
    const services = new Services(stack, null)
    await services.prepare(3)
    const sessions = recordedSessions()
    assert.ok(sessions.length > 150)
    await publish(stack, services, sessions)
    const expected = new Map(sessions.map(({ session_id, label }) => [session_id, label?.process ?? null]))

    const env: Record<string, string> = {
      PROCLABEL_BROKERS: stack.kafka!.brokers.join(','),
      PROCLABEL_REGISTRY: stack.registry!.url,
    }
    const asUser = (user: string): Record<string, string> => {
      const security = stack.kafka!.secured
      if (!security) return env
      return {
        ...env,
        PROCLABEL_KAFKA_CA_FILE: security.caFile,
        PROCLABEL_KAFKA_USERNAME: user,
        PROCLABEL_KAFKA_PASSWORD_FILE: security.users[user]!.passwordFile,
      }
    }
    if (secured) await allowReader(services, 'reader')

    /** Lines of `session_id revision host process …`, as TypeScript and console print them. */
    const shown = () => {
      const latest = new Map<string, { revision: number; process: string | null }>()
      return (line: string | null) => {
        if (line !== null) {
          const [id, revision, , process] = line.split('\t')
          if (Number(revision) >= (latest.get(id!)?.revision ?? 0))
            latest.set(id!, { revision: Number(revision), process: /^unknown/.test(process!) ? null : process! })
        }
        return [...expected].every(
          ([id, process]) => latest.get(id)?.revision === 2 && latest.get(id)!.process === process,
        )
      }
    }
    await t.test('TypeScript', () => untilAll([process.execPath, `${here}consumer.ts`], asUser('reader'), shown()))
    await t.test('console', async () => {
      await debianCommand('jq')
      await untilAll(
        ['sh', `${here}consumer.sh`],
        { ...asUser('tail'), PROCLABEL: `${process.execPath} ${command}` },
        shown(),
      )
    })
    await t.test('Python', async () => {
      const python = join(await pythonTools('confluent-kafka[avro,schemaregistry]==2.16.1'), 'python')
      const file = join(folder, 'sessions.db')
      const rows = () => {
        const table = new DatabaseSync(file)
        try {
          return table.prepare('SELECT session_id, revision, process FROM sessions').all()
        } catch {
          return [] // not made yet, or being written
        } finally {
          table.close()
        }
      }
      const isAll = () => {
        const all = rows()
        return (
          all.length === expected.size &&
          all.every(
            ({ session_id, revision, process }) => revision === 2 && expected.get(String(session_id)) === process,
          )
        )
      }
      await untilAll([python, `${here}consumer.py`, file], asUser('reader'), isAll)
    })
  })
