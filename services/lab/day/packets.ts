import type { FrameBlock } from '../../capture/packet-source.ts'
import { dnsMessage, record } from '../../core/decode/dns-fixture.ts'
import { helloMessage, records, serverName } from '../../core/decode/tls-fixture.ts'
import type { PlannedSession } from './plan.ts'
import type { Random } from './random.ts'

const ethernet = 1
/** Headers are captured, and payload where it tells a name. */
const snapBytes = 96
const headers = { tcp: 54, udp: 42 }
const flag = { fin: 1, syn: 2, psh: 8, ack: 16 }

export interface PlannedPacket {
  timeUs: number
  hostIp: string
  session: PlannedSession
  fromHost: boolean
  flags: number
  sequence: number
  /** Bytes of transport payload on the wire, and those that are captured; null where they are of no interest. */
  length: number
  payload: Uint8Array | null
}

/** The packets of one session, in order of time. */
export function packetsOf(session: PlannedSession, hostIp: string, random: Random): PlannedPacket[] {
  const packets = session.proto === 'tcp' ? tcpPackets(session, hostIp, random) : udpPackets(session, hostIp, random)
  return packets.sort((a, b) => a.timeUs - b.timeUs)
}

function tcpPackets(session: PlannedSession, hostIp: string, random: Random): PlannedPacket[] {
  const { firstUs, lastUs, roundTripUs, isInbound, name, packets } = session
  const sequence = { client: random.below(2 ** 32), server: random.below(2 ** 32) }
  const list: PlannedPacket[] = []
  const add = (timeUs: number, fromClient: boolean, flags: number, length = 0, payload: Uint8Array | null = null) => {
    const side = fromClient ? 'client' : 'server'
    list.push({
      timeUs,
      hostIp,
      session,
      fromHost: fromClient !== isInbound,
      flags,
      sequence: sequence[side],
      length,
      payload,
    })
    sequence[side] = (sequence[side] + length + (flags & (flag.syn | flag.fin) ? 1 : 0)) >>> 0
  }
  // The sensor is next to the host: what the host sends is seen at once, the answer a round trip later.
  add(firstUs, true, flag.syn)
  add(firstUs + roundTripUs, false, flag.syn | flag.ack)
  add(firstUs + roundTripUs + 50, true, flag.ack)
  if (name !== null) {
    const hello = records(helloMessage({ extensions: [serverName(name)] }))
    add(firstUs + roundTripUs + 200, true, flag.psh | flag.ack, hello.length, hello)
  }
  const data = Math.max(0, packets - list.length - 3)
  const fromUs = firstUs + 2 * roundTripUs
  const toUs = Math.max(fromUs, lastUs - roundTripUs)
  const times = Array.from({ length: data }, () => random.between(fromUs, toUs)).sort((a, b) => a - b)
  for (const timeUs of times) {
    const fromClient = random.chance(0.4)
    add(timeUs, fromClient, flag.psh | flag.ack, fromClient ? 60 + random.below(400) : 60 + random.below(1400))
  }
  add(Math.max(toUs, lastUs - roundTripUs), true, flag.fin | flag.ack)
  add(lastUs - 100, false, flag.fin | flag.ack)
  add(lastUs, true, flag.ack)
  return list
}

function udpPackets(session: PlannedSession, hostIp: string, random: Random): PlannedPacket[] {
  const { firstUs, lastUs, packets, remotePort, name, answer } = session
  const of = (timeUs: number, fromHost: boolean, length: number, payload: Uint8Array | null = null): PlannedPacket => ({
    ...{ timeUs, hostIp, session, fromHost, flags: 0, sequence: 0 },
    length: payload?.length ?? length,
    payload,
  })
  if (name !== null && answer !== null) {
    const query = dnsMessage({ flags: 0x0100, question: name })
    const told = dnsMessage({
      question: name,
      answers: [record(name, 'A', Buffer.from(answer.split('.').map(Number)))],
    })
    return [of(firstUs, true, 0, query), of(lastUs, false, 0, told)]
  }
  const isAnswered = remotePort !== 1900 && remotePort !== 137
  const between = Array.from({ length: packets - 2 }, () => {
    const fromHost = !isAnswered || random.chance(0.4)
    return of(random.between(firstUs, lastUs), fromHost, 40 + random.below(1200))
  })
  return [of(firstUs, true, 48), ...between, of(lastUs, !isAnswered, 48)]
}

/** Writes packets into a block, as a sensor on the mirror port would have captured them. */
export function toBlock(packets: readonly PlannedPacket[]): FrameBlock {
  const count = packets.length
  const sizes = packets.map(({ session, length, payload }) =>
    Math.min(headers[session.proto] + length, payload ? Number.POSITIVE_INFINITY : snapBytes),
  )
  const block: FrameBlock = {
    count,
    data: Buffer.alloc(sizes.reduce((a, b) => a + b, 0)),
    offset: new Int32Array(count),
    captured: Int32Array.from(sizes),
    wireLength: Int32Array.from(packets, ({ session, length }) => headers[session.proto] + length),
    timeUs: Float64Array.from(packets, ({ timeUs }) => Math.round(timeUs)),
    linkType: new Uint16Array(count).fill(ethernet),
  }
  let at = 0
  for (const [i, packet] of packets.entries()) {
    block.offset[i] = at
    writeFrame(block.data as Buffer, at, packet)
    at += sizes[i]!
  }
  return block
}

function writeFrame(
  data: Buffer,
  at: number,
  { hostIp, session, fromHost, flags, sequence, length, payload }: PlannedPacket,
): void {
  const { proto, socket, remoteIp, remotePort } = session
  const host = [hostIp, socket.localPort] as const
  const remote = [remoteIp, remotePort] as const
  const [[sourceIp, sourcePort], [destinationIp, destinationPort]] = fromHost ? [host, remote] : [remote, host]
  const isTcp = proto === 'tcp'
  data[at + 12] = 8
  const ip = at + 14
  data[ip] = 0x45
  data.writeUInt16BE(headers[proto] - 14 + length, ip + 2)
  data[ip + 8] = 64
  data[ip + 9] = isTcp ? 6 : 17
  writeAddress(data, ip + 12, sourceIp)
  writeAddress(data, ip + 16, destinationIp)
  const l4 = ip + 20
  data.writeUInt16BE(sourcePort, l4)
  data.writeUInt16BE(destinationPort, l4 + 2)
  if (isTcp) {
    data.writeUInt32BE(sequence, l4 + 4)
    data[l4 + 12] = 0x50
    data[l4 + 13] = flags
  } else data.writeUInt16BE(8 + length, l4 + 4)
  if (payload) data.set(payload, at + headers[proto])
}

const writeAddress = (data: Buffer, at: number, ip: string): void => data.set(ip.split('.').map(Number), at)
