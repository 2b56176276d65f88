import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { defaultConstants } from '#core/constants.ts'
import { SharedNames } from '#core/stages/server-name.ts'
import { codecs, type LabeledSession } from '#schemas'
import { pack, unpack } from '#shared/store/packed-state.ts'
import { HostPipeline, type PipelineState } from '../matcher/host-pipeline.ts'
import { type RecordedInput, recordedInputs } from './recording-fixture.ts'

const { hostId, inputs } = await recordedInputs()

function apply(pipeline: HostPipeline, { topic, value }: RecordedInput): void {
  if (topic === 'hosts') pipeline.applyHost(codecs.hosts.decode(value))
  else if (topic === 'socket-snapshots') pipeline.applySnapshot(codecs[topic].decode(value))
  else if (topic === 'socket-events') pipeline.applyEvents(codecs[topic].decode(value))
  else {
    const batch = codecs.packets.decode(value)
    pipeline.applyPackets(batch, batch.lost)
  }
}

/** What a pipeline publishes that is packed, dropped and unpacked after each of the inputs in `cuts`. */
function records(cuts: ReadonlySet<number>): LabeledSession[] {
  const sharedNames = () => new SharedNames(defaultConstants)
  const create = () =>
    new HostPipeline(hostId, {
      constants: defaultConstants,
      sharedNames: sharedNames(),
      provisional: true,
    })
  let pipeline = create()
  const taken: LabeledSession[] = []
  for (const [i, input] of inputs.entries()) {
    apply(pipeline, input)
    taken.push(...pipeline.take())
    if (!cuts.has(i)) continue
    const packed = pack(pipeline.state())
    pipeline = create()
    pipeline.restore(unpack(packed) as PipelineState)
  }
  while (pipeline.end(100)) taken.push(...pipeline.take())
  pipeline.finish(null)
  taken.push(...pipeline.take())
  return taken
}

test('a pipeline that was packed and unpacked at any moments publishes what an undisturbed one does', () => {
  const undisturbed = records(new Set())
  assert.ok(undisturbed.some(({ stage }) => stage === 'A') && undisturbed.some(({ revision }) => revision > 0))
  const cuts = fc.uniqueArray(fc.nat(inputs.length - 1), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(cuts, chosen => {
      assert.deepEqual(records(new Set(chosen)), undisturbed)
    }),
    { numRuns: 20, seed: 1 },
  )
})

test('state of another format is refused', () => {
  const packed = pack({})
  packed[0] = 0
  assert.throws(() => unpack(packed), { code: 'PROCLABEL_STATE' })
})
