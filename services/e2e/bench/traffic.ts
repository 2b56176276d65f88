import { alpn, helloMessage, records, serverName, supportedVersions } from '../../core/decode/tls-fixture.ts'

/** Monitored hosts are 10.0.0.1 to 10.0.0.7; every session has one of them at an end, some at both. */
export const hostCount = 7
export const hostAddress = (host: number): number => 0x0a000001 + host
export const addressOf = (ip: number): string => `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`

export interface TrafficShape {
  packets: number
  /** Bytes of a frame that carries data, without frame check sequence, or several sizes of equal share; frames without data are 64 bytes. */
  frameBytes: number | readonly number[]
  packetsPerSecond: number
  /** Sessions that are open at the same time. */
  openSessions: number
  seed: number
}

export const defaultShape: Readonly<TrafficShape> = Object.freeze({
  packets: 2_100_000,
  frameBytes: 64,
  packetsPerSecond: 20_000,
  openSessions: 3_500,
  seed: 1,
})

/** A session of the traffic; addresses as numbers. `client` opens it. */
export interface TrafficSession {
  id: number
  protocol: 6 | 17
  client: number
  clientPort: number
  server: number
  serverPort: number
  /** Packets in all, and sent so far. */
  packets: number
  sent: number
  clientSequence: number
  serverSequence: number
}

export interface TrafficListener {
  /** At the first packet. */
  opened: (session: TrafficSession, timeUs: number) => void
  closed: (session: TrafficSession, timeUs: number) => void
}

const startUs = Date.UTC(2026, 0, 1) * 1000
const minFrameBytes = 64
const recordBytes = 16
const [fin, syn, psh, ack] = [1, 2, 8, 16]
const tcpServices = [443, 443, 443, 80, 22, 8080, 5432]
const hello = records(
  helloMessage({
    ciphers: [0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f],
    extensions: [serverName('www.example.org'), alpn('h2', 'http/1.1'), supportedVersions(0x0304, 0x0303)],
  }),
)

/**
 * Traffic of a given shape, the same for the same seed: TCP from SYN to FIN (three quarters) and UDP, 40 packets a
 * session on average with an exponential spread, in trains of two packets on average, all open sessions interleaved.
 * Written as pcap records; nothing is allocated for a packet.
 */
export class Traffic {
  sessions = 0
  packets = 0
  readonly #shape: TrafficShape
  readonly #listener: TrafficListener | null
  readonly #open: TrafficSession[] = []
  readonly #nextPort = new Uint16Array(hostCount).fill(32_768)
  readonly #payload = Buffer.alloc(65_536, 'the quick brown fox jumps over the lazy dog. ')
  #random: number
  #timeUs = startUs
  #slot = 0

  constructor(shape: TrafficShape, listener: TrafficListener | null = null) {
    this.#shape = shape
    this.#listener = listener
    this.#random = shape.seed * 2 + 1
    for (let i = 0; i < shape.openSessions; i++) this.#open.push(this.#start())
  }

  /** Writes whole records into `buffer` while there is room and traffic; answers with the bytes written, 0 at the end. */
  fill(buffer: Buffer): number {
    const largest = recordBytes + Math.max(minFrameBytes, ...[this.#shape.frameBytes].flat())
    let at = 0
    while (at + largest <= buffer.length && this.packets < this.#shape.packets) at = this.#writePacket(buffer, at)
    return at
  }

  #writePacket(buffer: Buffer, at: number): number {
    this.packets++
    this.#timeUs += Math.round((2e6 / this.#shape.packetsPerSecond) * this.#uniform())
    if (this.#uniform() < 0.5) this.#slot = this.#below(this.#open.length)
    const session = this.#open[this.#slot]!
    if (session.sent === 0) this.#listener?.opened(session, this.#timeUs)
    const end = this.#writeFrame(buffer, at, session)
    if (++session.sent === session.packets) {
      this.#listener?.closed(session, this.#timeUs)
      this.#open[this.#slot] = this.#start()
    }
    return end
  }

  #writeFrame(buffer: Buffer, at: number, session: TrafficSession): number {
    const { protocol, sent, packets } = session
    const isTcp = protocol === 6
    const last = packets - sent
    const isSyn = isTcp && sent < 2
    const isFin = isTcp && (last === 2 || last === 3)
    const hasData = !isTcp || (sent > 2 && last > 3)
    const dataFrameBytes = this.#frameBytes()
    const isHello = hasData && sent === 3 && session.serverPort === 443 && dataFrameBytes >= 300
    const fromClient =
      sent === 0 || (isTcp && (sent === 2 || sent === 3)) ? true : sent === 1 ? false : this.#pickSide(last)
    const frameBytes = hasData ? dataFrameBytes : minFrameBytes
    const headers = isTcp ? 20 : 8
    const dataBytes = hasData ? frameBytes - 34 - headers : 0

    buffer.writeUInt32LE(Math.floor(this.#timeUs / 1e6), at)
    buffer.writeUInt32LE(this.#timeUs % 1e6, at + 4)
    buffer.writeUInt32LE(frameBytes, at + 8)
    buffer.writeUInt32LE(frameBytes, at + 12)
    const ethernet = at + recordBytes
    buffer.fill(0, ethernet, ethernet + 64)
    buffer[ethernet + 5] = fromClient ? 2 : 1
    buffer[ethernet + 11] = fromClient ? 1 : 2
    buffer[ethernet + 12] = 8
    const ip = ethernet + 14
    buffer[ip] = 0x45
    buffer.writeUInt16BE(20 + headers + dataBytes, ip + 2)
    buffer.writeUInt16BE(this.packets & 0xffff, ip + 4)
    buffer[ip + 6] = 0x40
    buffer[ip + 8] = 64
    buffer[ip + 9] = protocol
    buffer.writeUInt32BE(fromClient ? session.client : session.server, ip + 12)
    buffer.writeUInt32BE(fromClient ? session.server : session.client, ip + 16)
    const l4 = ip + 20
    buffer.writeUInt16BE(fromClient ? session.clientPort : session.serverPort, l4)
    buffer.writeUInt16BE(fromClient ? session.serverPort : session.clientPort, l4 + 2)
    if (isTcp) {
      buffer.writeUInt32BE(fromClient ? session.clientSequence : session.serverSequence, l4 + 4)
      buffer.writeUInt32BE(sent === 0 ? 0 : fromClient ? session.serverSequence : session.clientSequence, l4 + 8)
      buffer[l4 + 12] = 0x50
      buffer[l4 + 13] = (isSyn ? syn : 0) | (isFin ? fin : 0) | (sent > 0 ? ack : 0) | (hasData ? psh : 0)
      buffer.writeUInt16BE(64_240, l4 + 14)
      const advance = dataBytes + (isSyn || isFin ? 1 : 0)
      if (fromClient) session.clientSequence = (session.clientSequence + advance) >>> 0
      else session.serverSequence = (session.serverSequence + advance) >>> 0
    } else buffer.writeUInt16BE(8 + dataBytes, l4 + 4)
    const data = l4 + headers
    if (dataBytes > 0) this.#payload.copy(buffer, data, sent % 45, (sent % 45) + dataBytes)
    if (isHello) buffer.set(hello, data)
    return ethernet + frameBytes
  }

  #frameBytes(): number {
    const { frameBytes } = this.#shape
    return typeof frameBytes === 'number' ? frameBytes : frameBytes[this.#below(frameBytes.length)]!
  }

  /** Servers send three fifths of the packets; of the last three the client sends the first and the last (FIN, FIN, ACK). */
  #pickSide(last: number): boolean {
    return last <= 3 ? last !== 2 : this.#uniform() < 0.4
  }

  #start(): TrafficSession {
    const host = this.#below(hostCount)
    const protocol = this.#uniform() < 0.75 ? 6 : 17
    const kind = this.#uniform()
    // A few servers have most of the sessions.
    const remote = 0xc6120000 + Math.floor(20_000 * this.#uniform() ** 3)
    const peer = hostAddress((host + 1 + this.#below(hostCount - 1)) % hostCount)
    const incoming = kind < 0.15
    const least = protocol === 6 ? 7 : 2
    return {
      id: ++this.sessions,
      protocol,
      client: incoming ? remote : hostAddress(host),
      clientPort: incoming ? 32_768 + this.#below(28_232) : this.#takePort(host),
      server: incoming ? hostAddress(host) : kind < 0.2 ? peer : remote,
      serverPort: protocol === 6 ? tcpServices[this.#below(tcpServices.length)]! : this.#below(2) === 0 ? 443 : 3478,
      packets: least + Math.round(-Math.log(1 - this.#uniform()) * (protocol === 6 ? 36 : 28)),
      sent: 0,
      clientSequence: this.#next(),
      serverSequence: this.#next(),
    }
  }

  #takePort(host: number): number {
    const port = this.#nextPort[host]!
    this.#nextPort[host] = port === 60_999 ? 32_768 : port + 1
    return port
  }

  /** xorshift32 (Marsaglia 2003). */
  #next(): number {
    let x = this.#random
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    this.#random = x
    return x >>> 0
  }

  #uniform(): number {
    return this.#next() / 0x1_0000_0000
  }

  #below(limit: number): number {
    return Math.floor(this.#uniform() * limit)
  }
}
