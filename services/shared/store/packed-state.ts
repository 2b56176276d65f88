import { deserialize, serialize } from 'node:v8'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { ProclabelError } from '../errors.ts'

/** Goes up when the shape of what is packed changes. */
const format = 8
const params = { [constants.ZSTD_c_compressionLevel]: 1 }

/**
 * Plain data as bytes for the store: V8's structured clone format (node:v8), in which what two parts share is written once
 * and shared again, compressed by Zstandard (RFC 8878) behind one byte that names the format.
 */
export function pack(data: unknown): Buffer {
  const bytes = serialize(data)
  return Buffer.concat([Buffer.of(format), zstdCompressSync(bytes, { params, pledgedSrcSize: bytes.length })])
}

/** Throws PROCLABEL_STATE for bytes of another format. */
export function unpack(bytes: Uint8Array): unknown {
  if (bytes[0] !== format) {
    throw new ProclabelError(
      'PROCLABEL_STATE',
      `the stored state has format ${bytes[0] ?? 'none'}, this version reads ${format}; empty the store and reset the group`,
    )
  }
  return deserialize(zstdDecompressSync(bytes.subarray(1)))
}
