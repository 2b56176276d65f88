/** Writes the documents that are made from code: `node services/deploy/docs/main.ts`. A test holds them to it. */
import { readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defaultConstants, paperProfile } from '#core/constants.ts'
import { schemaOf, type Topic, topics } from '#schemas'
import { signatureHeader } from '#shared/bus/signed-records.ts'
import { traceHeader } from '#shared/bus/trace-context.ts'
import packageJson from '../../../package.json' with { type: 'json' }
import { commands } from '../../cli/commands.ts'
import { variableOf } from '../../cli/settings.ts'
import { aclServices, topicAcls } from '../../cli/topic-acls.ts'
import { type TopicShape, topicNames, topicSettings } from '../../cli/topic-settings.ts'
import { topicsCommand } from '../../cli/topics.ts'
import { asyncApiDocument, type OperationInput } from './asyncapi.ts'
import { configurationReference, constantEntries } from './configuration.ts'
import { sizingPage } from './sizing.ts'

/** As `topics apply` makes them by default. */
const shape = topicsCommand()
  .commands.find(command => command.name() === 'apply')!
  .opts<TopicShape>()
const keys: Record<Topic, string> = {
  hosts: 'host id',
  'socket-snapshots': 'host id',
  'socket-events': 'host id',
  packets: 'host id',
  'labeled-sessions': 'session id; the partition is that of the host id',
  resolutions: 'host id',
  'dead-letters': 'source topic',
}

const signature = { format: 'binary', description: "The host's signature of topic, key and value, where hosts sign." }
const trace = { description: 'W3C Trace Context of a record that is traced.' }
const tracedTopics: readonly Topic[] = ['hosts', 'socket-snapshots', 'socket-events', 'packets', 'labeled-sessions']

function asyncApi(): string {
  const acls = topicAcls(
    Object.fromEntries(aclServices.map(service => [service, [service]])) as unknown as Parameters<typeof topicAcls>[0],
  )
  const signed = acls.filter(({ principal, operation }) => principal === 'agent' && operation === 'WRITE')
  const document = asyncApiDocument({
    version: packageJson.version,
    license: packageJson.license,
    channels: topicNames.map(topic => ({
      topic,
      schema: topics[topic],
      doc: (schemaOf(topic) as { doc: string }).doc,
      key: keys[topic],
      partitions: shape.partitions,
      replicas: shape.replication,
      settings: topicSettings(topic, shape),
      headers: {
        ...(signed.some(({ resourceName }) => resourceName === topic) && { [signatureHeader]: signature }),
        ...(tracedTopics.includes(topic) && { [traceHeader]: trace }),
      },
    })),
    operations: acls
      .filter(({ resourceType }) => resourceType === 'TOPIC')
      .map(
        ({ principal, operation, resourceName }): OperationInput => ({
          service: principal,
          action: operation === 'WRITE' ? 'send' : 'receive',
          topic: resourceName,
        }),
      ),
  })
  // As the formatter has it: a list of words in one line.
  const text = JSON.stringify(document, null, 2)
  return `${text.replace(/\[\n\s+("[^"]*"(?:,\n\s+"[^"]*")*)\n\s+\]/g, (_, words) => `[${words.replace(/\n\s+/g, ' ')}]`)}\n`
}

const configuration = async (): Promise<string> =>
  configurationReference({
    commands: await Promise.all(Object.values(commands).map(load => load())),
    variableOf,
    machineName: hostname(),
    constants: constantEntries(
      readFileSync(new URL('../../core/constants.ts', import.meta.url), 'utf8'),
      { ...defaultConstants },
      { ...paperProfile },
    ),
  })

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url))

/** Every document by the file it belongs in. */
export const documents = async (): Promise<Record<string, string>> => ({
  [path('../../../schemas/asyncapi.json')]: asyncApi(),
  [path('configuration.md')]: await configuration(),
  [path('sizing.md')]: sizingPage(),
})

if (import.meta.main) for (const [file, text] of Object.entries(await documents())) writeFileSync(file, text)
