import { type ByteSource, CHUNK_BYTES } from './byte-source.ts'
import type { Window } from './capture-format.ts'

/** The largest block that is looked at fits several times; this is all the memory that a file of any size takes. */
const WINDOW_BYTES = 2 << 20

/** A fixed buffer that slides over the bytes of a source. */
export class WindowBuffer {
  readonly window: Window
  private readonly source: ByteSource
  /** Bytes of the source's last chunk that did not fit yet. */
  private chunk: Uint8Array = new Uint8Array(0)
  /** Bytes to pass over that have not been read yet. */
  private behind = 0

  constructor(source: ByteSource) {
    this.source = source
    const data = new Uint8Array(WINDOW_BYTES)
    this.window = { data, view: new DataView(data.buffer), begin: 0, end: 0 }
  }

  get length(): number {
    return this.window.end - this.window.begin
  }

  /** Is the window in the middle of a record or block, so that an end here is a cut? */
  get isInsideRecord(): boolean {
    return this.behind > 0 || this.length > 0
  }

  /** Moves on by `count` bytes, perhaps beyond what has been read. */
  advance(count: number): void {
    this.behind += Math.max(0, count - this.length)
    this.window.begin += Math.min(count, this.length)
  }

  /** Reads until at least `count` bytes stand in the window; false if the source ends before. Moves what is there. */
  async fill(count: number): Promise<boolean> {
    const { window } = this
    window.data.copyWithin(0, window.begin, window.end)
    window.end -= window.begin
    window.begin = 0
    while (window.end < count) {
      const chunk =
        this.chunk.length > 0
          ? this.chunk
          : await this.source.read(window.data.subarray(window.end, window.end + CHUNK_BYTES))
      if (chunk === null) return false
      this.take(chunk)
    }
    return true
  }

  private take(chunk: Uint8Array): void {
    const { window } = this
    const passed = Math.min(this.behind, chunk.length)
    const taken = Math.min(chunk.length - passed, window.data.length - window.end)
    this.behind -= passed
    // Read to where it belongs, most often: then there is nothing to move.
    if (passed > 0 || chunk.buffer !== window.data.buffer)
      window.data.set(chunk.subarray(passed, passed + taken), window.end)
    window.end += taken
    this.chunk = chunk.subarray(passed + taken)
  }

  bytesRead(): number {
    return this.source.bytesRead()
  }

  damage(): string | null {
    return this.source.damage()
  }

  async close(): Promise<void> {
    await this.source.close()
  }
}
