import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import kafkajs, { type Admin, Kafka } from 'kafkajs'
import { grant } from '#shared/bus/kafka-fixture.ts'
import { type KafkaSecurity, readSecurity } from '#shared/bus/kafka-security.ts'
import { patchKafkajs } from '#shared/bus/kafkajs-patches.ts'
import { type Acl, aclServices } from '../../cli/topic-acls.ts'
import type { Stack } from '../stack/stack.ts'
import { ended, type LabNetwork, type Side, waitForOutput } from './network.ts'

const command = fileURLToPath(new URL('../../cli/main.ts', import.meta.url))

/** Kafka users of the secured stack: each service has its own. */
export const serviceUsers: readonly string[] = aclServices

/** A service that runs. */
interface Running {
  child: ChildProcess
  outcome: Promise<{ status: number | null; errors: string }>
}

/** The services as an operator starts them: by the command, over a stack; over a secured one each with a user of its own. */
export class Services {
  readonly #stack: Stack
  readonly #network: LabNetwork | null
  readonly #running = new Set<Running>()

  /** Without a network, services run on this machine alone. */
  constructor(stack: Stack, network: LabNetwork | null) {
    this.#stack = stack
    this.#network = network
  }

  /** Makes the topics, registers the schemas and, on a secured stack, grants exactly what `topics acls` prints with these arguments. */
  async prepare(partitions: number, aclArguments: readonly string[] = []): Promise<void> {
    const apply = ['topics', 'apply', ...this.connection('admin')]
    await this.#run([...apply, '--partitions', String(partitions), '--replication', '1'])
    if (!this.#stack.kafka!.secured) return
    const acls: Acl[] = JSON.parse(await this.#run(['topics', 'acls', '--json', ...aclArguments]))
    await this.withAdmin(admin => grant(admin, acls.map(toKafkajs)))
  }

  /** Starts a service, in a host of the laboratory if one is given; resolves when it has logged `message`. */
  async start(service: string, args: readonly string[], message: string, side?: Side): Promise<Running> {
    const redis = ['matcher', 'resolver'].includes(service) ? this.#redis() : []
    const all = [command, service, ...this.connection(service), ...redis, ...args]
    const stdio = ['ignore', 'ignore', 'pipe'] as const
    const child = side
      ? this.#network!.start(side, process.execPath, all, { stdio: [...stdio] })
      : spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, ...all], { stdio: [...stdio] })
    const running = { child, outcome: ended(child) }
    this.#running.add(running)
    await waitForOutput(child, `"msg":"${message}"`, 60_000)
    return running
  }

  /** Tells a service to stop, and fails if it does not end well. */
  async stop(running: Running): Promise<void> {
    running.child.kill('SIGTERM')
    const { status, errors } = await running.outcome
    this.#running.delete(running)
    assert.equal(status, 0, errors)
  }

  /** What went wrong with those that still run, as they logged it. */
  async stopAll(): Promise<void> {
    for (const running of [...this.#running].reverse()) await this.stop(running)
  }

  /** Ends what still runs, without a word. */
  kill(): void {
    for (const { child } of this.#running) child.kill('SIGKILL')
  }

  /** How a client reaches Kafka that may do everything. */
  get adminSecurity(): KafkaSecurity {
    const { secured } = this.#stack.kafka!
    if (!secured) return {}
    const { name, passwordFile } = secured.users.admin!
    return { caFile: secured.caFile, username: name, passwordFile }
  }

  async withAdmin<R>(act: (admin: Admin) => Promise<R>): Promise<R> {
    patchKafkajs()
    const { brokers } = this.#stack.kafka!
    const admin = new Kafka({
      brokers,
      logLevel: kafkajs.logLevel.NOTHING,
      ...readSecurity(this.adminSecurity),
    }).admin()
    await admin.connect()
    try {
      return await act(admin)
    } finally {
      await admin.disconnect()
    }
  }

  async #run(args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(process.execPath, [command, ...args], { timeout: 60_000 })
    return stdout
  }

  /** Flags with which a service reaches Kafka and the registry. */
  connection(user: string): string[] {
    const { kafka, registry } = this.#stack
    const { brokers, secured } = kafka!
    const plain = ['--brokers', ...brokers, ...(registry ? ['--registry', registry.url] : [])]
    if (!secured) return plain
    const { passwordFile } = secured.users[user]!
    const secrets = ['--kafka-username', user, '--kafka-password-file', passwordFile]
    return [...plain, '--kafka-ca-file', secured.caFile, ...secrets]
  }

  #redis(): string[] {
    const { urls, secured } = this.#stack.redis!
    const plain = ['--redis-url', ...urls]
    if (!secured) return plain
    const { caFile, client, user, passwordFile } = secured
    const certificate = [
      '--redis-ca-file',
      caFile,
      '--redis-cert-file',
      client.certFile,
      '--redis-key-file',
      client.keyFile,
    ]
    return [...plain, ...certificate, '--redis-username', user, '--redis-password-file', passwordFile]
  }
}

const toKafkajs = ({ principal, operation, resourceType, resourceName, patternType }: Acl) => ({
  principal,
  host: '*',
  permissionType: kafkajs.AclPermissionTypes.ALLOW,
  operation: kafkajs.AclOperationTypes[operation],
  resourceType: kafkajs.AclResourceTypes[resourceType],
  resourceName,
  resourcePatternType: kafkajs.ResourcePatternTypes[patternType],
})
