import { promisify } from 'node:util'
import { constants, zstdCompress, zstdDecompress } from 'node:zlib'
import kafkajs from 'kafkajs'

const compress = promisify(zstdCompress)
const decompress = promisify(zstdDecompress)
/** A record batch is at most 1 MB on the wire; a hostile one must not take all memory. */
const maxDecompressedBytes = 1 << 28
const level = { params: { [constants.ZSTD_c_compressionLevel]: 3 } }

/** Makes kafkajs write and read zstd, in the thread pool; it brings gzip itself. Safe to call again. */
export function registerCodecs(): void {
  kafkajs.CompressionCodecs[kafkajs.CompressionTypes.ZSTD] = () => ({
    compress: ({ buffer }: { buffer: Buffer }) => compress(buffer, level),
    decompress: (buffer: Buffer) => decompress(buffer, { maxOutputLength: maxDecompressedBytes }),
  })
}
