const MIN_CAPACITY = 128 * 1024

/** Bytes of a stream that can be looked at before they are taken. Holds what was asked for and one chunk. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>
  #buffer = Buffer.alloc(0)
  #begin = 0
  #end = 0
  #isOver = false
  /** What the stream broke off with. */
  #failure: Error | null = null

  constructor(source: AsyncIterable<Buffer>) {
    this.#chunks = source[Symbol.asyncIterator]()
  }

  /** All bytes that are held: at least `size`, fewer only where the stream ends. Theirs until the next call. */
  async peek(size: number): Promise<Buffer> {
    const held = await this.glance(size)
    if (held.length < size && this.#failure !== null) throw this.#failure
    return held
  }

  /** The same, but fewer, too, where the stream breaks off: that is thrown once nothing is left. */
  async glance(size: number): Promise<Buffer> {
    while (this.#end - this.#begin < size && !this.#isOver) {
      try {
        const { done, value } = await this.#chunks.next()
        if (done) this.#isOver = true
        else this.#append(value)
      } catch (error) {
        this.#isOver = true
        this.#failure = error as Error
      }
    }
    if (this.#failure !== null && this.#end === this.#begin) throw this.#failure
    return this.#buffer.subarray(this.#begin, this.#end)
  }

  /** Takes bytes that are held. */
  take(size: number): void {
    this.#begin += size
  }

  /** All that was not taken, in chunks. */
  async *rest(): AsyncGenerator<Buffer> {
    if (this.#end > this.#begin) yield this.#buffer.subarray(this.#begin, this.#end)
    while (!this.#isOver) {
      const { done, value } = await this.#chunks.next()
      if (done) return
      yield value
    }
    if (this.#failure !== null) throw this.#failure
  }

  /** Closes the stream, read to its end or not. */
  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  /** Doubling keeps the copying below a few times the bytes that come, however they are taken. */
  #append(chunk: Buffer): void {
    if (this.#end + chunk.length > this.#buffer.length) {
      const held = this.#end - this.#begin
      const isHalfFree = held + chunk.length <= this.#buffer.length / 2
      const to = isHalfFree ? this.#buffer : Buffer.allocUnsafe(Math.max(MIN_CAPACITY, 2 * (held + chunk.length)))
      this.#buffer.copy(to, 0, this.#begin, this.#end)
      this.#buffer = to
      this.#begin = 0
      this.#end = held
    }
    chunk.copy(this.#buffer, this.#end)
    this.#end += chunk.length
  }
}
