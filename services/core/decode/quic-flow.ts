import {
  clientInitialKeys,
  forEachCryptoFrame,
  type InitialKeys,
  type LongHeader,
  openInitial,
  readLongHeader,
} from './quic.ts'
import { Reassembly } from './reassembly.ts'
import { type ClientHello, handshakeLength, parseClientHello } from './tls.ts'

/** A client that begins anew (after Retry or Version Negotiation) is followed this often; each attempt costs a key. */
const MAX_ATTEMPTS = 6
/** Initial packets that nothing opens, after which the flow is given up: each costs a key derivation. */
const MAX_FAILURES = 16

/** One connection id that a client chose: keys for each version it was used with, and the handshake bytes sent under it. */
interface Attempt {
  connectionId: Buffer
  keys: Map<number, InitialKeys[]>
  crypto: Reassembly
}

/**
 * Finds the ClientHello in the client's Initial packets of one UDP flow. Which end is the client shows when a packet
 * opens with the client's keys; the keys come from the packet itself (its destination connection id) or from an earlier
 * one, since a client takes the server's id as soon as it knows it but goes on with the first keys.
 */
export class QuicFlow {
  private readonly attempts: Attempt[] = []
  private failures = 0
  readonly sinceUs: number
  private readonly maxBytes: number

  constructor(maxBytes: number, nowUs: number) {
    this.maxBytes = maxBytes
    this.sinceUs = nowUs
  }

  get bytes(): number {
    return this.attempts.reduce((sum, attempt) => sum + attempt.crypto.bytes.length, 0)
  }

  get givenUp(): boolean {
    return this.failures >= MAX_FAILURES
  }

  /** Takes a datagram of either direction; the ClientHello once it is whole. */
  add(data: Uint8Array, from: number, to: number): ClientHello | null {
    for (let header = readLongHeader(data, from, to); header !== null; header = readLongHeader(data, header.end, to)) {
      if (!header.isInitial) continue
      const hello = this.addInitial(data, header)
      if (hello !== null) return hello
    }
    return null
  }

  private addInitial(data: Uint8Array, header: LongHeader): ClientHello | null {
    if (this.givenUp) return null
    const connectionId = data.subarray(header.dcidStart, header.dcidEnd)
    // The attempt of this very id first, then the newest.
    const known = this.attempts.find(attempt => attempt.connectionId.equals(connectionId))
    if (known !== undefined) {
      const payload = this.open(data, header, known)
      if (payload !== null) return this.take(known, header, payload)
    }
    for (const attempt of this.attempts) {
      const payload = attempt === known ? null : this.open(data, header, attempt)
      if (payload !== null) return this.take(attempt, header, payload)
    }
    if (known === undefined && connectionId.length > 0 && this.attempts.length < MAX_ATTEMPTS) {
      const fresh = { connectionId: Buffer.from(connectionId), keys: new Map(), crypto: new Reassembly(this.maxBytes) }
      const payload = this.open(data, header, fresh)
      if (payload !== null) {
        this.attempts.unshift(fresh)
        return this.take(fresh, header, payload)
      }
    }
    this.failures++
    return null
  }

  private open(data: Uint8Array, header: LongHeader, attempt: Attempt): Buffer | null {
    let keys = attempt.keys.get(header.version)
    if (keys === undefined) {
      if (attempt.keys.size >= 3) return null
      keys = clientInitialKeys(header.version, attempt.connectionId)
      attempt.keys.set(header.version, keys)
    }
    for (const one of keys) {
      const payload = openInitial(data, header, one)
      if (payload !== null) return payload
    }
    return null
  }

  private take(attempt: Attempt, { version }: LongHeader, payload: Uint8Array): ClientHello | null {
    const { crypto } = attempt
    forEachCryptoFrame(version, payload, (offset, from, to) => crypto.insert(offset, payload, from, to))
    const end = crypto.runEnd(0)
    if (end < 4) return null
    const wanted = handshakeLength(crypto.bytes, 0)
    return end < wanted ? null : parseClientHello(crypto.bytes, 0, wanted)
  }
}
