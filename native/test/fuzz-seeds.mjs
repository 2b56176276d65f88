/** Seeds for the fuzz targets: the first frames of the test captures, their first bytes, or events of Windows, in the form that each target reads. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { openCapture } from '../../services/capture/files/open-capture.ts'
import { capturesDir } from '../../services/shared/captures-dir.ts'

const framesPerCapture = 8
const longestFrame = 1024
const longestFile = 8192

const u16 = value => Buffer.from([value & 0xff, (value >> 8) & 0xff])

const session = {
  ...{ session_id: '5e', revision: 0, state: 'closed', host_id: 'desk', proto: 'udp', direction: 'out' },
  ...{ local_ip: '10.0.0.1', local_port: 4000, remote_ip: '2001:db8::1', remote_port: 53, first_us: 1, last_us: 2e15 },
  ...{ packets_out: 1, packets_in: 1, bytes_out: 60, bytes_in: 60, tcp_flags: 0, evidence: { candidates: [] } },
  ...{ label: { process: 'a "b"', pid: 7 }, stage: 'A', confidence: 0.5, splt: [{ len: 60, gap_us: 0 }] },
}

/** By target: the files that these frames of one capture make. */
const forms = {
  frame_decoder: frames => frames.map(({ linkType, bytes }) => Buffer.concat([u16(linkType), bytes])),
  annotator: frames => frames.map(({ bytes }) => Buffer.concat([Buffer.from(`${JSON.stringify(session)}\n\0`), bytes])),
  capture: frames => [
    Buffer.concat(
      frames.flatMap(({ linkType, bytes }) => [u16(linkType), Buffer.from([1, 0]), u16(bytes.length), bytes]),
    ),
  ],
}

/** Events of sockets, and starts, ends and rundowns of processes in every version, with room for the longest layout. */
function etwSeeds() {
  const image = Buffer.from('\\Device\\HarddiskVolume3\\x.exe\0', 'utf16le')
  const socketIds = [12, 13, 15, 16, 28, 29, 31, 32, 42, 43, 58, 59]
  const sockets = socketIds.map(id => Buffer.concat([Buffer.from([0]), u16(id), Buffer.alloc(1 + 60, 1)]))
  const processes = [1, 2, 15].flatMap(id =>
    [0, 1, 2, 3].map(version =>
      Buffer.concat([
        Buffer.from([1]),
        u16(id),
        Buffer.from([version]),
        Buffer.alloc([20, 24, 24, 60][version], 1),
        image,
      ]),
    ),
  )
  return [...sockets, ...processes]
}

/** Writes a target's seeds into a new folder, which is the answer. There must be captures. */
export async function writeSeeds(target, folder) {
  mkdirSync(folder)
  if (target === 'etw_decoder') {
    for (const [number, seed] of etwSeeds().entries()) writeFileSync(path.join(folder, String(number)), seed)
    return folder
  }
  const captures = path.join(capturesDir(), 'captures')
  let number = 0
  for (const name of readdirSync(captures).sort()) {
    const file = path.join(captures, name)
    const seeds =
      target === 'record_run' ? [readFileSync(file).subarray(0, longestFile)] : forms[target](await firstFrames(file))
    for (const seed of seeds) writeFileSync(path.join(folder, String(number++)), seed)
  }
  return folder
}

async function firstFrames(file) {
  const source = await openCapture(file)
  const frames = []
  try {
    for await (const block of source.blocks()) {
      for (let i = 0; i < block.count && frames.length < framesPerCapture; i++) {
        const start = block.offset[i]
        const end = start + Math.min(block.captured[i], longestFrame)
        frames.push({ linkType: block.linkType[i], bytes: Buffer.from(block.data.subarray(start, end)) })
      }
      if (frames.length === framesPerCapture) break
    }
  } finally {
    await source.close()
  }
  return frames
}
