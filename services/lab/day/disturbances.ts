import type { Span } from './processes.ts'
import type { Random } from './random.ts'

const ms = 1000
const second = 1_000_000
const hourUs = 3_600_000_000

/**
 * What keeps a poller from seeing every socket, and a remote end from telling its program. The source reports none of it, so it
 * is what Windows hosts are known to do, set before any row was run; the same in every row, ours and the source's matching alike.
 */
export const disturbances = Object.freeze({
  /** A sleep ends with a tick of the system clock, 64 a second unless a program asks for more (Microsoft, `Sleep`): 50 ms take 62.5. */
  timerTickUs: 15_625,
  /** Reading the socket tables and naming the owners, on average. */
  pollUs: 4 * ms,
  /** The poller does not get the processor: a scan, an update, memory that is swapped; median, and spread of the logarithm. */
  stallsPerHour: 12,
  stallUs: 400 * ms,
  stallSpread: 1,
  /** The agent is started anew, by an update, a crash or with the host: at least once. */
  restartEveryUs: 8 * hourUs,
  restartUs: { least: 10 * second, most: 120 * second },
  /** Of a program's exchanges are DNS queries of its own, that Windows' DNS client does not send for it. */
  ownResolverShare: 0.02,
})

/** When a poller that waits for `periodUs` between two polls polls next. */
export function nextPollUs(pollUs: number, tookUs: number, periodUs: number, random: Random): number {
  const { timerTickUs, stallsPerHour, stallUs, stallSpread } = disturbances
  const isStalled = random.chance((stallsPerHour * periodUs) / hourUs)
  const dueUs = pollUs + tookUs + periodUs + (isStalled ? random.logNormal(stallUs, stallSpread) : 0)
  return Math.ceil(dueUs / timerTickUs) * timerTickUs
}

/** When no agent runs. */
export function restarts({ fromUs, toUs }: Span, random: Random): Span[] {
  const { restartEveryUs, restartUs } = disturbances
  return Array.from({ length: Math.max(1, Math.round((toUs - fromUs) / restartEveryUs)) }, () => {
    const downUs = random.between(fromUs, toUs)
    return { fromUs: downUs, toUs: downUs + random.between(restartUs.least, restartUs.most) }
  })
}
