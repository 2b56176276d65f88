/** One topic, as the code that makes and fills it has it. */
export interface ChannelInput {
  topic: string
  /** Name of the schema of its values, and that schema's own words. */
  schema: string
  doc: string
  /** What its records are keyed by. */
  key: string
  /** As `topics apply` makes it. */
  partitions: number
  replicas: number
  settings: Readonly<Record<string, string>>
  /** What its records may have beside them, by the header's name. */
  headers: Readonly<Record<string, { format?: string; description: string }>>
}

/** A service that writes or reads a topic. */
export interface OperationInput {
  service: string
  action: 'send' | 'receive'
  topic: string
}

export interface AsyncApiInput {
  version: string
  license: string
  channels: readonly ChannelInput[]
  operations: readonly OperationInput[]
}

const kafkaBinding = '0.5.0'
const avro = 'application/vnd.apache.avro+json;version=1.9.0'
/** What the Kafka binding knows of a topic's settings; it takes no others. */
const numbers = ['retention.ms', 'max.message.bytes']

/** The AsyncAPI 3.0 document of the topics; schemas are referred to as files beside it. */
export function asyncApiDocument({ version, license, channels, operations }: AsyncApiInput): object {
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'proclabel',
      version,
      description:
        "Topics between agents, capture, matcher, resolver and who uses labeled sessions. Values are Avro in Confluent's " +
        'wire format: a zero byte, the schema id in four bytes, the body. Written by services/deploy/docs/main.ts.',
      license: { name: license },
    },
    servers: {
      plain: { host: 'kafka:9092', protocol: 'kafka', description: 'A broker without security: one machine, tests.' },
      secured: {
        host: 'kafka:9094',
        protocol: 'kafka-secure',
        description: 'TLS with a user for each service; `proclabel topics acls` prints their rights.',
        security: [{ $ref: '#/components/securitySchemes/scram' }],
      },
    },
    channels: Object.fromEntries(channels.map(channel => [channel.topic, channelObject(channel)])),
    operations: Object.fromEntries(
      operations.map(({ service, action, topic }) => [
        `${service}.${action}.${topic}`,
        {
          action,
          channel: { $ref: `#/channels/${topic}` },
          summary: `${service} ${action === 'send' ? 'writes' : 'reads'} ${topic}`,
          tags: [{ name: service }],
        },
      ]),
    ),
    components: {
      messages: Object.fromEntries(channels.map(channel => [channel.schema, messageObject(channel)])),
      securitySchemes: { scram: { type: 'scramSha512', description: 'SASL SCRAM-SHA-512' } },
    },
  }
}

function channelObject({ topic, schema, doc, partitions, replicas, settings }: ChannelInput): object {
  const known = Object.entries(settings).flatMap(([name, value]): [string, unknown][] => {
    if (name === 'cleanup.policy') return [[name, value.split(',')]]
    return numbers.includes(name) ? [[name, Number(value)]] : []
  })
  return {
    address: topic,
    description: doc,
    messages: { [schema]: { $ref: `#/components/messages/${schema}` } },
    bindings: {
      kafka: {
        topic,
        partitions,
        replicas,
        topicConfiguration: Object.fromEntries(known),
        bindingVersion: kafkaBinding,
      },
    },
    // The binding has no place for these.
    'x-topic-configuration': settings,
  }
}

function messageObject({ schema, doc, key, headers }: ChannelInput): object {
  return {
    name: schema,
    contentType: 'application/vnd.apache.avro',
    summary: doc,
    ...(Object.keys(headers).length > 0 && {
      headers: {
        type: 'object',
        properties: Object.fromEntries(
          Object.entries(headers).map(([name, header]) => [name, { type: 'string', ...header }]),
        ),
      },
    }),
    bindings: {
      kafka: {
        key: { type: 'string', description: key },
        schemaIdLocation: 'payload',
        schemaIdPayloadEncoding: 'confluent',
        bindingVersion: kafkaBinding,
      },
    },
    payload: { schemaFormat: avro, schema: { $ref: `./${schema}.avsc` } },
  }
}
