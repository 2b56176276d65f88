import { createHash } from 'node:crypto'
import type { LabeledSession } from '#schemas'

export const partNames = ['train', 'validation', 'test'] as const
export type Part = (typeof partNames)[number]
/** Shares of train, validation and test; they add up to 1. */
export type Shares = readonly [number, number, number]

/** What is needed of a session to give it a part. */
type Placed = Pick<
  LabeledSession,
  'session_id' | 'host_id' | 'first_us' | 'proto' | 'local_ip' | 'local_port' | 'remote_ip' | 'remote_port'
>

/** Every session is handed to `count`, then every one to `place`, then every one may be asked for. */
export interface PartPlan {
  count: (session: Placed) => void
  place: (session: Placed) => void
  /** Null for a session that has to be left out, since an earlier part has its 5-tuple. */
  partOf: (session: Placed) => Part | null
}

/**
 * Parts without leakage: no 5-tuple, in either direction, is in two parts, so neither is a session, nor what both ends of one
 * saw of it. A 5-tuple belongs to the first part that it is seen in; its sessions of later parts are left out.
 * By time: the earliest sessions train, the latest test. By host: each host is in one part, the largest placed first where most is missing.
 */
export function planParts(by: 'time' | 'host', shares: Shares): PartPlan {
  const firstPart = new Map<string, number>()
  const bounds = by === 'time' ? timeBounds(shares) : hostBounds(shares)
  return {
    count: bounds.count,
    place: session => {
      const key = flowKey(session)
      const part = bounds.partOf(session)
      firstPart.set(key, Math.min(firstPart.get(key) ?? part, part))
    },
    partOf: session => {
      const part = bounds.partOf(session)
      return firstPart.get(flowKey(session)) === part ? partNames[part]! : null
    },
  }
}

interface Bounds {
  count: (session: Placed) => void
  /** Place in `partNames`; to be asked only after all are counted. */
  partOf: (session: Placed) => number
}

function timeBounds([train, validation]: Shares): Bounds {
  const times: number[] = []
  const ends = once(() => {
    const sorted = Float64Array.from(times).sort()
    return [train, train + validation].map(
      share => sorted[Math.round(share * sorted.length)] ?? Number.POSITIVE_INFINITY,
    )
  })
  return {
    count: ({ first_us }) => times.push(first_us),
    partOf: ({ first_us }) => (first_us < ends()[0]! ? 0 : first_us < ends()[1]! ? 1 : 2),
  }
}

function hostBounds(shares: Shares): Bounds {
  const sessions = new Map<string, number>()
  const parts = once(() => {
    const found = new Map<string, number>()
    const total = [...sessions.values()].reduce((a, b) => a + b, 0)
    const missing = shares.map(share => share * total)
    for (const [host, n] of [...sessions].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))) {
      const part = missing.indexOf(Math.max(...missing))
      found.set(host, part)
      missing[part]! -= n
    }
    return found
  })
  return {
    count: ({ host_id }) => sessions.set(host_id ?? '', (sessions.get(host_id ?? '') ?? 0) + 1),
    partOf: ({ host_id }) => parts().get(host_id ?? '')!,
  }
}

function once<T>(make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

/** The same for both directions, in few bytes: there is one for every 5-tuple of the dataset. */
function flowKey({ proto, local_ip, local_port, remote_ip, remote_port }: Placed): string {
  const ends = [`${local_ip} ${local_port}`, `${remote_ip} ${remote_port}`].sort()
  return createHash('sha1')
    .update(`${proto} ${ends.join(' ')}`)
    .digest('base64')
    .slice(0, 16)
}

/**
 * Keeps at most so many sessions of each process (sessions without a label are a class, too), the same ones whenever it is
 * asked: those whose ids hash lowest.
 */
export class Balance {
  readonly #most: number
  readonly #ranks = new Map<string, number[]>()
  readonly #limits = new Map<string, number>()

  constructor(most: number) {
    this.#most = most
  }

  count(session: Pick<LabeledSession, 'session_id' | 'label'>): void {
    const name = session.label?.process ?? ''
    const ranks = this.#ranks.get(name)
    if (ranks) ranks.push(rankOf(session))
    else this.#ranks.set(name, [rankOf(session)])
  }

  keeps(session: Pick<LabeledSession, 'session_id' | 'label'>): boolean {
    const name = session.label?.process ?? ''
    let limit = this.#limits.get(name)
    if (limit === undefined) {
      const ranks = Float64Array.from(this.#ranks.get(name) ?? []).sort()
      limit = ranks[this.#most] ?? Number.POSITIVE_INFINITY
      this.#limits.set(name, limit)
    }
    return rankOf(session) < limit
  }
}

const rankOf = ({ session_id }: Pick<LabeledSession, 'session_id'>): number =>
  createHash('sha1').update(session_id).digest().readUIntBE(0, 6)
