import { closeSync, openSync, writeSync } from 'node:fs'
import { InputError, ProclabelError } from '#shared/errors.ts'

const SECTION = 0x0a0d0d0a
const INTERFACE = 1
const ENHANCED_PACKET = 6
/** Apple's process event block, as Wireshark's wiretap/pcapng-darwin.c reads it: pid, then the name as option 2. */
const PROCESS_EVENT = 0x80000001
const OPTION_COMMENT = 1
const OPTION_PROCESS_NAME = 2
/** Of a packet: the place of its process event block, from 0. */
const OPTION_PROCESS_EVENT = 0x8001

const bufferBytes = 1 << 20
const maxBlockBytes = 1 << 19

/** A process that owns packets; the pid is 0 where only the program is known. */
export interface PacketProcess {
  name: string
  pid: number
}

/** What goes with a packet: made once, written with every packet that it is of. */
export interface PacketNote {
  /** The comment as a pcapng option, in words as they lie in memory. */
  option: Int32Array
  process: PacketProcess | null
}

export const packetNote = (comment: string, process: PacketProcess | null): PacketNote => ({
  option: wordsOf(option(OPTION_COMMENT, Buffer.from(comment))),
  process,
})

/** Writes pcapng (draft-ietf-opsawg-pcapng): one section, an interface for each link type, times in microseconds. Throws InputError for a file that cannot be made, PROCLABEL_OUTPUT when it cannot be written. */
export class PcapngWriter {
  readonly #path: string
  readonly #file: number
  readonly #buffer = Buffer.from(new ArrayBuffer(bufferBytes))
  readonly #view = new DataView(this.#buffer.buffer)
  readonly #words = new Int32Array(this.#buffer.buffer)
  #at = 0
  /** By LINKTYPE_ value. */
  readonly #interfaces = new Map<number, number>()
  readonly #processes = new Map<string, number>()
  /** Those of processes whose place was looked up before. */
  readonly #places = new Map<PacketProcess, number>()

  constructor(path: string) {
    this.#path = path
    try {
      this.#file = openSync(path, 'w')
    } catch (error) {
      throw new InputError('PROCLABEL_OUTPUT', `cannot write ${path}: ${(error as Error).message}`, error)
    }
    const section = Buffer.alloc(16)
    section.writeUInt32LE(0x1a2b3c4d, 0)
    section.writeUInt16LE(1, 4)
    section.writeBigInt64LE(-1n, 8)
    this.#block(SECTION, section)
  }

  /** The frame `data[begin, end)`, of which `wireLength` bytes were on the wire. */
  packet(
    data: Uint8Array,
    begin: number,
    end: number,
    wireLength: number,
    timeUs: number,
    linkType: number,
    notes: readonly PacketNote[],
  ): void {
    const place = this.#interfaces.get(linkType) ?? this.#addInterface(linkType)
    for (const { process } of notes) if (process !== null && !this.#places.has(process)) this.#addProcess(process)
    const captured = end - begin
    let options = 0
    for (const { option, process } of notes) options += 4 * option.length + (process === null ? 0 : 8)
    if (notes.length > 0) options += 4
    const length = 32 + ((captured + 3) & ~3) + options
    if (length > maxBlockBytes) throw new RangeError(`a frame of ${captured} bytes`)
    if (this.#at + length > bufferBytes) this.#flush()
    const view = this.#view
    let at = this.#at
    view.setUint32(at, ENHANCED_PACKET, true)
    view.setUint32(at + 4, length, true)
    view.setUint32(at + 8, place, true)
    view.setUint32(at + 12, Math.floor(timeUs / 0x1_0000_0000), true)
    view.setUint32(at + 16, timeUs % 0x1_0000_0000, true)
    view.setUint32(at + 20, captured, true)
    view.setUint32(at + 24, wireLength, true)
    at += 28
    copy(data, begin, end, this.#buffer, at)
    at += captured
    while ((at - this.#at) % 4 !== 0) this.#buffer[at++] = 0
    for (const { option, process } of notes) {
      // Blocks and options begin at multiples of four.
      for (let i = 0; i < option.length; i++) this.#words[at / 4 + i] = option[i]!
      at += 4 * option.length
      if (process === null) continue
      view.setUint32(at, OPTION_PROCESS_EVENT | (4 << 16), true)
      view.setUint32(at + 4, this.#places.get(process)!, true)
      at += 8
    }
    if (notes.length > 0) {
      view.setUint32(at, 0, true)
      at += 4
    }
    view.setUint32(at, length, true)
    this.#at = at + 4
  }

  close(): void {
    this.#flush()
    closeSync(this.#file)
  }

  #addInterface(linkType: number): number {
    const description = Buffer.alloc(8)
    description.writeUInt16LE(linkType, 0)
    this.#block(INTERFACE, description)
    const place = this.#interfaces.size
    this.#interfaces.set(linkType, place)
    return place
  }

  #addProcess(process: PacketProcess): void {
    const key = `${process.pid} ${process.name}`
    let place = this.#processes.get(key)
    if (place === undefined) {
      place = this.#processes.size
      this.#processes.set(key, place)
      const pid = Buffer.alloc(4)
      pid.writeUInt32LE(process.pid)
      this.#block(PROCESS_EVENT, pid, option(OPTION_PROCESS_NAME, Buffer.from(process.name)), Buffer.alloc(4))
    }
    this.#places.set(process, place)
  }

  #block(type: number, ...parts: readonly Uint8Array[]): void {
    const body = Buffer.concat(parts)
    const length = body.length + 12
    if (this.#at + length > bufferBytes) this.#flush()
    this.#view.setUint32(this.#at, type, true)
    this.#view.setUint32(this.#at + 4, length, true)
    this.#buffer.set(body, this.#at + 8)
    this.#view.setUint32(this.#at + 8 + body.length, length, true)
    this.#at += length
  }

  #flush(): void {
    try {
      for (let done = 0; done < this.#at; ) done += writeSync(this.#file, this.#buffer, done, this.#at - done)
    } catch (cause) {
      const { message } = cause as Error
      throw new ProclabelError('PROCLABEL_OUTPUT', `cannot write ${this.#path}: ${message}`, { cause })
    }
    this.#at = 0
  }
}

const wordsOf = (bytes: Uint8Array): Int32Array => new Int32Array(Uint8Array.from(bytes).buffer)

/** Few bytes are copied faster one by one than by a call. */
function copy(from: Uint8Array, begin: number, end: number, to: Uint8Array, at: number): void {
  if (end - begin > 96) to.set(from.subarray(begin, end), at)
  else for (let i = begin; i < end; i++) to[at++] = from[i]!
}

/** Code, length, value, padded to four bytes; a value beyond 65,535 bytes is cut. */
function option(code: number, value: Uint8Array): Uint8Array {
  const kept = value.subarray(0, 65_535)
  const bytes = Buffer.alloc(4 + ((kept.length + 3) & ~3))
  bytes.writeUInt16LE(code, 0)
  bytes.writeUInt16LE(kept.length, 2)
  bytes.set(kept, 4)
  return bytes
}
