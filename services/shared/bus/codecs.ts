import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'

/** A record batch is at most 1 MB on the wire; a hostile one must not take all memory. */
const limit = { maxOutputLength: 1 << 28 }
const params = { [constants.ZSTD_c_compressionLevel]: 3 }

/**
 * Makes kafkajs write and read zstd; it brings gzip itself. Safe to call again. Not in the thread pool: the way there and
 * back costs two to four times the work itself, and most batches are small (`services/e2e/bench/README.md`).
 */
export function registerCodecs(): void {
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
    compress: async ({ buffer }: { buffer: Buffer }) =>
      zstdCompressSync(buffer, { params, pledgedSrcSize: buffer.length }),
    decompress: async (buffer: Buffer) => zstdDecompressSync(buffer, limit),
  })
}
