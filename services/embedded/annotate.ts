import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { InputError, ProclabelError } from '#shared/errors.ts'
import type { PacketSource } from '../capture/packet-source.ts'
import type { PacketLabels } from './packet-labels.ts'

/** Where annotated frames go. */
export interface AnnotatedFrames {
  pcapng: string | null
  /** A folder: a file for each process, made when they are first seen. */
  perProcess: string | null
  /** Frames end where their TCP or UDP payload begins. */
  cutPayload: boolean
  /** A packet is left out that is the copy of one before at the same time: capture files by host have it twice. */
  dropCopies: boolean
}

export interface AnnotateResult {
  /** Frames of sessions with a label, of sessions without one, of no session, and copies that were left out. */
  labeled: number
  unlabeled: number
  outside: number
  copies: number
}

const roomBytes = 1 << 20

interface File {
  path: string
  descriptor: number
  room: Uint8Array
}

/** Writes the frames of a capture again, each with what is known of its process. Throws InputError for a file that cannot be made, PROCLABEL_OUTPUT when one cannot be written. */
export async function annotate(
  packets: PacketSource,
  { native }: PacketLabels,
  { pcapng, perProcess, cutPayload, dropCopies }: AnnotatedFrames,
): Promise<AnnotateResult> {
  if (perProcess !== null) mkdirSync(perProcess, { recursive: true })
  const files: File[] = []
  const open = (process: string | null) => {
    const path = process === null ? pcapng! : join(perProcess!, `${encodeURIComponent(process)}.pcapng`)
    const file = { path, descriptor: openFile(path), room: Buffer.allocUnsafeSlow(roomBytes) }
    files.push(file)
    return file.room
  }
  const write = (number: number, bytes: number) => writeFile(files[number]!, bytes)
  try {
    native.writeTo(pcapng !== null, perProcess !== null, cutPayload, dropCopies, open, write)
    for await (const { data, offset, captured, wireLength, timeUs, linkType, count } of packets.blocks())
      native.annotate(data, offset, captured, wireLength, timeUs, linkType, count)
    return native.finish()
  } finally {
    for (const { descriptor } of files) closeSync(descriptor)
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'w')
  } catch (error) {
    throw new InputError('PROCLABEL_OUTPUT', `cannot write ${path}: ${(error as Error).message}`, error)
  }
}

function writeFile({ path, descriptor, room }: File, bytes: number): void {
  try {
    for (let done = 0; done < bytes; ) done += writeSync(descriptor, room, done, bytes - done)
  } catch (cause) {
    const { message } = cause as Error
    throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write ${path}: ${message}`, { cause })
  }
}
