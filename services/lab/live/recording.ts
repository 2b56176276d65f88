import { readFileSync } from 'node:fs'
import { HostDirectory } from '#core/host-directory.ts'
import { codecs, type Host, type PacketBatch, partitionKey, type TopicRecord } from '#schemas'
import type { AgentTopic } from '../../agent/agent.ts'
import { createCapture } from '../../capture/create-capture.ts'
import { openCapture } from '../../capture/files/open-capture.ts'
import type { FrameBlock } from '../../capture/packet-source.ts'
import type { RecordedInput } from '../../embedded/recording-fixture.ts'
import { openSocketLogs } from '../../embedded/socket-logs.ts'
import { Random } from '../day/random.ts'
import type { TruthLine } from '../truth-line.ts'
import { type Pace, paces } from './load.ts'
import type { LabRecord } from './run.ts'

const stepUs = 1_000_000
/** Behind the last packet: every session has ended by then. */
const silenceUs = 400 * stepUs

/** A frame as tcpdump saw it on the mirror port. */
export interface Frame {
  timeUs: number
  /** When it comes to the capture, for which its time stays what it is. */
  arrivalUs: number
  wireLength: number
  data: Uint8Array
}

/** What an agent said, decoded. */
export type AgentRecord = { [T in AgentTopic]: { topic: T; timeUs: number; record: TopicRecord<T> } }[AgentTopic]

/** What is made of a recording before it is labeled: each answers null for what is lost. */
export interface Change {
  record?: (said: AgentRecord, span: Span, random: Random) => AgentRecord | null
  frame?: (frame: Frame, random: Random) => Frame | null
}

/** First and last packet, microseconds since the epoch. */
export interface Span {
  fromUs: number
  toUs: number
}

/** All of a lab's recording in memory, to be published again and again under other conditions. */
export class Recording {
  readonly #hosts: readonly Host[]
  readonly #said: readonly AgentRecord[]
  readonly #frames: readonly Frame[]
  readonly #linkType: number
  readonly span: Span
  readonly paces: readonly Pace[]

  private constructor(
    hosts: readonly Host[],
    said: readonly AgentRecord[],
    frames: readonly Frame[],
    linkType: number,
  ) {
    this.#hosts = hosts
    this.#said = said
    this.#frames = frames
    this.#linkType = linkType
    this.paces = paces(said)
    this.span = { fromUs: frames[0]!.timeUs, toUs: frames.at(-1)!.timeUs }
  }

  static async open({ capture, sockets }: Pick<LabRecord, 'capture' | 'sockets'>): Promise<Recording> {
    const logs = await openSocketLogs([sockets], null)
    const said: AgentRecord[] = []
    for await (const { topic, timeUs, value } of logs.records())
      said.push({ topic, timeUs, record: codecs[topic].decode(value) } as AgentRecord)
    const source = await openCapture(capture)
    const frames: Frame[] = []
    let linkType = 0
    for await (const block of source.blocks()) {
      linkType = block.linkType[0]!
      for (let i = 0; i < block.count; i++) {
        const data = block.data.slice(block.offset[i]!, block.offset[i]! + block.captured[i]!)
        const timeUs = block.timeUs[i]!
        frames.push({ timeUs, arrivalUs: timeUs, wireLength: block.wireLength[i]!, data })
      }
    }
    await source.close()
    return new Recording(logs.hosts, said, frames, linkType)
  }

  /** As agents and sensor would have published it, second by second, ending with a long silence. */
  *inputs({ record, frame }: Change, seed = 1): Generator<RecordedInput> {
    const random = new Random(seed)
    const said = this.#said.flatMap(one => (record ? (record(one, this.span, random) ?? []) : one))
    const frames = this.#frames.flatMap(one => (frame ? (frame(one, random) ?? []) : one))
    frames.sort((a, b) => a.arrivalUs - b.arrivalUs)
    const directory = new HostDirectory()
    for (const host of this.#hosts) directory.apply(host)
    const capture = createCapture({ sensorId: 'lab', runId: 'run 1', hosts: directory, keepUnmonitored: false })
    let [nextSaid, nextFrame] = [0, 0]
    const endUs = this.span.toUs + silenceUs
    for (let untilUs = this.span.fromUs + stepUs; untilUs < endUs; untilUs += stepUs) {
      for (; nextSaid < said.length && said[nextSaid]!.timeUs <= untilUs; nextSaid++) yield toInput(said[nextSaid]!)
      const first = nextFrame
      while (nextFrame < frames.length && frames[nextFrame]!.arrivalUs < untilUs) nextFrame++
      const batches = first < nextFrame ? capture.add(toBlock(frames.slice(first, nextFrame), this.#linkType)) : []
      for (const batch of [...batches, ...capture.tick(untilUs)]) yield toPackets(batch)
    }
    for (const batch of capture.flush()) yield toPackets(batch)
  }
}

/** The truth that a lab left in its folder. */
export const readTruth = (folder: string): TruthLine[] =>
  readFileSync(`${folder}/truth.jsonl`, 'utf8')
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line))

function toInput({ topic, record }: AgentRecord): RecordedInput {
  const encode = codecs[topic].encode as (record: unknown) => Buffer
  return { topic, key: partitionKey(record.host_id), value: encode(record) }
}

const toPackets = (batch: PacketBatch): RecordedInput => ({
  topic: 'packets',
  key: partitionKey(batch.host_id),
  value: codecs.packets.encode(batch),
})

function toBlock(frames: readonly Frame[], linkType: number): FrameBlock {
  const captured = Int32Array.from(frames, ({ data }) => data.length)
  const offset = new Int32Array(frames.length)
  for (let i = 1; i < frames.length; i++) offset[i] = offset[i - 1]! + captured[i - 1]!
  return {
    count: frames.length,
    data: Buffer.concat(frames.map(({ data }) => data)),
    ...{ offset, captured },
    wireLength: Int32Array.from(frames, ({ wireLength }) => wireLength),
    timeUs: Float64Array.from(frames, ({ timeUs }) => timeUs),
    linkType: new Uint16Array(frames.length).fill(linkType),
  }
}
