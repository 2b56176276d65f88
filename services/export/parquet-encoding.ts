const high = 2 ** 32

/** Bytes one behind the other, little-endian. */
export class Bytes {
  #buffer = Buffer.allocUnsafe(256)
  #length = 0

  taken(): Buffer {
    return this.#buffer.subarray(0, this.#length)
  }

  byte(value: number): void {
    const at = this.#reserve(1)
    this.#buffer[at] = value
  }

  int32(value: number): void {
    const at = this.#reserve(4)
    this.#buffer.writeInt32LE(value, at)
  }

  /** Up to 2^53 on both sides of 0. */
  int64(value: number | bigint): void {
    const number = Number(value)
    const upper = Math.floor(number / high)
    const at = this.#reserve(8)
    this.#buffer.writeUInt32LE(number - upper * high, at)
    this.#buffer.writeInt32LE(upper, at + 4)
  }

  double(value: number): void {
    const at = this.#reserve(8)
    this.#buffer.writeDoubleLE(value, at)
  }

  /** Its length in 32 bits, and its UTF-8. */
  text(value: string): void {
    const at = this.#reserve(4 + value.length * 3)
    const length = this.#buffer.write(value, at + 4)
    this.#buffer.writeInt32LE(length, at)
    this.#length = at + 4 + length
  }

  byteArray(value: Uint8Array): void {
    const at = this.#reserve(4 + value.length)
    this.#buffer.writeInt32LE(value.length, at)
    this.#buffer.set(value, at + 4)
  }

  /** LEB128, unsigned. */
  varint(value: number): void {
    for (; value >= 128; value = Math.floor(value / 128)) this.byte((value % 128) | 128)
    this.byte(value)
  }

  #reserve(bytes: number): number {
    const at = this.#length
    this.#length += bytes
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(2 * this.#length)
      this.#buffer.copy(larger, 0, 0, at)
      this.#buffer = larger
    }
    return at
  }
}

/** Bits one behind the other, the lowest of a byte first. */
export class Bits {
  #bits = new Uint8Array(64)
  count = 0
  ones = 0

  push(bit: boolean): void {
    if (this.count === this.#bits.length) {
      const larger = new Uint8Array(4 * this.count)
      larger.set(this.#bits)
      this.#bits = larger
    }
    if (bit) {
      this.#bits[this.count] = 1
      this.ones++
    }
    this.count++
  }

  bytes(): Buffer {
    const bytes = Buffer.alloc(Math.ceil(this.count / 8))
    for (let i = 0; i < this.count; i++) bytes[i >> 3]! |= this.#bits[i]! << (i & 7)
    return bytes
  }
}

/** One run of the hybrid of run lengths and packed bits. */
export const hybrid = {
  /** Levels of 0 and 1. */
  bits(bits: Bits): Buffer {
    const { count, ones } = bits
    const run = new Bytes()
    if (ones === 0 || ones === count) {
      run.varint(count * 2)
      run.byte(ones === 0 ? 0 : 1)
      return run.taken()
    }
    run.varint(Math.ceil(count / 8) * 2 + 1)
    return Buffer.concat([run.taken(), bits.bytes()])
  },

  /** Places in a dictionary of so many entries, behind the number of bits that each takes. */
  indexes(indexes: readonly number[], entries: number): Buffer {
    const width = Math.max(1, 32 - Math.clz32(entries - 1))
    const run = new Bytes()
    run.byte(width)
    const groups = Math.ceil(indexes.length / 8)
    run.varint(groups * 2 + 1)
    let waiting = 0
    let bits = 0
    for (let i = 0; i < groups * 8; i++) {
      waiting |= (indexes[i] ?? 0) << bits
      bits += width
      for (; bits >= 8; bits -= 8, waiting >>>= 8) run.byte(waiting & 255)
    }
    return run.taken()
  },
}
