const CHUNK_BYTES = 65_536
const HEADER_BYTES = 512

/** An event to be written; a number of `data` becomes an unsigned 32-bit value, text that begins with 0x a 64-bit one. */
export interface FixtureEvent {
  eventId: number
  channel: string
  computer: string
  /** Microseconds since the epoch. */
  timeUs: number
  data: Readonly<Record<string, string | number>>
}

/** The sections of [MS-EVEN6] 2.2.12 that Windows itself uses: one template an event, all that varies as its values. */
export function writeEvtx(events: readonly FixtureEvent[]): Buffer {
  const header = Buffer.alloc(4096)
  header.write('ElfFile\0')
  const chunks: ChunkWriter[] = [new ChunkWriter()]
  for (const [i, event] of events.entries()) {
    if (chunks.at(-1)!.add(event, i + 1)) continue
    chunks.push(new ChunkWriter())
    if (!chunks.at(-1)!.add(event, i + 1)) throw new Error('an event of more than a chunk')
  }
  header.writeUInt16LE(1, 36) // minor version
  header.writeUInt16LE(3, 38) // major version
  header.writeUInt32LE(128, 32)
  header.writeUInt16LE(4096, 40)
  header.writeUInt16LE(chunks.length, 42)
  return Buffer.concat([header, ...chunks.map(chunk => chunk.finish())])
}

type FixtureValue = [type: number, bytes: Buffer]

class ChunkWriter {
  readonly #bytes = Buffer.alloc(CHUNK_BYTES)
  #at = HEADER_BYTES
  #names = new Map<string, number>()
  #values: FixtureValue[] = []

  /** False when there is no room: then nothing is written. */
  add(event: FixtureEvent, number: number): boolean {
    const before = { at: this.#at, names: new Map(this.#names) }
    try {
      this.#record(event, number)
      return true
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      this.#bytes.fill(0, before.at)
      this.#at = before.at
      this.#names = before.names
      return false
    }
  }

  finish(): Buffer {
    this.#bytes.write('ElfChnk\0')
    this.#bytes.writeUInt32LE(128, 40)
    this.#bytes.writeUInt32LE(this.#at, 48)
    return this.#bytes
  }

  #record({ eventId, channel, computer, timeUs, data }: FixtureEvent, number: number): void {
    const begin = this.#at
    const fileTime = Buffer.alloc(8)
    fileTime.writeBigUInt64LE(BigInt(timeUs) * 10n + 116_444_736_000_000_000n)
    this.#u32(0x2a2a)
    this.#u32(0)
    this.#u64(BigInt(number))
    this.#put(fileTime)
    this.#values = []
    this.#put(Buffer.from([0x0f, 1, 1, 0, 0x0c, 1]))
    this.#u32(number)
    this.#u32(this.#at + 4)
    this.#u32(0)
    this.#put(Buffer.alloc(16))
    this.#sized(() => {
      this.#put(Buffer.from([0x0f, 1, 1, 0]))
      this.#element('Event', {}, () => {
        this.#element('System', {}, () => {
          this.#element('EventID', {}, () => this.#value([6, u16(eventId)]))
          this.#element('TimeCreated', { SystemTime: [0x11, fileTime] }, null)
          this.#element('Channel', {}, () => this.#value(text(channel)))
          this.#element('Computer', {}, () => this.#value(text(computer)))
        })
        this.#element('EventData', {}, () => {
          for (const [name, value] of Object.entries(data))
            this.#element('Data', { Name: name }, () => this.#value(typed(value)))
        })
      })
      this.#u8(0)
    })
    this.#u32(this.#values.length)
    for (const [type, { length }] of this.#values) {
      this.#u16(length)
      this.#u16(type)
    }
    for (const [, bytes] of this.#values) this.#put(bytes)
    const size = this.#at + 4 - begin
    this.#u32(size)
    this.#bytes.writeUInt32LE(size, begin + 4)
  }

  #element(name: string, attributes: Record<string, string | FixtureValue>, content: (() => void) | null): void {
    const entries = Object.entries(attributes)
    this.#u8(entries.length > 0 ? 0x41 : 0x01)
    this.#u16(0xffff)
    this.#sized(() => {
      this.#name(name)
      if (entries.length > 0) {
        this.#sized(() => {
          for (const [i, [key, value]] of entries.entries()) {
            this.#u8(i < entries.length - 1 ? 0x46 : 0x06)
            this.#name(key)
            if (typeof value === 'string') this.#text(value)
            else this.#value(value)
          }
        })
      }
      this.#u8(content === null ? 0x03 : 0x02)
      if (content === null) return
      content()
      this.#u8(0x04)
    })
  }

  #text(value: string): void {
    this.#u8(0x05)
    this.#u8(0x01)
    this.#u16(value.length)
    this.#put(Buffer.from(value, 'utf16le'))
  }

  #value(value: FixtureValue): void {
    this.#u8(0x0d)
    this.#u16(this.#values.length)
    this.#u8(value[0])
    this.#values.push(value)
  }

  #name(name: string): void {
    const known = this.#names.get(name)
    this.#u32(known ?? this.#at + 4)
    if (known !== undefined) return
    this.#names.set(name, this.#at)
    this.#u32(0)
    this.#u16(nameHash(name))
    this.#u16(name.length)
    this.#put(Buffer.from(`${name}\0`, 'utf16le'))
  }

  #sized(write: () => void): void {
    const at = this.#at
    this.#u32(0)
    write()
    this.#bytes.writeUInt32LE(this.#at - at - 4, at)
  }

  #put(bytes: Buffer): void {
    if (this.#at + bytes.length > CHUNK_BYTES) throw new RangeError('the chunk is full')
    bytes.copy(this.#bytes, this.#at)
    this.#at += bytes.length
  }

  #u8 = (value: number) => this.#put(Buffer.from([value]))
  #u16 = (value: number) => this.#put(u16(value))
  #u32 = (value: number) => this.#put(u32(value))
  #u64(value: bigint): void {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(value)
    this.#put(bytes)
  }
}

const u16 = (value: number): Buffer => Buffer.from(Uint16Array.of(value).buffer)
const u32 = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer)
const text = (value: string): FixtureValue => [0x01, Buffer.from(value, 'utf16le')]

function typed(value: string | number): FixtureValue {
  if (typeof value === 'number') return [0x08, u32(value)]
  if (!/^0x[0-9a-f]+$/.test(value)) return text(value)
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return [0x15, bytes]
}

/** Of a name in a chunk's table: 65599 times what was, plus the character; its low half. */
const nameHash = (name: string): number =>
  Array.from(name).reduce((hash, letter) => (Math.imul(hash, 65_599) + letter.charCodeAt(0)) >>> 0, 0) & 0xffff
