import { createRequire } from 'node:module'
import { InputError, ProclabelError } from '#shared/errors.ts'
import type { FrameBlock, PacketSource, SourceStatistics } from './packet-source.ts'

/** The part of `cap` 0.2.1 that is used; the package has no types of its own. */
interface CapModule {
  Cap: {
    new (): CapHandle
    deviceList(): { name: string }[]
  }
}
interface CapHandle {
  open: (device: string, filter: string, bufferBytes: number, buffer: Buffer) => string
  close: () => void
  setMinBytes?: (bytes: number) => void
  on: (event: 'packet', listener: (bytes: number, truncated: boolean) => void) => void
}

/** LINKTYPE_ values of what `cap` calls the link types. */
const linkTypes: Record<string, number> = { ETHERNET: 1, NULL: 0, RAW: 101, LINKTYPE_LINUX_SLL: 113 }
const kernelBufferBytes = 64 * 1024 * 1024
const snapLength = 65_535
const blockFrames = 4096
const blockBytes = 4 * 1024 * 1024
/** Blocks that wait for the reader; frames beyond them are dropped and counted. */
const maxWaitingBlocks = 16
const blockPeriodMs = 20

/** `cap` 0.2.1 aborts the process when a handle that could not be opened is collected as garbage: so it never is. */
const failedHandles: CapHandle[] = []

/** A block that is filled frame by frame. */
class GrowingBlock implements FrameBlock {
  count = 0
  readonly data = new Uint8Array(blockBytes)
  readonly offset = new Int32Array(blockFrames)
  readonly captured = new Int32Array(blockFrames)
  readonly wireLength = new Int32Array(blockFrames)
  readonly timeUs = new Float64Array(blockFrames)
  readonly linkType = new Uint16Array(blockFrames)
  #bytes = 0

  /** False when the frame does not fit any more. */
  add(frame: Uint8Array, timeUs: number, linkType: number): boolean {
    if (this.count === blockFrames || this.#bytes + frame.length > blockBytes) return false
    const row = this.count++
    this.data.set(frame, this.#bytes)
    this.offset[row] = this.#bytes
    this.captured[row] = frame.length
    this.wireLength[row] = frame.length
    this.timeUs[row] = timeUs
    this.linkType[row] = linkType
    this.#bytes += frame.length
    return true
  }
}

/**
 * Live frames of an interface through `cap` (libpcap). What `cap` cannot give: the kernel's time stamp (the time is when
 * JavaScript saw the frame), the length on the wire beyond the snap length, and the kernel's drop count.
 * Throws InputError for an interface that is not there or must not be read.
 */
export function openInterface(device: string, filter: string): PacketSource {
  const { Cap } = loadCap()
  const devices = Cap.deviceList().map(({ name }) => name)
  if (!devices.includes(device)) {
    const found = devices.length === 0 ? 'none can be read: run as root or with CAP_NET_RAW' : devices.join(', ')
    throw new InputError('PROCLABEL_INTERFACE', `there is no interface '${device}' to capture on; interfaces: ${found}`)
  }
  const handle = new Cap()
  const frame = Buffer.alloc(snapLength)
  let linkType: number | undefined
  try {
    const name = handle.open(device, filter, kernelBufferBytes, frame)
    linkType = linkTypes[name]
    handle.setMinBytes?.(0)
    if (linkType === undefined) throw new Error(`link type ${name} is not supported`)
  } catch (error) {
    failedHandles.push(handle)
    const { message } = error as Error
    const why = /permi/i.test(message) ? 'no permission: run as root or with CAP_NET_RAW' : message
    throw new InputError('PROCLABEL_INTERFACE', `cannot capture on '${device}': ${why}`, error)
  }
  return new CapSource(handle, frame, linkType)
}

class CapSource implements PacketSource {
  readonly isLive = true
  readonly #handle: CapHandle
  #filling = new GrowingBlock()
  readonly #waiting: FrameBlock[] = []
  #read = 0
  #bytesRead = 0
  #queueDrops = 0

  constructor(handle: CapHandle, frame: Buffer, linkType: number) {
    this.#handle = handle
    handle.on('packet', bytes => {
      const timeUs = Math.floor((performance.timeOrigin + performance.now()) * 1000)
      const captured = frame.subarray(0, Math.min(bytes, snapLength))
      if (this.#filling.add(captured, timeUs, linkType)) return
      if (this.#waiting.length === maxWaitingBlocks) {
        this.#queueDrops++
        return
      }
      this.#turn()
      this.#filling.add(captured, timeUs, linkType)
    })
  }

  async *blocks(signal?: AbortSignal): AsyncIterable<FrameBlock> {
    while (!signal?.aborted) {
      await new Promise(resolve => setTimeout(resolve, blockPeriodMs))
      if (this.#filling.count > 0) this.#turn()
      for (let block = this.#waiting.shift(); block; block = this.#waiting.shift()) {
        this.#read += block.count
        for (let i = 0; i < block.count; i++) this.#bytesRead += block.captured[i]!
        yield block
      }
    }
  }

  statistics(): SourceStatistics {
    const skipped: Record<string, number> = this.#queueDrops > 0 ? { 'queue-full': this.#queueDrops } : {}
    return { read: this.#read, skipped, dropped: null, bytesRead: this.#bytesRead }
  }

  async close(): Promise<void> {
    this.#handle.close()
  }

  #turn(): void {
    this.#waiting.push(this.#filling)
    this.#filling = new GrowingBlock()
  }
}

function loadCap(): CapModule {
  try {
    return createRequire(import.meta.url)('cap')
  } catch (cause) {
    throw new ProclabelError('PROCLABEL_CAP', "cannot load 'cap' (libpcap): run 'npm run setup'", { cause })
  }
}
