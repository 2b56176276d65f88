/** What `proclabel doctor` makes of what it saw: pure functions, so that every complaint has its test. */

export interface Finding {
  level: 'ok' | 'warning' | 'failure' | 'not-checked'
  about: string
  /** What was found, in one sentence. */
  says: string
  /** What to do about it; null when there is nothing to do. */
  todo: string | null
}

export const ok = (about: string, says: string): Finding => ({ level: 'ok', about, says, todo: null })
export const warning = (about: string, says: string, todo: string): Finding => ({ level: 'warning', about, says, todo })
export const failure = (about: string, says: string, todo: string): Finding => ({ level: 'failure', about, says, todo })
export const notChecked = (about: string, says: string, todo: string): Finding => ({
  level: 'not-checked',
  about,
  says,
  todo,
})

/** What was heard of a host while the doctor listened. */
export interface HostHeard {
  /** From the hosts topic; false when only packets of it came: of a network that the capture was told to monitor. */
  announced: boolean
  /** Messages of its agent, and the greatest of (host clock - broker clock) among them, ms; null without any. */
  agentMessages: number
  agentAheadMs: number | null
  packetBatches: number
  packets: number
  /** Packets that the sensor says it lost. */
  lost: number
  /** As agentAheadMs, of the capture's clock. */
  captureAheadMs: number | null
}

export const newHostHeard = (): HostHeard => ({
  announced: false,
  agentMessages: 0,
  agentAheadMs: null,
  packetBatches: 0,
  packets: 0,
  lost: 0,
  captureAheadMs: null,
})

/** Clocks that are further apart than this are worth a word: records of a message are up to a second old when it is sent. */
const clockMs = 2000
/** Of the packets; above it labels suffer. */
const lossRatio = 0.001
/** Names in a sentence at most. */
const maxNames = 5

/** Agents, capture and clocks, from what came in `seconds`. */
export function judgeHosts(hosts: ReadonlyMap<string, HostHeard>, seconds: number): Finding[] {
  const agents = judgeAgents(hosts, seconds)
  return hosts.size === 0 ? [agents] : [agents, ...judgeCapture(hosts, seconds), ...judgeClocks(hosts)]
}

function judgeAgents(hosts: ReadonlyMap<string, HostHeard>, seconds: number): Finding {
  const known = new Map([...hosts].filter(([, { announced, agentMessages }]) => announced || agentMessages > 0))
  if (known.size === 0)
    return failure('agents', 'no agent has ever spoken', 'start `proclabel agent` on the hosts that are to be labeled')
  const silent = namesOf(known, ({ agentMessages }) => agentMessages === 0)
  const others = hosts.size - known.size
  if (silent.length === 0)
    return ok(
      'agents',
      `all ${known.size} speak${others === 0 ? '' : `; ${others} more hosts are captured without one`}`,
    )
  const says = `${silent.length} of ${known.size} said nothing for ${seconds} s: ${list(silent)}`
  const todo =
    "there, look at the agent's log and at its /readyz; it waits in its spool while Kafka is away. Sessions of these hosts " +
    'become unknown with the cause no-agent or agent-gap'
  return silent.length === known.size ? failure('agents', says, todo) : warning('agents', says, todo)
}

function judgeCapture(hosts: ReadonlyMap<string, HostHeard>, seconds: number): Finding[] {
  const sum = (of: (heard: HostHeard) => number) => Array.from(hosts.values(), of).reduce((a, b) => a + b, 0)
  const packets = sum(({ packets }) => packets)
  const lost = sum(({ lost }) => lost)
  if (sum(({ packetBatches }) => packetBatches) === 0) {
    const todo = 'start `proclabel capture -i INTERFACE` where the mirror port ends; a running one speaks every second'
    return [failure('capture', `no capture published anything for ${seconds} s`, todo)]
  }
  if (packets === 0) {
    const todo =
      'see with `tcpdump -i INTERFACE` whether the mirror port brings packets, and whether their addresses are those that ' +
      'the agents announce (tunnels and NAT change them)'
    return [warning('capture', `a capture runs, but saw no packet of a known host for ${seconds} s`, todo)]
  }
  if (lost === 0) return [ok('capture', `${packets} packets, none lost`)]
  const says = `${lost} packets lost beside ${packets} captured`
  const todo = 'a narrower --filter, or more processor time for capture; sessions of that moment say capture-gap'
  return [lost > lossRatio * (packets + lost) ? failure('capture', says, todo) : warning('capture', says, todo)]
}

function judgeClocks(hosts: ReadonlyMap<string, HostHeard>): Finding[] {
  const off = (aheadMs: number | null) => aheadMs !== null && Math.abs(aheadMs) > clockMs
  const told = [...hosts].flatMap(([hostId, { agentAheadMs, captureAheadMs }]) => [
    ...(off(agentAheadMs) ? [`${hostId} by ${seconds(agentAheadMs!)}`] : []),
    ...(off(captureAheadMs) ? [`the capture of ${hostId} by ${seconds(captureAheadMs!)}`] : []),
  ])
  if (told.length === 0) return [ok('clocks', `all within ${clockMs / 1000} s of the broker's`)]
  const todo =
    "set the clocks (NTP). A host's constant offset is found and applied all the same; one that jumps costs labels, and a " +
    'record over a day ahead of the broker is refused'
  return [warning('clocks', `off from the broker's: ${list(told)}`, todo)]
}

/** A group that reads: how it was when the doctor began and when it ended. */
export interface GroupSeen {
  members: number
  /** Records that wait. */
  lagBefore: number
  lagAfter: number
  /** Whether any committed offset went up meanwhile. */
  moved: boolean
}

export function judgeGroup(group: string, { members, lagBefore, lagAfter, moved }: GroupSeen): Finding {
  if (members === 0) {
    const todo = `start \`proclabel ${group}\`; ${lagAfter} records wait for it`
    return group === 'resolver'
      ? warning(group, 'nobody reads: what only names over all hosts can tell stays unknown', todo)
      : failure(group, 'nobody reads', todo)
  }
  const says = `${members} running, ${lagAfter} records not committed`
  if (moved || lagBefore === 0) {
    const grows = lagAfter > 2 * lagBefore && lagAfter > 10_000
    return grows
      ? warning(group, `${says}, ${lagBefore} a moment ago`, `start more of them, up to one for each partition`)
      : ok(group, says)
  }
  return failure(
    group,
    `${says}, and nothing moves`,
    'look at its log and at its /healthz; the orchestrator restarts it',
  )
}

/** The answers to INFO memory and INFO persistence. */
export function judgeRedis(info: string): Finding[] {
  const values = new Map(
    info.split(/\r?\n/).map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)] as const),
  )
  const [used, limit] = [Number(values.get('used_memory')), Number(values.get('maxmemory'))]
  const policy = values.get('maxmemory_policy')
  const findings: Finding[] = []
  if (policy !== undefined && policy !== 'noeviction')
    findings.push(
      failure('redis', `maxmemory-policy is ${policy}`, 'set noeviction: evicted state is a host read anew, at a loss'),
    )
  if (limit > 0 && used > 0.8 * limit)
    findings.push(
      warning('redis', `${Math.round((100 * used) / limit)} % of its memory is used`, 'raise maxmemory, or add nodes'),
    )
  if (values.get('aof_enabled') === '0')
    findings.push(
      warning(
        'redis',
        'keeps nothing when it is restarted',
        'set appendonly yes, or live with a read from the beginning',
      ),
    )
  return findings.length > 0 ? findings : [ok('redis', `${Math.round(used / 2 ** 20)} MiB used`)]
}

const namesOf = (hosts: ReadonlyMap<string, HostHeard>, which: (heard: HostHeard) => boolean): string[] =>
  Array.from(hosts)
    .filter(([, heard]) => which(heard))
    .map(([hostId]) => hostId)

const list = (names: readonly string[]): string =>
  names.length > maxNames
    ? `${names.slice(0, maxNames).join(', ')} and ${names.length - maxNames} more`
    : names.join(', ')

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

const marks = { ok: 'ok  ', warning: 'WARN', failure: 'FAIL', 'not-checked': '-   ' } as const

/** One line a finding, what to do below it. */
export const renderFindings = (findings: readonly Finding[]): string =>
  findings
    .map(
      ({ level, about, says, todo }) => `${marks[level]}  ${about}: ${says}${todo === null ? '' : `\n      ${todo}`}`,
    )
    .join('\n')
