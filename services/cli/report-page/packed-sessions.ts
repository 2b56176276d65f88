import { gzipSync } from 'node:zlib'
import type { LabeledSession } from '#schemas'

/** What the page shows of a session; texts are numbers of the page's list of texts. */
const columns = {
  first: [Float64Array, s => s.first_us],
  seconds: [Float32Array, s => (s.last_us - s.first_us) / 1e6],
  host: [Uint32Array, (s, text) => text(s.host_id)],
  proto: [Uint32Array, (s, text) => text(s.proto)],
  localIp: [Uint32Array, (s, text) => text(s.local_ip)],
  localPort: [Uint16Array, s => s.local_port],
  remoteIp: [Uint32Array, (s, text) => text(s.remote_ip)],
  remotePort: [Uint16Array, s => s.remote_port],
  isOut: [Uint8Array, s => Number(s.direction === 'out')],
  packets: [Float64Array, s => s.packets_in + s.packets_out],
  bytes: [Float64Array, s => s.bytes_in + s.bytes_out],
  process: [Uint32Array, (s, text) => text(s.label?.process ?? null)],
  pid: [Int32Array, s => s.label?.pid ?? -1],
  service: [Uint32Array, (s, text) => text(s.label?.service ?? null)],
  image: [Uint32Array, (s, text) => text(s.label?.container_image ?? null)],
  parent: [Uint32Array, (s, text) => text(s.label?.parent ?? null)],
  stage: [Uint32Array, (s, text) => text(s.stage)],
  confidence: [Float32Array, s => s.confidence ?? Number.NaN],
  cause: [Uint32Array, (s, text) => text(s.label === null ? (s.unknown_cause ?? 'not judged') : null)],
  name: [Uint32Array, (s, text) => text(s.sni ?? s.dns_name)],
  reason: [Uint32Array, (s, text) => text(s.evidence.reason)],
  source: [Uint32Array, (s, text) => text(s.evidence.source)],
  quality: [Uint32Array, (s, text) => text(s.evidence.quality)],
  candidates: [Uint32Array, (s, text) => text(s.evidence.candidates.join(', ') || null)],
  ownedFrom: [Float64Array, s => s.evidence.owned_from_us ?? Number.NaN],
  ownedUntil: [Float64Array, s => s.evidence.owned_until_us ?? Number.NaN],
  offset: [Float64Array, s => s.evidence.clock_offset_us ?? Number.NaN],
  support: [Int32Array, s => s.evidence.support ?? -1],
  share: [Float32Array, s => s.evidence.share ?? Number.NaN],
  final: [Uint8Array, s => Number(s.label_final)],
} satisfies Record<string, [ArrayType, (session: LabeledSession, text: (value: string | null) => number) => number]>

type ArrayType =
  | typeof Float64Array
  | typeof Float32Array
  | typeof Uint32Array
  | typeof Int32Array
  | typeof Uint16Array
  | typeof Uint8Array

/** Sessions for the page's script, which reads them without parsing: columns of numbers, and a list of texts. */
export class PackedSessions {
  readonly #values = Object.values(columns).map((): number[] => [])
  readonly #ids: string[] = []
  /** Number 0 is no text. */
  readonly #texts = new Map<string, number>([['', 0]])

  add(session: LabeledSession): void {
    Object.values(columns).forEach(([, of], i) => {
      this.#values[i]!.push(of(session, this.#number))
    })
    this.#ids.push(session.session_id)
  }

  /**
   * Base64 of gzip: a line of JSON (`rows`, `texts`, and of each column its name, type and place), padded to eight bytes, then
   * the columns, each padded to eight bytes; session ids are a column of their own, 16 bytes each.
   */
  pack(): string {
    const arrays = Object.entries(columns).map(([name, [type]], i) => ({ name, array: type.from(this.#values[i]!) }))
    const ids = Buffer.from(this.#ids.map(id => id.slice(0, 32).padStart(32, '0')).join(''), 'hex')
    const parts: Buffer[] = []
    let at = 0
    const place = (bytes: Buffer): number => {
      const from = at
      const padded = Buffer.concat([bytes, Buffer.alloc(-bytes.length & 7)])
      parts.push(padded)
      at += padded.length
      return from
    }
    const index = [
      ...arrays.map(({ name, array }) => ({
        ...{ name, type: array.constructor.name },
        at: place(Buffer.from(array.buffer, array.byteOffset, array.byteLength)),
      })),
      { name: 'id', type: 'Uint8Array', at: place(ids) },
    ]
    const head = JSON.stringify({ rows: this.#ids.length, texts: [...this.#texts.keys()], columns: index })
    const line = Buffer.from(`${head}\n`)
    const padded = Buffer.concat([line.subarray(0, -1), Buffer.alloc(-line.length & 7, 0x20), Buffer.from('\n')])
    return gzipSync(Buffer.concat([padded, ...parts]), { level: 6 }).toString('base64')
  }

  readonly #number = (value: string | null): number => {
    if (value === null) return 0
    const known = this.#texts.get(value)
    if (known !== undefined) return known
    this.#texts.set(value, this.#texts.size)
    return this.#texts.size - 1
  }
}
