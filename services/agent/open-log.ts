import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'

/** Longest line that is read, bytes: the keyframe of more than 50,000 sockets. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024

/** Whether bytes begin as gzip does (RFC 1952). */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/** The file's bytes, gunzipped when they begin as gzip does, whatever the file's name; text in UTF-8, without a byte order mark. */
export async function openLog(file: string): Promise<AsyncIterable<Buffer>> {
  const handle = await open(file)
  try {
    const magic = Buffer.alloc(2)
    await handle.read(magic, 0, 2, 0)
    if (!isGzip(magic)) return inUtf8(handle.createReadStream({ start: 0 }))
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  const gunzip = createGunzip()
  return inUtf8(
    createReadStream(file)
      .on('error', error => gunzip.destroy(error))
      .pipe(gunzip),
  )
}

/** By their byte order marks: as Windows PowerShell writes what `>` redirects, and some editors their UTF-8. */
const MARKS = {
  'utf-16le': Buffer.from([0xff, 0xfe]),
  'utf-16be': Buffer.from([0xfe, 0xff]),
  'utf-8': Buffer.from('\ufeff'),
}

async function* inUtf8(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let decoder: InstanceType<typeof TextDecoder> | null | undefined
  for await (const chunk of bytes) {
    if (decoder === undefined) {
      const encoding = Object.entries(MARKS).find(([, mark]) => chunk.subarray(0, mark.length).equals(mark))?.[0]
      decoder = encoding === undefined ? null : new TextDecoder(encoding)
    }
    yield decoder === null ? chunk : Buffer.from(decoder.decode(chunk, { stream: true }))
  }
}
