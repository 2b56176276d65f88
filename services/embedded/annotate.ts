import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type PacketNote, PcapngWriter } from '../capture/files/write-pcapng.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import type { PacketLabels, SessionOfPackets } from './packet-labels.ts'

/** Where annotated frames go. */
export interface AnnotatedFrames {
  pcapng: string | null
  /** A folder: a file for each process, made when they are first seen. */
  perProcess: string | null
  /** Frames end where their TCP or UDP payload begins. */
  cutPayload: boolean
}

export interface AnnotateResult {
  frames: number
  /** Frames of sessions with a label, of sessions without one, and of no session. */
  labeled: number
  unlabeled: number
  outside: number
}

/** Writes the frames of a capture again, each with what is known of its process. */
export async function annotate(
  packets: PacketSource,
  labels: PacketLabels,
  { pcapng, perProcess, cutPayload }: AnnotatedFrames,
): Promise<AnnotateResult> {
  const whole = pcapng === null ? null : new PcapngWriter(pcapng)
  if (perProcess !== null) mkdirSync(perProcess, { recursive: true })
  const byProcess = new Map<string, PcapngWriter>()
  const writerOf = (process: string): PcapngWriter => {
    const known = byProcess.get(process)
    if (known) return known
    const writer = new PcapngWriter(join(perProcess!, `${encodeURIComponent(process)}.pcapng`))
    byProcess.set(process, writer)
    return writer
  }
  const notesOf = remembered()
  const result = { frames: 0, labeled: 0, unlabeled: 0, outside: 0 }
  for await (const { count, data, offset, captured, wireLength, timeUs, linkType } of packets.blocks()) {
    for (let i = 0; i < count; i++) {
      const begin = offset[i]!
      const end = begin + captured[i]!
      const sessions = labels.find(data, begin, end, wireLength[i]!, timeUs[i]!, linkType[i]!)
      const cut = cutPayload ? Math.min(end, labels.payloadOffset) : end
      const notes = notesOf(sessions)
      if (sessions.length === 0) result.outside++
      else if (sessions.some(({ process }) => process !== null)) result.labeled++
      else result.unlabeled++
      whole?.packet(data, begin, cut, wireLength[i]!, timeUs[i]!, linkType[i]!, notes)
      if (perProcess === null) continue
      for (const process of processesOf(sessions))
        writerOf(process).packet(data, begin, cut, wireLength[i]!, timeUs[i]!, linkType[i]!, notes)
    }
    result.frames += count
  }
  whole?.close()
  for (const writer of byProcess.values()) writer.close()
  return result
}

const processesOf = (sessions: readonly SessionOfPackets[]): Set<string> =>
  new Set(sessions.flatMap(({ process }) => process ?? []))

/** The notes of sessions; lists that stay the same are not made anew for each frame. */
function remembered(): (sessions: readonly SessionOfPackets[]) => readonly PacketNote[] {
  const known = new WeakMap<readonly SessionOfPackets[], readonly PacketNote[]>()
  return sessions => {
    const before = known.get(sessions)
    if (before) return before
    const notes = sessions.map(({ note }) => note)
    known.set(sessions, notes)
    return notes
  }
}
