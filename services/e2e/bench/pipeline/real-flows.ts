import { readdirSync } from 'node:fs'
import { type DnsAnswer, directionBits, type FlowName, type PacketBatch, readPacketColumns } from '#schemas'
import { createCapture } from '../../../capture/create-capture.ts'
import { openCapture } from '../../../capture/files/open-capture.ts'

/** A TCP or UDP flow of a capture, as it was: a pattern for sessions with its packets, sizes and times. */
export interface RealFlow {
  protocol: number
  isV6: boolean
  serverPort: number
  /** A column each; times in microseconds from the first packet, `toClient` is 1 where the server sent it. */
  timeUs: number[]
  wireLength: number[]
  ipLength: number[]
  payloadLength: number[]
  tcpFlags: number[]
  toClient: number[]
  /** Sequence numbers of its SYNs, in packet order. */
  synSequence: number[]
  /** Rows are those of the flow. */
  names: FlowName[]
  dns: DnsAnswer[]
}

/** What a load takes a flow as a pattern up to: a longer one would be two sessions, or most of a host's packets. */
const maxDurationUs = 100_000_000
const maxPackets = 2000

const [fin, synFlag, rst] = [1, 2, 4]

/** The flows of all captures in a folder, in order of time within each. */
export async function readRealFlows(folder: string): Promise<RealFlow[]> {
  const flows: RealFlow[] = []
  for (const name of readdirSync(folder).sort()) flows.push(...(await flowsOf(`${folder}/${name}`)))
  return flows.filter(
    flow =>
      flow.timeUs.length <= maxPackets && flow.timeUs.at(-1)! <= maxDurationUs && (flow.protocol !== 6 || hasEnd(flow)),
  )
}

/** A connection whose end the capture does not show says nothing about how long they last. */
const hasEnd = ({ tcpFlags }: RealFlow) => tcpFlags.some(flags => (flags & (fin | rst)) !== 0)

async function flowsOf(file: string): Promise<RealFlow[]> {
  const found = new Map<string, Building>()
  const capture = createCapture({ sensorId: 'bench', runId: 'bench', hosts: null, keepUnmonitored: true })
  try {
    const source = await openCapture(file)
    for await (const block of source.blocks()) for (const batch of capture.add(block)) take(batch, found)
    await source.close()
  } catch {
    // A capture that ends in the midst of a record; what came before it counts.
  }
  for (const batch of capture.flush()) take(batch, found)
  return Array.from(found.values(), finished)
}

interface Building extends RealFlow {
  clientIsRemote: boolean
}

function take(batch: PacketBatch, found: Map<string, Building>): void {
  const columns = readPacketColumns(batch)
  const rowInFlow = new Map<number, { flow: Building; row: number }>()
  for (let packet = 0, syn = 0; packet < columns.packets; packet++) {
    const isSyn = (columns.tcpFlags[packet]! & synFlag) !== 0
    const sequence = isSyn ? columns.synSequence[syn++]! : 0
    const i = columns.packetFlow[packet]!
    const protocol = columns.flowProtocol[i]!
    if (protocol !== 6 && protocol !== 17) continue
    const addresses = columns.flowAddress.subarray(i * 32, i * 32 + 32)
    const [localPort, remotePort] = columns.flowPort.subarray(i * 2, i * 2 + 2)
    const key = `${Buffer.from(addresses).toString('hex')} ${localPort} ${remotePort} ${protocol}`
    const fromRemote = (columns.direction[packet]! & directionBits.fromRemote) !== 0
    const flow = found.get(key) ?? {
      protocol,
      isV6: addresses.subarray(0, 10).some(byte => byte !== 0),
      serverPort: fromRemote ? localPort! : remotePort!,
      timeUs: [],
      wireLength: [],
      ipLength: [],
      payloadLength: [],
      tcpFlags: [],
      toClient: [],
      synSequence: [],
      names: [],
      dns: [],
      clientIsRemote: fromRemote,
    }
    found.set(key, flow)
    rowInFlow.set(packet, { flow, row: flow.timeUs.length })
    flow.timeUs.push(columns.baseUs + columns.packetTime[packet]!)
    flow.wireLength.push(columns.wireLength[packet]!)
    flow.ipLength.push(columns.ipLength[packet]!)
    flow.payloadLength.push(columns.payloadLength[packet]!)
    flow.tcpFlags.push(columns.tcpFlags[packet]!)
    flow.toClient.push(fromRemote === flow.clientIsRemote ? 0 : 1)
    if (isSyn) flow.synSequence.push(sequence)
  }
  for (const name of columns.names) {
    const at = rowInFlow.get(name.packet)
    at?.flow.names.push({ ...name, packet: at.row })
  }
  for (const answer of columns.dns) {
    const at = rowInFlow.get(answer.packet)
    at?.flow.dns.push({ ...answer, packet: at.row })
  }
}

/** Times count from the first packet, and never go back: a few captures hold packets out of order. */
function finished({ clientIsRemote: _, ...flow }: Building): RealFlow {
  const firstUs = flow.timeUs[0]!
  let latestUs = 0
  const timeUs = flow.timeUs.map(us => {
    latestUs = Math.max(latestUs, us - firstUs)
    return latestUs
  })
  return { ...flow, timeUs }
}

/**
 * Draws flows with probabilities proportional to a power of their packets and a power of their duration, so that their means
 * are what is asked for: the captures are mostly tests of a few packets each.
 */
export class FlowMix {
  readonly #flows: readonly RealFlow[]
  readonly #cumulative: Float64Array
  readonly packets: number
  readonly durationS: number

  constructor(flows: readonly RealFlow[], packets: number, durationS: number) {
    this.#flows = flows
    let weights = weightsOf(flows, 0, 0)
    let [byPackets, byDuration] = [0, 0]
    // The two means grow with their own power; turn about, both settle.
    for (let round = 0; round < 200; round++) {
      const mean = meansOf(flows, weights)
      byPackets += 0.3 * Math.log(packets / mean.packets)
      byDuration += 0.1 * Math.log(durationS / mean.durationS)
      weights = weightsOf(flows, byPackets, byDuration)
    }
    const means = meansOf(flows, weights)
    this.packets = means.packets
    this.durationS = means.durationS
    let sum = 0
    this.#cumulative = Float64Array.from(weights, weight => {
      sum += weight
      return sum
    })
  }

  /** `at` is uniform in 0 to 1. */
  draw(at: number): RealFlow {
    const cumulative = this.#cumulative
    const sought = at * cumulative.at(-1)!
    let low = 0
    let high = cumulative.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle]! > sought) high = middle
      else low = middle + 1
    }
    return this.#flows[low]!
  }
}

const durationOf = ({ timeUs }: RealFlow) => timeUs.at(-1)! / 1e6

const weightsOf = (flows: readonly RealFlow[], byPackets: number, byDuration: number): number[] =>
  flows.map(flow => flow.timeUs.length ** byPackets * (durationOf(flow) + 0.1) ** byDuration)

function meansOf(flows: readonly RealFlow[], weights: readonly number[]): { packets: number; durationS: number } {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const mean = (of: (flow: RealFlow) => number) =>
    flows.reduce((sum, flow, i) => sum + weights[i]! * of(flow), 0) / total
  return { packets: mean(({ timeUs }) => timeUs.length), durationS: mean(durationOf) }
}
