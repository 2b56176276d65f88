import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { PacketSource } from '../capture/packet-source.ts'
import type { PacketLabels } from './packet-labels.ts'

/** The first payload bytes of sessions, in a temporary file: only where they stand in it is in memory, 120 bytes a session. To be closed. */
export class Payloads {
  readonly #most: number
  readonly #folder = mkdtempSync(join(tmpdir(), 'proclabel-payloads-'))
  readonly #file = openSync(join(this.#folder, 'payloads'), 'w+')
  /** By session id: number of its place in the file, and how many bytes stand there. */
  readonly #places = new Map<string, { place: number; bytes: number }>()

  /** At most `most` bytes of each session. */
  constructor(most: number) {
    this.#most = most
  }

  /** Takes the payload of a capture's packets, both directions in their order. */
  async collect(packets: PacketSource, { native }: PacketLabels): Promise<void> {
    for await (const { data, offset, captured, wireLength, timeUs, linkType, count } of packets.blocks())
      native.payloads(data, offset, captured, wireLength, timeUs, linkType, count, (sessionId, at, bytes) =>
        this.#append(sessionId, data.subarray(at, at + bytes)),
      )
  }

  /** Null for a session without any. */
  of(id: string): Uint8Array | null {
    const known = this.#places.get(id)
    if (known === undefined) return null
    const bytes = Buffer.allocUnsafe(known.bytes)
    readSync(this.#file, bytes, 0, bytes.length, known.place * this.#most)
    return bytes
  }

  close(): void {
    closeSync(this.#file)
    rmSync(this.#folder, { recursive: true })
  }

  /** Whether there is room for more. */
  #append(id: string, payload: Uint8Array): boolean {
    let known = this.#places.get(id)
    if (known === undefined) {
      known = { place: this.#places.size, bytes: 0 }
      this.#places.set(id, known)
    }
    const bytes = Math.min(payload.length, this.#most - known.bytes)
    writeSync(this.#file, payload, 0, bytes, known.place * this.#most + known.bytes)
    known.bytes += bytes
    return known.bytes < this.#most
  }
}
