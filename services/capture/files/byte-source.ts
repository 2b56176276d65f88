import { type FileHandle, open } from 'node:fs/promises'
import type { Transform } from 'node:stream'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { InputError } from '../../shared/errors.ts'

/** Bytes of a capture from wherever they come. */
export interface ByteSource {
  /** The next bytes, valid until the next call, perhaps in `room`; null at the end. Never empty. */
  read: (room: Uint8Array) => Promise<Uint8Array | null>
  /** Why the bytes ended early (`corrupt-gzip`, `truncated-gzip`, the same of zstd, `read-error`); null if they did not. */
  damage: () => string | null
  /** Bytes taken from the file or pipe itself, compressed if it is. */
  bytesRead: () => number
  close: () => Promise<void>
}

/** Bytes that are asked for at a time. */
export const CHUNK_BYTES = 1 << 20

/** Opens a file or, for `-`, standard input; a gzip or zstd stream is recognised and inflated as it is read. */
export async function openBytes(path: string): Promise<ByteSource> {
  const raw = path === '-' ? new StreamBytes(process.stdin) : new FileBytes(await openFile(path))
  try {
    const head = await raw.read(new Uint8Array(CHUNK_BYTES))
    if (head === null && raw.damage() !== null)
      throw new InputError('PROCLABEL_CAPTURE_UNREADABLE', `${nameOf(path)} cannot be read`)
    if (head === null) throw new InputError('PROCLABEL_CAPTURE_EMPTY', `${nameOf(path)} is empty`)
    const source = new WithHead(head, raw)
    const format = compressed.find(({ magic }) => magic.every((byte, i) => head[i] === byte))
    return format ? new InflatedBytes(source, format) : source
  } catch (error) {
    await raw.close()
    throw error
  }
}

/** What to call the input in a message. */
export function nameOf(path: string): string {
  return path === '-' ? 'standard input' : path
}

async function openFile(path: string): Promise<FileHandle> {
  try {
    const handle = await open(path, 'r')
    if (!(await handle.stat()).isDirectory()) return handle
    await handle.close()
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR')
      throw new InputError('PROCLABEL_CAPTURE_NOT_FOUND', `${path} does not exist`)
    if (code === 'EACCES' || code === 'EPERM')
      throw new InputError('PROCLABEL_CAPTURE_PERMISSION', `no permission to read ${path}`)
    throw new InputError('PROCLABEL_CAPTURE_UNREADABLE', `${path} cannot be opened: ${code}`)
  }
  throw new InputError('PROCLABEL_CAPTURE_DIRECTORY', `${path} is a directory, not a capture file`)
}

class FileBytes implements ByteSource {
  private readonly handle: FileHandle
  private failed = false
  private total = 0

  constructor(handle: FileHandle) {
    this.handle = handle
  }

  async read(room: Uint8Array): Promise<Uint8Array | null> {
    try {
      const { bytesRead } = await this.handle.read(room, 0, room.length, null)
      this.total += bytesRead
      return bytesRead === 0 ? null : room.subarray(0, bytesRead)
    } catch {
      this.failed = true
      return null
    }
  }

  damage(): string | null {
    return this.failed ? 'read-error' : null
  }

  bytesRead(): number {
    return this.total
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

class StreamBytes implements ByteSource {
  private readonly stream: NodeJS.ReadStream
  private readonly iterator: AsyncIterator<Uint8Array>
  private failed = false
  private total = 0

  constructor(stream: NodeJS.ReadStream) {
    this.stream = stream
    this.iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
  }

  async read(): Promise<Uint8Array | null> {
    try {
      const next = await this.iterator.next()
      if (next.done) return null
      this.total += next.value.length
      return next.value
    } catch {
      this.failed = true
      return null
    }
  }

  damage(): string | null {
    return this.failed ? 'read-error' : null
  }

  bytesRead(): number {
    return this.total
  }

  async close(): Promise<void> {
    this.stream.destroy()
  }
}

/** Gives back the bytes that were read to see what the input is. */
class WithHead implements ByteSource {
  private head: Uint8Array | null
  private readonly rest: ByteSource

  constructor(head: Uint8Array, rest: ByteSource) {
    this.head = head
    this.rest = rest
  }

  async read(room: Uint8Array): Promise<Uint8Array | null> {
    const { head } = this
    this.head = null
    return head ?? (await this.rest.read(room))
  }

  damage(): string | null {
    return this.rest.damage()
  }

  bytesRead(): number {
    return this.rest.bytesRead()
  }

  async close(): Promise<void> {
    await this.rest.close()
  }
}

/**
 * Small pieces, because zlib throws away what a piece has yielded when it meets an error in it; and because a piece
 * expands at most a thousandfold, which bounds the memory. The trailer is a piece of its own: a wrong checksum in it
 * costs nothing.
 */
const PIECE_BYTES = 4 << 10
const TRAILER_BYTES = 8
const options = { chunkSize: 256 << 10 }

/** RFC 1952, and RFC 8878 without its skippable frames. */
const compressed = [
  { name: 'gzip', magic: [0x1f, 0x8b], create: (): Transform => createGunzip(options) },
  { name: 'zstd', magic: [0x28, 0xb5, 0x2f, 0xfd], create: (): Transform => createZstdDecompress(options) },
]

class InflatedBytes implements ByteSource {
  private readonly source: ByteSource
  private readonly inflater: Transform
  private readonly inflated: Uint8Array[] = []
  private pending: Uint8Array = new Uint8Array(0)
  private readonly room = new Uint8Array(CHUNK_BYTES)
  private ended = false
  private broken: string | null = null
  /** Ends the wait for zlib. An error must do so too: zlib never calls back for the write in which it occurred. */
  private proceed: () => void = () => {}

  constructor(source: ByteSource, { name, create }: (typeof compressed)[number]) {
    this.source = source
    this.inflater = create()
    this.inflater.on('data', (chunk: Uint8Array) => this.inflated.push(chunk))
    this.inflater.on('end', () => this.proceed())
    this.inflater.on('error', (error: NodeJS.ErrnoException) => {
      this.broken = `${error.code === 'Z_BUF_ERROR' ? 'truncated' : 'corrupt'}-${name}`
      this.proceed()
    })
  }

  async read(): Promise<Uint8Array | null> {
    while (true) {
      const chunk = this.inflated.shift()
      if (chunk !== undefined) return chunk
      if (this.ended || this.broken !== null) return null
      await this.inflateMore()
    }
  }

  private async inflateMore(): Promise<void> {
    if (this.pending.length === 0) {
      const next = await this.source.read(this.room)
      this.ended = next === null
      this.pending = next ?? this.pending
    }
    const beforeTrailer = this.pending.length - TRAILER_BYTES
    const piece = this.pending.subarray(0, beforeTrailer > 0 ? Math.min(beforeTrailer, PIECE_BYTES) : undefined)
    this.pending = this.pending.subarray(piece.length)
    await new Promise<void>(resolve => {
      this.proceed = resolve
      if (this.ended) this.inflater.end()
      else this.inflater.write(piece, () => resolve())
    })
  }

  damage(): string | null {
    return this.broken ?? this.source.damage()
  }

  bytesRead(): number {
    return this.source.bytesRead()
  }

  async close(): Promise<void> {
    this.inflater.destroy()
    await this.source.close()
  }
}
