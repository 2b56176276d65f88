import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { batchOf } from '#core/batch-fixture.ts'
import { defaultConstants } from '#core/constants.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { at, hostIp, TestHost } from '#core/test-host.ts'
import { codecs, type LabeledSession, type Resolution } from '#schemas'
import { pack, unpack } from '#shared/store/packed-state.ts'
import type { HostState } from '#shared/store/store.ts'
import { HostCopy } from './host-copy.ts'
import { HostPipeline, type PipelineState } from './host-pipeline.ts'
import { SnapshotPace } from './snapshot-pace.ts'

const options = {
  constants: defaultConstants,
  sharedNames: null,
  directory: new HostDirectory(),
  provisional: true,
  persistent: true,
  pace: new SnapshotPace(),
  plausible: null,
  codecs,
}
const ends = `tcp ${hostIp}:40000 192.0.2.7:443`

/** The host's agent polls, and finds the owner of port 40000 only if one is given. */
function tellSockets(
  pipeline: HostPipeline,
  agent: TestHost,
  fromMs: number,
  untilMs: number,
  owner: string | null = null,
): void {
  for (let ms = fromMs; ms <= untilMs; ms += 50)
    pipeline.applySnapshot(agent.pollMessage(ms, ...(owner !== null && ms >= 0 ? [[ends, owner] as const] : [])))
}

const goOn = (pipeline: HostPipeline, untilMs: number) => {
  pipeline.applyPackets(batchOf([], { until_us: at(untilMs) }), 0)
  return pipeline.take()
}

const flow = 'tcp 40000'
const begin = [`10 ${flow} > 192.0.2.7:443 S1`, `11 ${flow} < 192.0.2.7:443 SA2`]
const end = [`2000 ${flow} > 192.0.2.7:443 FA`, `2001 ${flow} < 192.0.2.7:443 FA`]

/** A session that nobody could label has ended and was told; it leaves the table a minute later. */
function unknown(heardUntilMs = -50) {
  const pipeline = new HostPipeline('host', options)
  const agent = new TestHost()
  tellSockets(pipeline, agent, -100, heardUntilMs)
  pipeline.applyPackets(batchOf([...begin, ...end]), 0)
  const [session, ...more] = goOn(pipeline, 10_000)
  assert.deepEqual([more, session!.state, session!.label, session!.label_final], [[], 'closed', null, false])
  return { pipeline, agent, session: session! }
}

const resolutionOf = ({ session_id, revision }: LabeledSession, more: Partial<Resolution> = {}): Resolution => ({
  host_id: 'host',
  session_id,
  revision,
  stage: 'N',
  process: 'curl',
  pid: null,
  process_start_us: null,
  confidence: 0.9,
  support: 40,
  share: 1,
  reason: 'why',
  ...more,
})

/** Records that were decoded have classes. */
const plain = (record: unknown): unknown => JSON.parse(JSON.stringify(record))

const told = ({ revision, stage, label, unknown_cause, label_final }: LabeledSession) =>
  `${revision} ${label ? `${stage} ${label.process}` : unknown_cause}${label_final ? '' : ' not final'}`

suite('a resolution', () => {
  test('is the label of the next revision, with its evidence, and counts once', () => {
    const { pipeline, session } = unknown(2_500)
    goOn(pipeline, 90_000)
    assert.equal(pipeline.applyResolution(resolutionOf(session)), true)
    const [record, ...more] = pipeline.take()
    assert.deepEqual(more, [])
    const nothing = {
      ...{ pid: null, process_start_us: null, path: null, service: null },
      ...{ container_id: null, pod: null, container_image: null, parent: null },
    }
    assert.deepEqual(plain(record), {
      ...(plain(session) as LabeledSession),
      revision: session.revision + 1,
      label: { process: 'curl', ...nothing },
      stage: 'N',
      confidence: 0.9,
      unknown_cause: null,
      evidence: {
        ...{ reason: 'why', source: null, quality: null, owned_from_us: null, owned_until_us: null },
        ...{ clock_offset_us: null, support: 40, share: 1, candidates: [] },
      },
    })
    assert.equal(pipeline.applyResolution(resolutionOf(session)), false)
    assert.equal(pipeline.applyResolution(resolutionOf(record!, { process: 'wget' })), false)
    assert.deepEqual(pipeline.take(), [])
  })

  test('states no confidence of a time when the agent was not heard', () => {
    const { pipeline, session } = unknown()
    goOn(pipeline, 90_000)
    pipeline.applyResolution(resolutionOf(session))
    assert.deepEqual(
      pipeline.take().map(record => [told(record), record.agent_gap, record.confidence]),
      [[`${session.revision + 1} N curl not final`, true, null]],
    )
  })

  test('on another revision is void', () => {
    const { pipeline, session } = unknown()
    goOn(pipeline, 90_000)
    for (const revision of [session.revision - 1, session.revision + 1])
      assert.equal(pipeline.applyResolution(resolutionOf(session, { revision })), false)
    assert.deepEqual(pipeline.take(), [])
  })

  test('that comes before the session has left the table waits for that', () => {
    const { pipeline, session } = unknown()
    pipeline.applyResolution(resolutionOf(session))
    assert.deepEqual(goOn(pipeline, 30_000), [])
    const restored = new HostPipeline('host', options)
    restored.restore(unpack(pack(pipeline.state())) as PipelineState)
    assert.deepEqual(goOn(restored, 90_000).map(told), [`${session.revision + 1} N curl not final`])
  })

  test('is void when the session goes on after it', () => {
    const { pipeline, session } = unknown()
    pipeline.applyResolution(resolutionOf(session))
    pipeline.applyPackets(batchOf([`12000 ${flow} < 192.0.2.7:443 FA`]), 0)
    const records = [20_000, 100_000].flatMap(ms => goOn(pipeline, ms))
    assert.deepEqual(records.map(told), [`${session.revision + 1} ${session.unknown_cause} not final`])
  })

  /** The session, and the resolver's word taken over. */
  function resolved() {
    const { pipeline, agent, session } = unknown()
    goOn(pipeline, 90_000)
    pipeline.applyResolution(resolutionOf(session))
    assert.equal(pipeline.take().length, 1)
    return { pipeline, agent, session }
  }

  test('stays when the host is judged again and knows nothing better', () => {
    const { pipeline, agent } = resolved()
    assert.deepEqual(goOn(pipeline, 130_000), [])
    // Late polls of the session's time, which do not show its socket.
    tellSockets(pipeline, agent, 0, 10_000)
    assert.deepEqual(goOn(pipeline, 170_000), [])
  })

  test('gives way when the host knows better', () => {
    const { pipeline, agent, session } = resolved()
    tellSockets(pipeline, agent, 0, 10_000, 'wget')
    const [better, ...more] = goOn(pipeline, 210_000)
    assert.deepEqual([more, told(better!).replace(' not final', '')], [[], `${session.revision + 2} A wget`])
  })

  test('is in the journal: the copy that is restored says the same', () => {
    const store = new Map<string, Uint8Array>()
    const state = (): HostState => ({ version: '1', fields: new Map(store) })
    let offset = 0
    const apply = (copy: HostCopy, topic: string, value: Uint8Array) => {
      const fate = copy.apply({ key: 'host', topic, partition: 0, offset: offset++, appendMs: 0, value })
      for (const [field, bytes] of copy.write()?.put ?? []) {
        if (bytes) store.set(field, bytes)
        else store.delete(field)
      }
      const published = copy.write()?.outbox.map(({ value }) => codecs['labeled-sessions'].decode(value)) ?? []
      copy.written('1')
      return { kind: fate.kind, published }
    }
    let seq = 0
    const packets = (texts: string[], ms: number) =>
      codecs.packets.encode(
        batchOf(texts, { until_us: at(ms), seq: seq++, ...(texts.length === 0 && { base_us: at(ms) }) }),
      )
    const copy = new HostCopy('host', options)
    const agent = new TestHost()
    apply(copy, 'socket-snapshots', codecs['socket-snapshots'].encode(agent.pollMessage(-50)))
    apply(copy, 'packets', packets([...begin, ...end], 2_001))
    const [session] = apply(copy, 'packets', packets([], 10_000)).published
    apply(copy, 'packets', packets([], 90_000))
    const before = HostCopy.restore('host', state(), options)
    const resolution = codecs.resolutions.encode(resolutionOf(session!))
    assert.deepEqual(apply(copy, 'resolutions', codecs.resolutions.encode(resolutionOf(session!, { host_id: 'x' }))), {
      kind: 'other-host',
      published: [],
    })
    const first = apply(copy, 'resolutions', resolution)
    assert.deepEqual(
      [first.kind, first.published.map(told)],
      ['applied', [`${session!.revision + 1} N curl not final`]],
    )
    const after = HostCopy.restore('host', state(), options)
    assert.deepEqual(pack(after.pipeline.state()), pack(copy.pipeline.state()))
    assert.deepEqual(apply(after, 'resolutions', resolution), { kind: 'repeated', published: [] })
    assert.deepEqual(apply(before, 'resolutions', resolution).published, first.published)
  })
})
