import process from 'node:process'
import { Command } from 'commander'
import { Kafka, logLevel } from 'kafkajs'
import { readSecurity } from '#shared/bus/kafka-security.ts'
import { patchKafkajs } from '#shared/bus/kafkajs-patches.ts'
import { Registry } from '#shared/registry.ts'
import { type AppliedTopic, applySchemas, applyTopics, kafkaProblem } from './apply-topics.ts'
import { type ConnectionFlags, compileConnections, connectionOptions } from './service-options.ts'
import { type AclService, aclCommand, aclServices, topicAcls } from './topic-acls.ts'
import { wholeNumber } from './whole-number.ts'

interface ApplyFlags extends ConnectionFlags {
  partitions: number
  replication: number
}

const say = (line: string) => process.stdout.write(`${line}\n`)

export const topicsCommand = (): Command =>
  new Command('topics')
    .description('creates the topics of the pipeline, registers their schemas, tells which ACLs the services need')
    .addCommand(applyCommand())
    .addCommand(aclsCommand())

const applyCommand = (): Command =>
  connectionOptions(new Command('apply'))
    .description('creates what is missing and corrects what differs; safe to run again')
    .option('--partitions <n>', 'partitions of each topic; fixed once there are records', wholeNumber(1, 10_000), 48)
    .option(
      '--replication <n>',
      'copies of each partition of a new topic; those of others are not changed',
      wholeNumber(1, 10),
      3,
    )
    .action(async (flags: ApplyFlags) => {
      const { brokers, clientId, security, registry } = compileConnections(flags)
      patchKafkajs()
      const admin = new Kafka({
        brokers,
        clientId: clientId ?? 'proclabel-topics',
        logLevel: logLevel.NOTHING,
        retry: { retries: 5 },
        ...readSecurity(security),
      }).admin()
      let changes = 0
      try {
        await admin.connect()
        const applied = await applyTopics(admin, flags)
        for (const { topic, did } of applied) {
          say(`topic ${topic}: ${did}`)
          if (did !== 'unchanged') changes++
        }
        const others = applied.filter(({ replication }) => replication !== flags.replication)
        if (others.length > 0) say(replicationStays(others, flags.replication))
      } catch (error) {
        throw kafkaProblem(error)
      } finally {
        await admin.disconnect()
      }
      if (registry === null) say('schemas: not registered, since no --registry is given')
      else {
        for (const { subject, id, did } of await applySchemas(new Registry(registry))) {
          say(`schema ${subject}: ${did}, id ${id}`)
          if (did !== 'unchanged') changes++
        }
      }
      say(changes === 0 ? 'nothing had to be changed' : `${changes} changed`)
    })

/** Copies are moved between brokers, which is for the operator to plan. */
function replicationStays(others: readonly AppliedTopic[], wanted: number): string {
  const found = others.map(({ topic, replication }) => `${topic} has ${replication}`).join(', ')
  return `copies of each partition stay as they are, not ${wanted}: ${found}; kafka-reassign-partitions.sh changes them`
}

function aclsCommand(): Command {
  const command = new Command('acls')
    .description('prints the least that each service must be allowed; nothing is changed')
    .option('--json', "as JSON, not as commands of Kafka's own tool")
  for (const service of aclServices)
    command.option(`--principal-${service} <principal...>`, `who runs ${service}`, [`User:${service}`])
  return command.action(({ json, ...flags }: { json?: true } & Record<string, unknown>) => {
    const principalsOf = (service: AclService) =>
      flags[`principal${service[0]!.toUpperCase()}${service.slice(1)}`] as readonly string[]
    const acls = topicAcls(
      Object.fromEntries(aclServices.map(service => [service, principalsOf(service)])) as Record<
        AclService,
        readonly string[]
      >,
    )
    if (json) say(JSON.stringify(acls, null, 2))
    else for (const acl of acls) say(aclCommand(acl))
  })
}
