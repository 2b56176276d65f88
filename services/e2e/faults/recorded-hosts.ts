import { defaultConstants } from '#core/constants.ts'
import { programNamed } from '#core/program.ts'
import { codecs, type LabeledSession, type PacketBatch, PacketBatchBuilder, partitionKey, type Topic } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { type RecordedInput, recordedInputs } from '../../embedded/recording-fixture.ts'
import { inputTopics, Matcher, type MatcherOptions, withinProcess } from '../../matcher/matcher.ts'
import { PartitionNames } from '../../resolver/partition-names.ts'

/** Silence after the recording, so that every session in it has ended. */
const silenceUs = 400_000_000

/** The bundled recording told by several hosts at once, in order of time, ending with a long silence. */
export async function recordedHosts(count: number): Promise<RecordedInput[]> {
  const { inputs } = await recordedInputs()
  const last = inputs.findLast(({ topic }) => topic === 'packets')!
  const silence = silenceAfter(codecs.packets.decode(last.value))
  const whole = [...inputs, { ...last, value: codecs.packets.encode(silence) }]
  const hosts = Array.from({ length: count }, (_, i) => `host-${i}`)
  return whole.flatMap(input => hosts.map(hostId => toldBy(hostId, input)))
}

/** The batch that follows a host's last one: for long, nothing came. */
export function silenceAfter({ host_id, sensor_id, run_id, seq, until_us }: PacketBatch): PacketBatch {
  const times = { seq: seq + 1, until_us: until_us + silenceUs, lost: 0, names: [], dns: [] }
  return new PacketBatchBuilder().build({ host_id, sensor_id, run_id, ...times })
}

const toldBy = (hostId: string, input: RecordedInput): RecordedInput =>
  reencoded(input, record => ({ ...record, host_id: hostId }))

/** The last record of every session, by session id. */
export type Sessions = Map<string, LabeledSession>

export function keepLatest(sessions: Sessions, record: LabeledSession): void {
  if ((sessions.get(record.session_id)?.revision ?? -1) <= record.revision) sessions.set(record.session_id, record)
}

/** Hosts of which the agents say nothing after their first words: their sessions are unknown, but for what other hosts teach. */
export function silenced<T extends RecordedInput>(inputs: readonly T[], hosts: ReadonlySet<string>): T[] {
  const heard = new Set<string>()
  return inputs.filter(({ topic, key }) => {
    if (topic === 'packets' || topic === 'hosts' || !hosts.has(key)) return true
    const isFirst = !heard.has(`${topic} ${key}`)
    heard.add(`${topic} ${key}`)
    return isFirst
  })
}

/** As if the clocks of hosts were off: by host id, what is added to a time of the host's clock, microseconds. */
export function withClocks(
  inputs: readonly RecordedInput[],
  offsets: Readonly<Record<string, (timeUs: number) => number>>,
): RecordedInput[] {
  return inputs.map(input => {
    const offset = offsets[input.key]
    if (!offset || input.topic === 'packets') return input
    const shift = (timeUs: number) => Math.round(timeUs + offset(timeUs))
    return reencoded(input, record => shiftTimes(record, shift))
  })
}

function shiftTimes(record: Record<string, unknown>, shift: (timeUs: number) => number): Record<string, unknown> {
  const times = ['time_us', 'until_us', 'updated_us']
  return Object.fromEntries(
    Object.entries(record).map(([name, value]) => {
      if (times.includes(name) && typeof value === 'number') return [name, shift(value)]
      if (name !== 'polls' && name !== 'events') return [name, value]
      return [name, (value as Record<string, unknown>[]).map(one => shiftTimes(one, shift))]
    }),
  )
}

/** Every record of agents and sensor twice, the second time a few records later, and every fifth after its successor of the same topic and host. */
export function twiceAndDisordered(inputs: readonly RecordedInput[], later = 25): RecordedInput[] {
  const disordered = [...inputs]
  const before = new Map<string, number>()
  for (const [i, { topic, key }] of inputs.entries()) {
    const place = before.get(`${topic} ${key}`)
    if (place !== undefined && i % 5 === 0) {
      disordered[i] = inputs[place]!
      disordered[place] = inputs[i]!
      before.delete(`${topic} ${key}`)
    } else before.set(`${topic} ${key}`, i)
  }
  return disordered.flatMap((input, i) => {
    const again = disordered[i - later]
    return again ? [input, again] : [input]
  })
}

const reencoded = (
  { topic, value }: RecordedInput,
  change: (record: Record<string, unknown>) => Record<string, unknown>,
): RecordedInput => {
  const codec = codecs[topic] as (typeof codecs)[(typeof inputTopics)[number]]
  const record = change(codec.decode(value) as unknown as Record<string, unknown>)
  const key = partitionKey(record.host_id as string)
  return { topic, key, value: (codec.encode as (record: unknown) => Buffer)(record) }
}

/** What a matcher within this process makes of the inputs; as between processes, names over all hosts are for a resolver to tell. */
export async function labeledInProcess(
  inputs: readonly RecordedInput[],
  {
    codecs: matcherCodecs = codecs,
    prepare = withinProcess.prepare,
  }: Partial<Pick<MatcherOptions, 'codecs' | 'prepare'>> = {},
): Promise<Sessions> {
  const bus = new InProcessBus()
  const stop = new AbortController()
  const options = { bus, store: new MemoryStore(), constants: defaultConstants, provisional: true, hasResolver: true }
  const matcher = new Matcher({ ...withinProcess, ...options, codecs: matcherCodecs, prepare })
  const matching = matcher.run(stop.signal)
  const sessions: Sessions = new Map()
  const reading = (async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'test', stop.signal)) {
      for (const { value } of batch.records) keepLatest(sessions, matcherCodecs['labeled-sessions'].decode(value!))
      await batch.commit()
    }
  })()
  for (const { topic, key, value } of inputs) await bus.publish(topic, [{ key, value }])
  await bus.drained()
  stop.abort()
  await Promise.all([matching, reading])
  return sessions
}

/** The sessions as they are told once a resolver has seen all of them, and the matcher has taken over what it says. */
export function resolved(sessions: Sessions): Sessions {
  const names = new PartitionNames(defaultConstants)
  for (const session of sessions.values()) names.observe(session, session.last_us, [names])
  const told = new Map(sessions)
  for (const { session_id, revision, process, stage } of names.resolve([names])) {
    const label = programNamed(process)
    told.set(session_id, { ...told.get(session_id)!, revision: revision + 1, label, stage, unknown_cause: null })
  }
  return told
}

/** All topics that a matcher reads or writes. */
export const topicsOfMatcher: readonly Topic[] = [...inputTopics, 'resolutions', 'labeled-sessions', 'dead-letters']
