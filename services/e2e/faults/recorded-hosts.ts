import { defaultConstants } from '#core/constants.ts'
import { codecs, type LabeledSession, type PacketBatch, PacketBatchBuilder, partitionKey, type Topic } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { type RecordedInput, recordedInputs } from '../../embedded/recording-fixture.ts'
import { inputTopics, Matcher, type MatcherOptions, withinProcess } from '../../matcher/matcher.ts'

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

function toldBy(hostId: string, { topic, value }: RecordedInput): RecordedInput {
  const codec = codecs[topic] as (typeof codecs)[(typeof inputTopics)[number]]
  const record = { ...codec.decode(value), host_id: hostId }
  return { topic, key: partitionKey(hostId), value: (codec.encode as (record: unknown) => Buffer)(record) }
}

/** The last record of every session, by session id. */
export type Sessions = Map<string, LabeledSession>

export function keepLatest(sessions: Sessions, record: LabeledSession): void {
  if ((sessions.get(record.session_id)?.revision ?? -1) <= record.revision) sessions.set(record.session_id, record)
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

/** All topics that a matcher reads or writes. */
export const topicsOfMatcher: readonly Topic[] = [...inputTopics, 'resolutions', 'labeled-sessions', 'dead-letters']
