const ms = 1_000
const second = 1_000_000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

/** Every constant of matching, in one place. Times are microseconds (`...Us`), all of them event time. */
export interface MatchConstants {
  /** Stages that may label, beside A; the order is fixed. */
  stages: readonly ('A2' | 'B' | 'C' | 'D' | 'F' | 'N')[]
  /** Use socket events; false means polls alone. */
  useEvents: boolean
  /** Estimate the host clock's offset; false means the clocks are taken to agree. */
  useClockOffset: boolean

  /** A session waits this long for socket data before it is judged without. */
  holdUs: number
  /** Stage A: how many polls back a socket that is gone still counts. */
  snapshotsBack: number
  /** Poll period where the host does not tell one. */
  pollPeriodUs: number
  /** Two polls further apart than this leave a gap between them. */
  pollGapUs: number
  /** How far an exact event time and a packet time may disagree once the offset is known. */
  toleranceUs: number
  /** How far a socket's birth, or the event of a log that tells only connections, may be from the SYN of its session. */
  sightingSynReachUs: number
  /** The same, for a TCP session whose SYN was not seen: how long before it the event may be. */
  sightingTcpReachUs: number
  /** The same for UDP: the idle timeout. */
  sightingUdpReachUs: number
  /** How far the event of a log that does not tell the local port may be from the first packet of its session. */
  untoldPortReachUs: number
  /** The same, once that log's clock offset is known. */
  untoldPortNearUs: number
  /** Records of one socket from polls and events merge when they are at most this far apart. */
  mergeSlackUs: number
  /** How long sockets and caches are kept, and how long an inexact label may change. */
  keepUs: number
  /** Most ownership intervals of one host in memory; the oldest leave first. */
  maxIntervals: number

  /** Offset: how far apart a socket's birth and its session's first packet may be. */
  offsetSearchUs: number
  /** Offset: length of an estimation window. */
  offsetWindowUs: number
  /** Offset: pairs kept a window. */
  offsetPairs: number
  /** Offset: sessions and births that wait for their partner. */
  offsetWaiting: number
  /** Offset: a change by more than this makes judged sessions be judged again. */
  offsetStepUs: number

  /** A2: distinct stage-A sessions that must agree. */
  ruleAgreements: number
  /** A2: life of a rule after its last agreement, and of a suspension after the disagreement. */
  ruleTtlUs: number
  /** B: longest gap between the end of the session that taught and the start of the one judged. */
  tupleCacheTtlUs: number
  /** C: life of an entry. */
  remotePortTtlUs: number
  /** C: also where several programs use the remote end, its last one is taken. */
  remotePortShared: boolean
  /** C: where several programs use the remote end, how near in time a session of the one must be. */
  remotePortNearUs: number
  /** D: stage-A sessions needed. */
  remoteIpSessions: number
  /** D: share of them that one process must have. */
  remoteIpShare: number
  /** D: sessions of one program with an address that begin so soon after one that was counted are not counted again. */
  remoteIpBurstUs: number
  /** D: life of an address without new sessions. */
  remoteIpTtlUs: number
  /** F: farther than this only bound service sockets count; Infinity searches all days for every socket. */
  portHistoryReachUs: number
  /** F: share of the sockets found that one process must have. */
  portHistoryShare: number
  /** F: ports from here on are ephemeral: no service. 32768 is Linux's lower bound; Windows' is 49152. */
  ephemeralPortFrom: number
  /** N: labeled sessions needed for a name. */
  nameSessions: number
  /** N: labeled sessions needed for a name, where other hosts told them. */
  sharedNameSessions: number
  /** N: labeled sessions needed for a JA4 on a port: many programs greet alike. */
  greetingSessions: number
  /** N: share of them that one process must have. */
  nameShare: number
  /** N: life of a name without new sessions. */
  nameTtlUs: number
  /** Most entries of each table of A2 to N. */
  tableEntries: number
  /** Most processes told apart for one key of D and N. */
  processesPerKey: number

  /** Shadow scoring: sessions shorter than this make their own stratum (two polls of 50 ms). */
  briefUs: number
  /** Shadow scoring: samples below which there is no confidence, and no abstaining. */
  confidenceSamples: number
  /** Shadow scoring: a stage right less often than this abstains. */
  precisionFloor: number
  /** Sessions remembered as learned from, so that none teaches twice. */
  taughtSessions: number
}

/** The defaults: design section 4. */
export const defaultConstants: Readonly<MatchConstants> = Object.freeze({
  stages: ['A2', 'B', 'C', 'D', 'F', 'N'] as const,
  useEvents: true,
  useClockOffset: true,

  holdUs: 2 * second,
  snapshotsBack: 10,
  pollPeriodUs: 50 * ms,
  pollGapUs: 2 * second,
  toleranceUs: 25 * ms,
  sightingSynReachUs: 3 * second,
  sightingTcpReachUs: 15 * minute,
  sightingUdpReachUs: minute,
  untoldPortReachUs: second,
  untoldPortNearUs: 100 * ms,
  mergeSlackUs: second,
  keepUs: day,
  maxIntervals: 200_000,

  offsetSearchUs: 30 * second,
  offsetWindowUs: 5 * minute,
  offsetPairs: 64,
  offsetWaiting: 8_192,
  offsetStepUs: 250 * ms,

  ruleAgreements: 3,
  ruleTtlUs: 7 * day,
  tupleCacheTtlUs: 15 * minute,
  remotePortTtlUs: day,
  remotePortShared: false,
  remotePortNearUs: 5 * second,
  remoteIpSessions: 30,
  remoteIpShare: 0.85,
  remoteIpBurstUs: 5 * second,
  remoteIpTtlUs: 7 * day,
  portHistoryReachUs: 10 * minute,
  portHistoryShare: 0.85,
  ephemeralPortFrom: 32_768,
  nameSessions: 3,
  sharedNameSessions: 30,
  greetingSessions: 30,
  nameShare: 0.85,
  nameTtlUs: 7 * day,
  tableEntries: 50_000,
  processesPerKey: 16,

  briefUs: 100 * ms,
  confidenceSamples: 300,
  precisionFloor: 0.8,
  taughtSessions: 10_000,
})

/** Overrides of `--profile paper`: polls alone, no offset, no server names, no abstaining, F over all days. */
export const paperProfile: Readonly<Partial<MatchConstants>> = Object.freeze({
  stages: ['A2', 'B', 'C', 'D', 'F'] as const,
  useEvents: false,
  useClockOffset: false,
  remotePortShared: true,
  remoteIpBurstUs: 0,
  portHistoryReachUs: Number.POSITIVE_INFINITY,
  portHistoryShare: 0.5,
  precisionFloor: 0,
})
