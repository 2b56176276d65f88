import type { Topic } from '#schemas'

/** Who runs; each has a principal of its own. */
export const aclServices = ['agent', 'import', 'capture', 'matcher', 'resolver', 'export', 'tail', 'doctor'] as const
export type AclService = (typeof aclServices)[number]

export interface Acl {
  principal: string
  permission: 'ALLOW'
  operation: 'READ' | 'WRITE'
  host: '*'
  resourceType: 'TOPIC' | 'GROUP'
  resourceName: string
  /** PREFIXED: every name that begins so. */
  patternType: 'LITERAL' | 'PREFIXED'
}

interface Grant {
  reads?: readonly Topic[]
  writes?: readonly Topic[]
  /** Consumer group; with `*` at the end every group that begins so. */
  group?: string
}

/** What each service needs and no more; Kafka grants to describe a topic with reading or writing it. */
const grants: Record<AclService, Grant> = {
  agent: { writes: ['hosts', 'socket-snapshots', 'socket-events'] },
  /** And to read the topic that it imports, which is the site's own. */
  import: { reads: ['hosts'], writes: ['hosts', 'socket-events', 'dead-letters'], group: 'import-*' },
  capture: { reads: ['hosts'], writes: ['packets'], group: 'capture-*' },
  matcher: {
    reads: ['hosts', 'socket-snapshots', 'socket-events', 'packets', 'resolutions'],
    writes: ['labeled-sessions', 'dead-letters'],
    group: 'matcher',
  },
  resolver: { reads: ['labeled-sessions'], writes: ['resolutions', 'dead-letters'], group: 'resolver' },
  export: { reads: ['labeled-sessions'], writes: ['dead-letters'], group: 'export*' },
  tail: { reads: ['labeled-sessions'], group: 'tail-*' },
  doctor: { reads: ['hosts', 'socket-snapshots', 'socket-events', 'packets'], group: 'doctor-*' },
}

/** The least that lets each service work, by principals such as `User:agent`; each host's agent may have its own. */
export function topicAcls(principals: Readonly<Record<AclService, readonly string[]>>): Acl[] {
  return aclServices.flatMap(service => {
    const { reads = [], writes = [], group } = grants[service]
    const allow = (
      principal: string,
      operation: Acl['operation'],
      resourceType: Acl['resourceType'],
      name: string,
    ): Acl => ({
      principal,
      permission: 'ALLOW',
      operation,
      host: '*',
      resourceType,
      resourceName: name.replace(/\*$/, ''),
      patternType: name.endsWith('*') ? 'PREFIXED' : 'LITERAL',
    })
    return principals[service].flatMap(principal => [
      ...writes.map(topic => allow(principal, 'WRITE', 'TOPIC', topic)),
      ...reads.map(topic => allow(principal, 'READ', 'TOPIC', topic)),
      ...(group ? [allow(principal, 'READ', 'GROUP', group)] : []),
    ])
  })
}

/** The command of Kafka's own tool that grants it; BROKERS and ADMIN are for the operator's shell to fill in. */
export function aclCommand({ principal, operation, resourceType, resourceName, patternType }: Acl): string {
  const words = [
    ...['kafka-acls.sh --bootstrap-server "$BROKERS" --command-config "$ADMIN" --add'],
    ...['--allow-principal', quote(principal), '--operation', operation],
    ...[`--${resourceType.toLowerCase()}`, quote(resourceName)],
    ...(patternType === 'PREFIXED' ? ['--resource-pattern-type prefixed'] : []),
  ]
  return words.join(' ')
}

/** For a shell: principals of certificates hold spaces and commas. */
const quote = (text: string): string => (/^[\w:.-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`)
