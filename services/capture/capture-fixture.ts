import { addressText } from '#core/address.ts'
import { ethernet, type Ipv4Fields, ipv4 } from '#core/decode/build-frame.ts'
import { HostDirectory } from '#core/host-directory.ts'
import { directionBits, type Host, type PacketBatch, readPacketColumns } from '#schemas'
import { FrameColumns } from './files/frame-columns.ts'
import type { FrameBlock } from './packet-source.ts'

/** Tests tell time in milliseconds after this moment. */
const epochUs = 1_700_000_000_000_000
export const at = (ms: number): number => epochUs + ms * 1_000

/** Two hosts that tests monitor, and two machines that nobody does. */
export const desk = '10.0.0.1'
export const laptop = '10.0.0.2'
export const web = '10.0.0.7'
export const other = '10.0.0.8'

const ethernetLink = 1

export interface Frame {
  ms: number
  data: Uint8Array
}

const bytesOf = (ip: string): number[] => ip.split('.').map(Number)

/** A frame that carries this IP payload. */
export function frame(
  ms: number,
  from: string,
  to: string,
  protocol: number,
  payload: Uint8Array,
  fields: Ipv4Fields = {},
): Frame {
  return { ms, data: ethernet(0x0800, ipv4(protocol, payload, { from: bytesOf(from), to: bytesOf(to), ...fields })) }
}

/** The frames as a source would hand them out; as many as one block takes. */
export function block(...frames: readonly Frame[]): FrameBlock {
  const columns = new FrameColumns()
  columns.data = Buffer.concat(frames.map(({ data }) => data))
  let offset = 0
  for (const { ms, data } of frames) {
    columns.add(at(ms), offset, data.length, data.length, ethernetLink)
    offset += data.length
  }
  return columns
}

export function host(hostId: string, ...addresses: string[]): Host {
  return {
    host_id: hostId,
    names: [],
    addresses: addresses.map(ip => ({ ip, since_us: null, until_us: null, namespace: null })),
    os: 'linux',
    agent_version: 'test',
    poll_period_us: null,
    boot_id: null,
    updated_us: epochUs,
  }
}

export function directory(...hosts: Host[]): HostDirectory {
  const directory = new HostDirectory()
  for (const each of hosts) directory.apply(each)
  return directory
}

/** A batch's packets as `0 ms 10.0.0.1 40000 > 10.0.0.7 443`: local end first, `<` from the remote end, `fragment` behind a later one. */
export function rows(batch: PacketBatch): string[] {
  const columns = readPacketColumns(batch)
  return Array.from(columns.packetFlow, (flow, row) => {
    const [local, remote] = [0, 1].map(
      end => `${addressText(columns.flowAddress, flow * 32 + end * 16)} ${columns.flowPort[flow * 2 + end]}`,
    )
    const direction = columns.direction[row]!
    const arrow = direction & directionBits.fromRemote ? '<' : '>'
    const behind = direction & directionBits.laterFragment ? ' fragment' : ''
    const ms = (columns.baseUs + columns.packetTime[row]! - epochUs) / 1_000
    return `${ms} ms ${local} ${arrow} ${remote}${behind}`
  })
}

/** Every batch's host, sequence number and packets. */
export const told = (batches: readonly PacketBatch[]) =>
  batches.map(batch => [batch.host_id, batch.seq, rows(batch)] as const)
