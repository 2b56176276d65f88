import { pcapHeader, pcapRecord } from '../../capture/files/write-pcap.ts'

/** Cases tell time in milliseconds after this moment: 2026-01-01 00:00:00 UTC. */
export const baseUs = 1_767_225_600_000_000

/**
 * A packet as a line of text: when (ms), protocol, ends with an arrow from the sender, and what it is.
 *
 * ```
 * 1000 tcp 10.0.0.1:40000 > 9.9.9.9:443 syn       syn (syn=7 with that sequence number), syn-ack, ack, data, fin, rst
 * 1001 tcp 10.0.0.1:40000 > 9.9.9.9:443 hello=a.example    a TLS ClientHello for this server
 * 1002 udp 10.0.0.1:5000 < 9.9.9.9:53 data        sent by 9.9.9.9
 * 1003 icmp 10.0.0.1 > 9.9.9.9 echo
 * 1004 tcp … data lost=3                          the sensor lost 3 packets just before this one
 * ```
 */
export type PacketText = string

interface Frame {
  timeUs: number
  bytes: Buffer
  lost: number
}

/** A whole TCP connection that `who` opens: handshake, data both ways, FIN both ways, within `lastsMs`. */
export function connection(who: string, ms: number, { lastsMs = 100, first = 'data', syn = 'syn' } = {}): PacketText[] {
  const back = who.replace('>', '<')
  const steps = [
    [who, syn],
    [back, 'syn-ack'],
    [who, 'ack'],
    [who, first],
    [back, 'data'],
    [who, 'fin'],
    [back, 'fin'],
    [who, 'ack'],
  ] as const
  return steps.map(([ends, what], i) => `${ms + Math.round((lastsMs * i) / (steps.length - 1))} tcp ${ends} ${what}`)
}

/** A UDP question and its answer. */
export const exchange = (who: string, ms: number): PacketText[] => [
  `${ms} udp ${who} data`,
  `${ms + 5} udp ${who.replace('>', '<')} data`,
]

/** The capture of these packets: a pcap, or a pcapng where one tells of losses, since a pcap cannot. */
export function toCapture(packets: readonly PacketText[]): { name: string; bytes: Buffer } {
  const sequences = new Map<string, number>()
  const inOrder = packets.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
  const frames = inOrder.map(text => toFrame(text, sequences))
  if (frames.some(({ lost }) => lost > 0)) return { name: 'input.pcapng', bytes: toPcapng(frames) }
  const records = frames.map(({ timeUs, bytes }) => pcapRecord(timeUs, bytes))
  return { name: 'input.pcap', bytes: Buffer.concat([pcapHeader(ethernet), ...records]) }
}

const ethernet = 1
const protocols: Record<string, number> = { icmp: 1, tcp: 6, udp: 17 }
const tcpFlags: Record<string, number> = {
  syn: 0x02,
  'syn-ack': 0x12,
  ack: 0x10,
  data: 0x18,
  hello: 0x18,
  fin: 0x11,
  rst: 0x14,
}

function toFrame(text: PacketText, sequences: Map<string, number>): Frame {
  const [ms, proto, left, arrow, right, what, loss] = text.trim().split(/\s+/) as string[]
  const [from, to] = arrow === '>' ? [left!, right!] : [right!, left!]
  const protocol = protocols[proto!]
  if (protocol === undefined || !what) throw new Error(`not a packet: ${text}`)
  const [source, destination] = [splitEnd(from), splitEnd(to)]
  const body =
    proto === 'tcp'
      ? tcpSegment(source.port, destination.port, what, `${from} ${to}`, sequences)
      : proto === 'udp'
        ? udpDatagram(source.port, destination.port)
        : Buffer.from([8, 0, 0, 0, 0, 1, 0, 1])
  const bytes = inIp(source.ip, destination.ip, protocol, body)
  return { timeUs: baseUs + Number(ms) * 1000, bytes, lost: Number(loss?.split('=')[1] ?? 0) }
}

/** `9.9.9.9:53`, or an address alone. */
function splitEnd(end: string): { ip: string; port: number } {
  const [ip, port = '0'] = end.split(':') as [string, string?]
  return { ip, port: Number(port) }
}

const plainData = Buffer.from('0123456789')

function tcpSegment(from: number, to: number, what: string, flow: string, sequences: Map<string, number>): Buffer {
  const [kind, argument] = what.split('=') as [string, string?]
  const opens = kind === 'syn' || kind === 'syn-ack'
  const sequence = opens ? Number(argument ?? 1000) : (sequences.get(flow) ?? 1)
  const payload = kind === 'data' ? plainData : kind === 'hello' ? clientHello(argument!) : Buffer.alloc(0)
  sequences.set(flow, sequence + payload.length + (opens || kind === 'fin' ? 1 : 0))
  const header = Buffer.alloc(20)
  header.writeUInt16BE(from, 0)
  header.writeUInt16BE(to, 2)
  header.writeUInt32BE(sequence, 4)
  header[12] = 5 << 4
  header[13] = tcpFlags[kind]!
  header.writeUInt16BE(65_535, 14)
  return Buffer.concat([header, payload])
}

function udpDatagram(from: number, to: number): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt16BE(from, 0)
  header.writeUInt16BE(to, 2)
  header.writeUInt16BE(8 + plainData.length, 4)
  return Buffer.concat([header, plainData])
}

/** The smallest ClientHello that asks for a server name (RFC 8446 section 4.1.2, RFC 6066 section 3). */
function clientHello(serverName: string): Buffer {
  const name = Buffer.from(serverName)
  const entry = sized(2, Buffer.concat([Buffer.from([0]), sized(2, name)]))
  const extensions = sized(2, Buffer.concat([Buffer.from([0, 0]), sized(2, entry)]))
  const start = Buffer.concat([Buffer.from([3, 3]), Buffer.alloc(32), Buffer.from([0, 0, 2, 0x13, 0x01, 1, 0])])
  const handshake = Buffer.concat([Buffer.from([1]), sized(3, Buffer.concat([start, extensions]))])
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(2, handshake)])
}

/** The bytes behind their own length, which takes `width` bytes. */
function sized(width: number, bytes: Buffer): Buffer {
  const length = Buffer.alloc(width)
  length.writeUIntBE(bytes.length, 0, width)
  return Buffer.concat([length, bytes])
}

/** Ethernet and IPv4 in front; the checksums of TCP, UDP and ICMP are 0, as network cards that compute them late leave them. */
function inIp(source: string, destination: string, protocol: number, body: Buffer): Buffer {
  const link = Buffer.from([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
  const header = Buffer.alloc(12)
  header[0] = 0x45
  header.writeUInt16BE(20 + body.length, 2)
  header[8] = 64
  header[9] = protocol
  const ends = `${source}.${destination}`.split('.').map(Number)
  const whole = Buffer.concat([header, Buffer.from(ends)])
  whole.writeUInt16BE(checksum(whole), 10)
  return Buffer.concat([link, whole, body])
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let i = 0; i < bytes.length; i += 2) sum += bytes.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

/** Section, one interface, and enhanced packet blocks, with epb_dropcount (option 4) where packets were lost. */
function toPcapng(frames: readonly Frame[]): Buffer {
  const section = Buffer.from('4d3c2b1a01000000ffffffffffffffff', 'hex')
  const anInterface = Buffer.from([ethernet, 0, 0, 0, 0, 0, 4, 0])
  return Buffer.concat([
    block(0x0a0d0d0a, section),
    block(1, anInterface),
    ...frames.map(({ timeUs, bytes, lost }) => {
      const header = Buffer.alloc(20)
      header.writeUInt32LE(Math.floor(timeUs / 2 ** 32), 4)
      header.writeUInt32LE(timeUs % 2 ** 32, 8)
      header.writeUInt32LE(bytes.length, 12)
      header.writeUInt32LE(bytes.length, 16)
      const options = Buffer.alloc(lost > 0 ? 16 : 0)
      if (lost > 0) {
        options.writeUInt16LE(4, 0)
        options.writeUInt16LE(8, 2)
        options.writeBigUInt64LE(BigInt(lost), 4)
      }
      return block(6, Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 3), options]))
    }),
  ])
}

function block(type: number, body: Buffer): Buffer {
  const [head, tail] = [Buffer.alloc(8), Buffer.alloc(4)]
  head.writeUInt32LE(type, 0)
  head.writeUInt32LE(body.length + 12, 4)
  tail.writeUInt32LE(body.length + 12, 0)
  return Buffer.concat([head, body, tail])
}
