import type { LabeledSession } from '#schemas'

/**
 * Who truly owned one end of a connection or exchange: a line of a truth file, written by something that is not our agent.
 *
 * ```
 * {"host_id":"desk","proto":"tcp","local_ip":"10.0.0.1","local_port":50000,"remote_ip":"198.18.0.1","remote_port":443,
 *  "first_us":1767225600000000,"last_us":1767225601000000,"owners":[{"process":"curl","pid":4711}]}
 * ```
 */
export interface TruthLine {
  host_id: string
  proto: string
  local_ip: string
  local_port: number
  remote_ip: string
  remote_port: number
  /** Microseconds since the epoch; the capture's clock, give or take `slackUs` of the scoring. */
  first_us: number
  last_us: number
  /** Each of them is a right answer: several processes may share a socket. `pid` null: only the program is known. */
  owners: readonly { process: string; pid: number | null }[]
}

const texts = ['host_id', 'proto', 'local_ip', 'remote_ip'] as const
const numbers = ['local_port', 'remote_port', 'first_us', 'last_us'] as const

/** Null for an object that is no line of truth. */
export function toTruthLine(line: Record<string, unknown> | null): TruthLine | null {
  if (line === null || !Array.isArray(line.owners)) return null
  const isOwner = (owner: unknown): boolean => {
    const { process, pid } = (owner ?? {}) as Record<string, unknown>
    return typeof process === 'string' && (pid === null || typeof pid === 'number')
  }
  const fits =
    texts.every(name => typeof line[name] === 'string') &&
    numbers.every(name => Number.isFinite(line[name])) &&
    line.owners.length > 0 &&
    line.owners.every(isOwner)
  return fits ? (line as unknown as TruthLine) : null
}

/** Finds the truth of a session: the same ends at the same host, and the greatest overlap in time. */
export class TruthTable {
  readonly #byEnds = new Map<string, TruthLine[]>()
  readonly #slackUs: number
  #size = 0

  /** `slackUs`: how far the clocks of truth and capture may be apart. */
  constructor(slackUs: number) {
    this.#slackUs = slackUs
  }

  get size(): number {
    return this.#size
  }

  add(line: TruthLine): void {
    const ends = endsOf(line)
    const lines = this.#byEnds.get(ends)
    if (lines) lines.push(line)
    else this.#byEnds.set(ends, [line])
    this.#size++
  }

  find(session: LabeledSession): TruthLine | null {
    let best: TruthLine | null = null
    let longestUs = -this.#slackUs
    for (const line of this.#byEnds.get(endsOf(session)) ?? []) {
      const overlapUs = Math.min(line.last_us, session.last_us) - Math.max(line.first_us, session.first_us)
      if (overlapUs < longestUs) continue
      best = line
      longestUs = overlapUs
    }
    return best
  }
}

const endsOf = ({ host_id, proto, local_ip, local_port, remote_ip, remote_port }: TruthLine | LabeledSession): string =>
  `${host_id} ${proto} ${local_ip} ${local_port} ${remote_ip} ${remote_port}`
