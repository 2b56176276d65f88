/** What was measured: services/e2e/bench/README.md of 2026-11-26, pipeline at commit 33e4523 and polls of 499 sockets. */
export const measured = {
  /** CPU of each part for a packet, two matchers, 300,000 packets/s of 100 hosts in real time, polls and sessions included. */
  cpuUsPerPacket: { capture: 0.56, broker: 0.91, redis: 0.3, matcher: 3.47, reader: 0.27 },
  packetsPerSecond: 300_000,
  hosts: 100,
  /** Of a matcher's CPU: "socket polls (a tenth)". */
  matcherPollShare: 0.1,
  kafkaBytesPerPacket: 6.6,
  /** 1,000 sockets a host. */
  kafkaBytesPerPoll: 229,
  /** Of labeled-sessions, before it is compacted to one record a session. */
  kafkaBytesPerSession: 1.7 * 125,
  /** A session in a matcher's memory, sockets and all, and in Redis. */
  matcherKiBPerSession: 8.4,
  redisBytesPerSession: 242,
  packetsPerSession: 60,
  /** From first to last packet, on average. */
  sessionSeconds: 20,
  /** How long a session stays in the tables after its end. */
  lingerSeconds: 60,
  /** An agent at 50 ms and 499 sockets, large TCP hash, a new connection in every period: CPU of a poll. */
  agentMsPerPoll: 1.4,
} as const

/** What the table supposes, and a site has to replace by its own. */
export const assumed = {
  packetsPerHost: 300,
  pollsPerSecond: 20,
  replication: 3,
  retentionSeconds: 86_400,
  sessionRetentionDays: 30,
} as const
/** Bytes on disk of a byte a second. */
const kept = assumed.retentionSeconds * assumed.replication
/** Half of each core is left for peaks and for catching up. */
const load = 0.5

export interface Size {
  hosts: number
  packetsPerSecond: number
  sessionsPerSecond: number
  sessionsHeld: number
  /** Cores of each part, reserve included. */
  cores: { capture: number; broker: number; redis: number; matcher: number }
  matcherBytes: number
  redisBytes: number
  /** On the disks of all brokers. */
  packetBytes: number
  pollBytes: number
  sessionBytes: number
  matchers: number
}

/** What so many hosts need, when each has so many packets a second. */
export function sizeFor(hosts: number, packetsPerHost: number = assumed.packetsPerHost): Size {
  const { cpuUsPerPacket: cpu, matcherPollShare } = measured
  const packetsPerSecond = hosts * packetsPerHost
  const cores = (usPerPacket: number) => (packetsPerSecond * usPerPacket) / 1e6 / load
  const pollCores = hosts * pollCoresPerHost
  const sessionsPerSecond = packetsPerSecond / measured.packetsPerSession
  const sessionsHeld = sessionsPerSecond * (measured.sessionSeconds + measured.lingerSeconds)
  const matcherCores = cores(cpu.matcher * (1 - matcherPollShare)) + pollCores / load
  return {
    hosts,
    packetsPerSecond,
    sessionsPerSecond,
    sessionsHeld,
    cores: {
      capture: cores(cpu.capture),
      broker: cores(cpu.broker),
      redis: cores(cpu.redis),
      matcher: matcherCores,
    },
    matcherBytes: sessionsHeld * measured.matcherKiBPerSession * 1024,
    redisBytes: sessionsHeld * measured.redisBytesPerSession,
    packetBytes: packetsPerSecond * measured.kafkaBytesPerPacket * kept,
    pollBytes: hosts * assumed.pollsPerSecond * measured.kafkaBytesPerPoll * kept,
    sessionBytes: sessionsPerSecond * measured.kafkaBytesPerSession * kept * assumed.sessionRetentionDays,
    matchers: Math.max(2, Math.ceil(matcherCores)),
  }
}

/** Cores of a matcher that the polls of one host take. */
const pollCoresPerHost =
  (measured.cpuUsPerPacket.matcher * measured.matcherPollShare * measured.packetsPerSecond) / 1e6 / measured.hosts

/** The sizing page, as Markdown. */
export function sizingPage(): string {
  const { cpuUsPerPacket: cpu } = measured
  const sizes = [10, 1_000, 100_000].map(hosts => sizeFor(hosts))
  const row = (what: string, value: (size: Size) => string) => `| ${what} | ${sizes.map(value).join(' | ')} |`
  return `# Sizing

Written by \`node services/deploy/docs/main.ts\` from \`services/deploy/docs/sizing.ts\`: the figures are those of
[\`services/e2e/bench/README.md\`](../../e2e/bench/README.md), measured on two shared virtual cores with everything on them.
**Reckoned, not run**: the largest load that ran was ${thousands(measured.packetsPerSecond)} packets/s of ${measured.hosts} hosts. Sizes beyond that suppose that work
grows with packets and hosts, as partitions are independent; that brokers, Redis and network keep up at that size nobody has tried.

| Hosts, ${assumed.packetsPerHost} packets/s each | ${sizes.map(({ hosts }) => thousands(hosts)).join(' | ')} |
|${' --- |'.repeat(sizes.length + 1)}
${[
  row('packets/s', size => thousands(size.packetsPerSecond)),
  row('sessions/s', size => thousands(size.sessionsPerSecond)),
  row('sessions held', size => thousands(size.sessionsHeld)),
  row('cores for captures', size => coresText(size.cores.capture)),
  row('cores for brokers', size => coresText(size.cores.broker)),
  row('cores for Redis', size => coresText(size.cores.redis)),
  row('cores for matchers', size => coresText(size.cores.matcher)),
  row('matchers, a core each', size => thousands(size.matchers)),
  row('partitions, at least', size => thousands(partitionsFor(size.matchers))),
  row('memory of all matchers, beside 0.3 GiB each', size => bytesText(size.matcherBytes)),
  row('memory of Redis', size => bytesText(size.redisBytes)),
  row("packets on the brokers' disks", size => bytesText(size.packetBytes)),
  row("socket polls on the brokers' disks", size => bytesText(size.pollBytes)),
  row("labeled sessions on the brokers' disks, at most", size => bytesText(size.sessionBytes)),
].join('\n')}

## The formula
With \`h\` hosts and \`p\` packets a second in all. Every core is planned at ${load * 100} % load; a session has ${measured.packetsPerSession} packets and lasts ${measured.sessionSeconds} s.

| What | Formula |
| --- | --- |
| sessions a second | \`s = p / ${measured.packetsPerSession}\` |
| sessions held | \`n = s × (${measured.sessionSeconds} s + ${measured.lingerSeconds} s)\`: a session stays for a minute after its end |
| cores for captures | \`p × ${cpu.capture} µs / ${load}\`: batching and publishing; decoding frames comes on top, by the interface |
| cores for brokers | \`p × ${cpu.broker} µs / ${load}\` |
| cores for Redis | \`p × ${cpu.redis} µs / ${load}\`; one Redis uses one, so above that a cluster |
| cores for matchers | \`(p × ${round(cpu.matcher * (1 - measured.matcherPollShare))} µs + h × ${round(pollCoresPerHost * 1000)} ms/s) / ${load}\`: packets and sessions, and the socket polls of each host (1,000 sockets, ${assumed.pollsPerSecond} polls/s) |
| partitions | at least as many as matchers, the next power of two, and twice that to grow: the number is fixed |
| memory of matchers | \`n × ${measured.matcherKiBPerSession} KiB\` |
| memory of Redis | \`n × ${measured.redisBytesPerSession} B\`; plan double, since a rewrite copies |
| brokers' disks | \`p × ${measured.kafkaBytesPerPacket} B × ${thousands(assumed.retentionSeconds)} s × ${assumed.replication} copies\` for packets, \`h × ${assumed.pollsPerSecond} polls/s × ${measured.kafkaBytesPerPoll} B × …\` for socket polls of hosts with 1,000 sockets, \`s × ${Math.round(measured.kafkaBytesPerSession)} B × ${assumed.sessionRetentionDays} days × …\` for labeled sessions, before Kafka compacts them to the latest revision of each (1.7 records a session, 125 B each) |
| an agent, of its host's processor | \`${assumed.pollsPerSecond} polls/s × ${measured.agentMsPerPoll} ms = ${round((assumed.pollsPerSecond * measured.agentMsPerPoll) / 10)} %\` of one core at 500 sockets |
| a reader of labeled sessions | \`p × ${cpu.reader} µs\`, as the bench's reader, which looks into one record of eight |

Labeled sessions are the most: where nobody reads them after a week, shorten the topic's \`retention.ms\` and keep files (\`proclabel export\`).
Not measured, so not in the table: kernel events; a resolver; hosts with other numbers of sockets or packets to a session. Measure your own with \`npm run bench -- pipeline\` and the lag and memory panels.
`
}

const partitionsFor = (matchers: number): number => Math.max(12, 2 ** Math.ceil(Math.log2(matchers)) * 2)
const thousands = (value: number): string => Math.round(value).toLocaleString('en-US')
const round = (value: number): string => String(Number(value.toPrecision(3)))
const coresText = (cores: number): string =>
  cores < 0.1 ? 'under 0.1' : cores < 10 ? cores.toFixed(1) : thousands(cores)

function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10))
  return `${round(bytes / 1024 ** power)} ${units[power]}`
}
