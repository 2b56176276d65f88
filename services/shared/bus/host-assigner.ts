import { AssignerProtocol, type PartitionAssigner } from 'kafkajs'
import type { GroupObserver } from './kafkajs-patches.ts'

/** What a member says it has when it joins; generation 0 when it never had anything. */
export interface Claim {
  generation: number
  partitions: readonly number[]
}

export interface Member {
  memberId: string
  claim: Claim
}

/**
 * Gives each of `count` partition numbers to one member, none having more than one above another. A member keeps what it
 * had as far as that allows; of two claims the one of the later generation counts.
 */
export function assignPartitions(members: readonly Member[], count: number): Map<string, number[]> {
  const owners = new Map<number, Member>()
  for (const member of [...members].sort(byId)) {
    for (const partition of member.claim.partitions) {
      const owner = owners.get(partition)
      const isLater = owner === undefined || member.claim.generation > owner.claim.generation
      if (partition < count && isLater) owners.set(partition, member)
    }
  }
  const kept = new Map<string, number[]>(members.map(({ memberId }) => [memberId, []]))
  for (let partition = 0; partition < count; partition++) {
    const owner = owners.get(partition)
    if (owner) kept.get(owner.memberId)!.push(partition)
  }
  // Who has most may have one more than the others: fewest move.
  const ids = [...kept.keys()].sort((a, b) => kept.get(b)!.length - kept.get(a)!.length || (a < b ? -1 : 1))
  const free = Array.from({ length: count }, (_, partition) => partition)
  const shares = ids.map((id, i) => {
    const share = Math.floor(count / ids.length) + (i < count % ids.length ? 1 : 0)
    const own = kept.get(id)!.slice(0, share)
    for (const partition of own) free[partition] = -1
    return { id, share, own }
  })
  const unowned = free.filter(partition => partition >= 0)
  return new Map(
    shares.map(({ id, share, own }) => [id, [...own, ...unowned.splice(0, share - own.length)].sort((a, b) => a - b)]),
  )
}

const byId = (a: Member, b: Member) => (a.memberId < b.memberId ? -1 : 1)

const assignerName = 'proclabel-hosts'
const version = 1

export const encodeClaim = (claim: Claim): Buffer => Buffer.from(JSON.stringify(claim))

/** A claim that cannot be read claims nothing: stickiness is an economy, not a promise. */
export function decodeClaim(userData: Buffer | null | undefined): Claim {
  try {
    const { generation, partitions } = JSON.parse(String(userData)) as Claim
    if (Number.isInteger(generation) && partitions.every(Number.isInteger)) return { generation, partitions }
  } catch {}
  return { generation: 0, partitions: [] }
}

/**
 * The partition assigner of one consumer: partition p of every topic goes to the same member. `claim` tells what this
 * member has; `observer` is told what becomes of it.
 */
export function hostAssigner(claim: () => Claim, observer: GroupObserver): PartitionAssigner {
  return ({ cluster }) => ({
    name: assignerName,
    version,
    observer,
    protocol: ({ topics }) => ({
      name: assignerName,
      metadata: AssignerProtocol.MemberMetadata.encode({ version, topics, userData: encodeClaim(claim()) }),
    }),
    assign: async ({ members, topics }) => {
      const counts = topics.map(topic => cluster.findTopicPartitionMetadata(topic).length)
      const claims = members.map(({ memberId, memberMetadata }) => {
        const metadata = AssignerProtocol.MemberMetadata.decode(memberMetadata)
        return { memberId, claim: decodeClaim(metadata?.userData) }
      })
      const assignments = assignPartitions(claims, Math.max(0, ...counts))
      return Array.from(assignments, ([memberId, partitions]) => {
        const assignment = Object.fromEntries(
          topics.map((topic, i) => [topic, partitions.filter(partition => partition < counts[i]!)]),
        )
        const memberAssignment = AssignerProtocol.MemberAssignment.encode({
          version,
          assignment,
          userData: Buffer.alloc(0),
        })
        return { memberId, memberAssignment }
      })
    },
  })
}
