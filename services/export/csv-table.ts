import type { Stage } from '#schemas'
import type { Beside } from './columns.ts'
import { lineTable } from './line-table.ts'
import type { TableFormat } from './table-file.ts'
import type { TableSession } from './table-session.ts'

type Cell = string | number | null
type CellOf = (session: TableSession, beside: Beside, flow: Flow) => Cell

/** The session as feature sets of flows see it: forward is who opened it. Times in microseconds. */
interface Flow {
  source: { ip: string; port: number }
  destination: { ip: string; port: number }
  protocol: number
  durationUs: number
  forward: { packets: number; bytes: number; gapsUs: number[] | null; lengths: number[] | null }
  backward: { packets: number; bytes: number; gapsUs: number[] | null; lengths: number[] | null }
  /** Between all packets; null where not every packet is known. */
  gapsUs: number[] | null
}

const statistics = (name: string, of: (flow: Flow) => number[] | null): [string, CellOf][] => [
  [`${name} Mean`, (_, __, flow) => mean(of(flow))],
  [`${name} Std`, (_, __, flow) => deviation(of(flow))],
  [`${name} Max`, (_, __, flow) => most(of(flow), Math.max)],
  [`${name} Min`, (_, __, flow) => most(of(flow), Math.min)],
]

/**
 * Names and units of CICFlowMeter (github.com/ahlashkari/CICFlowMeter, BasicFlow and FlowFeature) where the figure is the same.
 * Spread of lengths and gaps is known for sessions of at most 32 packets and empty for others. Its lengths are of payload, ours of IP packets, so those have names of our own.
 * The first four columns need no quotes: they are read back.
 */
const columns: readonly [name: string, of: CellOf][] = [
  ['Session ID', s => s.session_id],
  ['Revision', s => s.revision],
  ['Stage', s => s.stage],
  ['Confidence', s => s.confidence],
  ['Flow ID', (_, __, f) => `${f.source.ip}-${f.destination.ip}-${f.source.port}-${f.destination.port}-${f.protocol}`],
  ['Src IP', (_, __, { source }) => source.ip],
  ['Src Port', (_, __, { source }) => source.port],
  ['Dst IP', (_, __, { destination }) => destination.ip],
  ['Dst Port', (_, __, { destination }) => destination.port],
  ['Protocol', (_, __, { protocol }) => protocol],
  ['Timestamp', s => timestamp(s.first_us)],
  ['Flow Duration', (_, __, { durationUs }) => durationUs],
  ['Total Fwd Packet', (_, __, { forward }) => forward.packets],
  ['Total Bwd packets', (_, __, { backward }) => backward.packets],
  ['Flow Packets/s', (s, _, { durationUs }) => perSecond(s.packets_in + s.packets_out, durationUs)],
  ['Fwd Packets/s', (_, __, { forward, durationUs }) => perSecond(forward.packets, durationUs)],
  ['Bwd Packets/s', (_, __, { backward, durationUs }) => perSecond(backward.packets, durationUs)],
  ['Down/Up Ratio', (_, __, f) => (f.forward.packets === 0 ? 0 : f.backward.packets / f.forward.packets)],
  ...statistics('Flow IAT', ({ gapsUs }) => gapsUs),
  ...statistics('Fwd IAT', ({ forward }) => forward.gapsUs),
  ...statistics('Bwd IAT', ({ backward }) => backward.gapsUs),
  ['Total IP Length of Fwd Packet', (_, __, { forward }) => forward.bytes],
  ['Total IP Length of Bwd Packet', (_, __, { backward }) => backward.bytes],
  ...statistics('Fwd IP Length', ({ forward }) => forward.lengths),
  ...statistics('Bwd IP Length', ({ backward }) => backward.lengths),
  ['Host', s => s.host_id],
  ['SNI', s => s.sni],
  ['PID', s => s.label?.pid ?? null],
  ['Site', (_, { finer }) => finer.site],
  ['Application', (_, { finer }) => finer.application],
  ['Finer Label', (_, { finer }) => finer.label],
  ['Unknown Cause', s => s.unknown_cause],
  ['Label', s => s.label?.process ?? null],
]

/** CSV (RFC 4180, lines end with LF): features of flows, and the process as `Label`. */
export const csvTable: TableFormat = lineTable({
  extension: 'csv',
  columns: columns.map(([name]) => ({ name, type: 'CSV' })),
  head: columns.map(([name]) => name).join(','),
  line: (session, beside) => {
    const flow = flowOf(session)
    return columns.map(([, of]) => quoted(of(session, beside, flow))).join(',')
  },
  factsOf: line => {
    const [session_id, revision, stage, confidence] = line.split(',', 4)
    return {
      session_id: session_id!,
      revision: Number(revision),
      stage: stage === '' ? null : (stage as Stage),
      confidence: confidence === '' ? null : Number(confidence),
    }
  },
})

/** A line break within a cell would part the row for readers of lines. */
const quoted = (cell: Cell): string => {
  if (cell === null) return ''
  const text = String(cell).replaceAll(/[\r\n]/g, ' ')
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

const protocolNumbers: Record<string, number> = { tcp: 6, udp: 17, icmp: 1 }

function flowOf(session: TableSession): Flow {
  const local = { ip: session.local_ip, port: session.local_port }
  const remote = { ip: session.remote_ip, port: session.remote_port }
  const isOut = session.direction === 'out'
  const packets = session.packets_out + session.packets_in
  const isWhole = session.splt.lengths.length === packets && !session.truncated_start && !session.capture_gap
  const side = (packets: number, bytes: number, isLocal: boolean): Flow['forward'] => {
    if (!isWhole) return { packets, bytes, gapsUs: null, lengths: null }
    const gapsUs: number[] = []
    const lengths: number[] = []
    let nowUs = 0
    let lastUs: number | null = null
    for (const [i, len] of session.splt.lengths.entries()) {
      nowUs += session.splt.gapsUs[i]!
      if (len > 0 !== isLocal) continue
      lengths.push(Math.abs(len))
      if (lastUs !== null) gapsUs.push(nowUs - lastUs)
      lastUs = nowUs
    }
    return { packets, bytes, gapsUs, lengths }
  }
  const out = side(session.packets_out, session.bytes_out, true)
  const back = side(session.packets_in, session.bytes_in, false)
  return {
    source: isOut ? local : remote,
    destination: isOut ? remote : local,
    protocol: protocolNumbers[session.proto] ?? Number(session.proto),
    durationUs: session.last_us - session.first_us,
    forward: isOut ? out : back,
    backward: isOut ? back : out,
    gapsUs: isWhole ? session.splt.gapsUs.slice(1) : null,
  }
}

/** 2026-11-25 17:59:03.000001, UTC. */
function timestamp(us: number): string {
  const text = new Date(Math.floor(us / 1000)).toISOString()
  return `${text.slice(0, 10)} ${text.slice(11, 23)}${String(us % 1000).padStart(3, '0')}`
}

const perSecond = (n: number, us: number): Cell => (us === 0 ? null : (n * 1e6) / us)

const mean = (values: number[] | null): Cell =>
  values === null ? null : values.length === 0 ? 0 : values.reduce((a, b) => a + b) / values.length

/** Of the sample, as CICFlowMeter's; 0 for fewer than two values. */
function deviation(values: number[] | null): Cell {
  if (values === null) return null
  if (values.length < 2) return 0
  const middle = mean(values) as number
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1))
}

const most = (values: number[] | null, choose: (...values: number[]) => number): Cell =>
  values === null ? null : values.length === 0 ? 0 : choose(...values)
