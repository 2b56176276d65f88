const arrayMark = 0xdd
const stringMark = 0xdb
/** A mark and a length, u32 big endian. */
const headBytes = 5

/** Texts (as UTF-8) and bytes as one MessagePack array of raw strings. */
export function packStrings(strings: readonly (string | Uint8Array)[]): Buffer {
  let bytes = headBytes
  for (const item of strings) bytes += headBytes + (typeof item === 'string' ? item.length * 3 : item.length)
  const packed = Buffer.allocUnsafe(bytes)
  let offset = writeHead(packed, 0, arrayMark, strings.length)
  for (const item of strings) {
    const start = offset + headBytes
    if (typeof item !== 'string') packed.set(item, start)
    const length = typeof item === 'string' ? packed.write(item, start) : item.length
    writeHead(packed, offset, stringMark, length)
    offset = start + length
  }
  return packed.subarray(0, offset)
}

function writeHead(packed: Buffer, offset: number, mark: number, length: number): number {
  packed[offset] = mark
  return packed.writeUInt32BE(length, offset + 1)
}
