import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { defaultConstants } from '#core/constants.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { SharedNames } from '#core/stages/server-name.ts'
import { codecs, type LabeledSession } from '#schemas'
import { Capture } from '../capture/capture.ts'
import { openCapture } from '../capture/files/open-capture.ts'
import { HostPipeline, type PipelineState } from '../matcher/host-pipeline.ts'
import { pack, unpack } from '../matcher/packed-state.ts'
import { openSocketLogs } from './socket-logs.ts'

const sample = (name: string) => fileURLToPath(new URL(`sample/${name}`, import.meta.url))

type Input = (pipeline: HostPipeline) => void

/** The bundled recording of one host as what its pipeline is told, in order of time. */
async function recording(): Promise<{ hostId: string; inputs: Input[]; directory: HostDirectory }> {
  const logs = await openSocketLogs([sample('sockets.jsonl.gz')], null)
  const [host] = logs.hosts
  const directory = new HostDirectory()
  directory.apply(host!)
  const source = await openCapture(sample('capture.pcap.gz'))
  const capture = new Capture({ sensorId: 's', runId: 'r', hosts: directory, keepUnmonitored: false })
  const told: { timeUs: number; input: Input }[] = []
  for await (const block of source.blocks()) {
    for (const batch of capture.add(block))
      told.push({ timeUs: batch.until_us, input: pipeline => pipeline.applyPackets(batch, batch.lost) })
  }
  await source.close()
  for await (const { topic, timeUs, value } of logs.records()) {
    const input = (pipeline: HostPipeline) => {
      if (topic === 'hosts') pipeline.applyHost(codecs.hosts.decode(value))
      else if (topic === 'socket-snapshots') pipeline.applySnapshot(codecs[topic].decode(value))
      else pipeline.applyEvents(codecs[topic].decode(value))
    }
    told.push({ timeUs, input })
  }
  told.sort((a, b) => a.timeUs - b.timeUs)
  return { hostId: host!.host_id, inputs: told.map(({ input }) => input), directory }
}

const { hostId, inputs, directory } = await recording()

/** What a pipeline publishes that is packed, dropped and unpacked after each of the inputs in `cuts`. */
function records(cuts: ReadonlySet<number>): LabeledSession[] {
  const create = () =>
    new HostPipeline(hostId, {
      constants: defaultConstants,
      sharedNames: new SharedNames(defaultConstants),
      directory,
      provisional: true,
    })
  let pipeline = create()
  const taken: LabeledSession[] = []
  for (const [i, input] of inputs.entries()) {
    input(pipeline)
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
