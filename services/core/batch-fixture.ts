import { directionBits, type FlowName, type PacketBatch, PacketBatchBuilder } from '#schemas'
import { at, hostIp } from './test-host.ts'

/**
 * A packet as the host of the tests sees it: `0 tcp 40000 > 192.0.2.7:443 S7`. Milliseconds; protocol; the host's port; `>`
 * sent by it, `<` received; the remote end; TCP flags by their letters (SAFRP, `.` for none), and a SYN's sequence number.
 */
export type PacketText = string

interface ParsedPacket {
  timeUs: number
  flow: string
  flags: number
  sequence: number
  fromRemote: boolean
}

const protocols: Record<string, number> = { tcp: 6, udp: 17 }
const flagBits: Record<string, number> = { F: 1, S: 2, R: 4, P: 8, A: 16 }
/** IP length of every packet. */
export const packetBytes = 60

function parse(text: PacketText): ParsedPacket {
  const [ms, proto, port, arrow, remote, flags = 'A'] = text.split(' ')
  const bits = [...flags].reduce((sum, letter) => sum | (flagBits[letter] ?? 0), 0)
  return {
    timeUs: at(Number(ms)),
    flow: `${proto} ${port} ${remote}`,
    flags: proto === 'tcp' ? bits : 0,
    sequence: Number(flags.replace(/\D/g, '')),
    fromRemote: arrow === '<',
  }
}

const wordsOf = (ip: string): number[] => [0, 0, 0xffff, Buffer.from(ip.split('.').map(Number)).readInt32BE(0)]

/** A batch of these packets; its time goes on to the last of them if nothing else is said. */
export function batchOf(
  texts: readonly PacketText[],
  header: Partial<PacketBatch> & { untilMs?: number } = {},
): PacketBatch {
  const { untilMs, ...fields } = header
  const packets = texts.map(parse)
  const builder = new PacketBatchBuilder()
  const flows = new Map<string, number>()
  for (const { flow, timeUs, flags, sequence, fromRemote } of packets) {
    if (!flows.has(flow)) {
      const [proto, port, remote] = flow.split(' ')
      const [ip, remotePort] = remote!.split(':')
      const words = Int32Array.of(...wordsOf(hostIp), ...wordsOf(ip!))
      const ends = [Number(port), Number(remotePort)] as const
      flows.set(flow, builder.addFlow(words, 0, 4, ...ends, protocols[proto!]!, -1, null))
    }
    const direction = fromRemote ? directionBits.fromRemote : 0
    builder.addPacket(flows.get(flow)!, timeUs, packetBytes + 14, packetBytes, 0, flags, direction, sequence)
  }
  const lastUs = Math.max(...packets.map(({ timeUs }) => timeUs))
  const until_us = untilMs === undefined ? lastUs : at(untilMs)
  const none = { lost: 0, names: [] as FlowName[], dns: [] }
  return { ...builder.build({ host_id: 'host', sensor_id: 's', run_id: 'r', seq: 0, until_us, ...none }), ...fields }
}
