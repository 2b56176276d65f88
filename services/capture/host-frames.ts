import { pcapRecord } from './files/write-pcap.ts'

/** pcap records (services/capture/files/write-pcap.ts) of a host's frames in one minute, all of one link type. */
export interface FrameChunk {
  hostId: string
  /** LINKTYPE_ value. */
  linkType: number
  /** Microseconds since the epoch, where the minute begins. */
  minuteUs: number
  packets: number
  records: Uint8Array
}

interface OpenChunk extends Omit<FrameChunk, 'hostId' | 'records'> {
  records: Uint8Array[]
  bytes: number
}

const fullChunkBytes = 256 * 1024
export const minuteUs = 60_000_000

/** Gathers each host's frames for its capture files; the twin of native/src/packet/host_frames.cc. */
export class HostFrames {
  readonly #snapLength: number
  readonly #open = new Map<string, OpenChunk>()
  #complete: FrameChunk[] = []

  /** `snapLength`: bytes that are kept of a frame at most. */
  constructor(snapLength: number) {
    this.#snapLength = snapLength
  }

  add(hostId: string, linkType: number, timeUs: number, frame: Uint8Array, wireLength: number): void {
    const minute = Math.floor(timeUs / minuteUs) * minuteUs
    let chunk = this.#open.get(hostId)
    if (chunk && (chunk.minuteUs !== minute || chunk.linkType !== linkType)) {
      this.#handOut(hostId, chunk)
      chunk = undefined
    }
    if (!chunk) {
      chunk = { linkType, minuteUs: minute, packets: 0, records: [], bytes: 0 }
      this.#open.set(hostId, chunk)
    }
    const record = pcapRecord(timeUs, frame.subarray(0, this.#snapLength), wireLength)
    chunk.records.push(record)
    chunk.bytes += record.length
    chunk.packets++
    if (chunk.bytes >= fullChunkBytes) this.#handOut(hostId, chunk)
  }

  /** Every chunk, as it is so far. */
  flush(): void {
    for (const [hostId, chunk] of this.#open) this.#handOut(hostId, chunk)
  }

  /** The chunks that are complete; they are the caller's from then on. */
  take(): FrameChunk[] {
    const complete = this.#complete
    this.#complete = []
    return complete
  }

  #handOut(hostId: string, { linkType, minuteUs, packets, records }: OpenChunk): void {
    this.#open.delete(hostId)
    this.#complete.push({ hostId, linkType, minuteUs, packets, records: Buffer.concat(records) })
  }
}
