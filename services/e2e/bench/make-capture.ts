/**
 * Makes a capture of the bench's traffic, and the socket logs of its hosts if wanted.
 *
 * `node services/e2e/bench/make-capture.ts --out FILE|- [--sockets FOLDER] [--packets N] [--frame BYTES] [--rate PPS]
 * [--open SESSIONS] [--seed N]`
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { pcapHeader } from '../../capture/files/write-pcap.ts'
import { SocketLogMaker } from './make-socket-log.ts'
import { defaultShape, Traffic, type TrafficShape } from './traffic.ts'

const ethernet = 1
const chunkBytes = 1 << 20

/** Writes the capture to an open file; answers with how many packets and sessions, and how many bytes, it has. */
export function writeCapture(fd: number, shape: TrafficShape, sockets: string | null) {
  const log = sockets === null ? null : new SocketLogMaker(sockets)
  const traffic = new Traffic(shape, log)
  const chunk = Buffer.allocUnsafe(chunkBytes)
  const header = pcapHeader(ethernet)
  let bytes = header.length
  writeSync(fd, header)
  for (let length = traffic.fill(chunk); length > 0; length = traffic.fill(chunk)) {
    for (let done = 0; done < length; ) done += writeSync(fd, chunk, done, length - done)
    bytes += length
  }
  log?.end()
  return { packets: traffic.packets, sessions: traffic.sessions, bytes }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      sockets: { type: 'string' },
      packets: { type: 'string', default: String(defaultShape.packets) },
      frame: { type: 'string', default: String(defaultShape.frameBytes) },
      rate: { type: 'string', default: String(defaultShape.packetsPerSecond) },
      open: { type: 'string', default: String(defaultShape.openSessions) },
      seed: { type: 'string', default: String(defaultShape.seed) },
    },
  })
  if (values.out === undefined) throw new Error('--out says where the capture goes')
  const shape: TrafficShape = {
    packets: Number(values.packets),
    frameBytes: Number(values.frame),
    packetsPerSecond: Number(values.rate),
    openSessions: Number(values.open),
    seed: Number(values.seed),
  }
  const fd = values.out === '-' ? 1 : openSync(values.out, 'w')
  const made = writeCapture(fd, shape, values.sockets ?? null)
  closeSync(fd)
  process.stderr.write(`${made.packets} packets, ${made.sessions} sessions, ${made.bytes} bytes\n`)
}
