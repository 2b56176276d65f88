import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import kafkajs, { type AclEntry, type Admin, Kafka, logLevel } from 'kafkajs'
import { patchKafkajs } from './kafkajs-patches.ts'

export function kafkaOf(brokers: readonly string[]): Kafka {
  patchKafkajs()
  return new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, retry: { retries: 5 } })
}

/** Creates topics that keep append time, as our input topics do. */
export async function createTopics(
  brokers: readonly string[],
  topics: readonly string[],
  partitions: number,
): Promise<void> {
  const admin = kafkaOf(brokers).admin()
  await admin.connect()
  await admin.createTopics({
    topics: topics.map(topic => ({
      topic,
      numPartitions: partitions,
      configEntries: [{ name: 'message.timestamp.type', value: 'LogAppendTime' }],
    })),
    waitForLeaders: true,
  })
  await admin.disconnect()
}

const anyAcl = {
  permissionType: kafkajs.AclPermissionTypes.ANY,
  operation: kafkajs.AclOperationTypes.ANY,
  resourceType: kafkajs.AclResourceTypes.ANY,
  resourcePatternType: kafkajs.ResourcePatternTypes.ANY,
}

/** Creates ACLs, and resolves when the broker goes by them: it answers before it does. Fails after a while. */
export async function grant(admin: Admin, acl: readonly AclEntry[]): Promise<void> {
  const textOf = (entry: AclEntry) =>
    `${entry.principal} ${entry.operation} ${entry.resourceType} ${entry.resourceName}`
  await admin.createAcls({ acl: [...acl] })
  const endMs = Date.now() + 30_000
  for (let isKnown = false; !isKnown; await sleep(20)) {
    const { resources } = await admin.describeAcls(anyAcl)
    const known = new Set(resources.flatMap(({ acls, ...of }) => acls.map(one => textOf({ ...one, ...of }))))
    isKnown = acl.every(entry => known.has(textOf(entry)))
    if (Date.now() > endMs) throw new Error('not within 30 s: the broker goes by its new ACLs')
  }
}

export const unique = (kind: string): string => `${kind}-${randomUUID()}`

/** Waits until `check` holds; fails after a while, saying what it waited for. */
export async function until(what: string, check: () => boolean, withinMs = 30_000): Promise<void> {
  const end = Date.now() + withinMs
  while (!check()) {
    if (Date.now() > end) throw new Error(`not within ${withinMs / 1000} s: ${what}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
