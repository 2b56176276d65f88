import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'

/** Longest line that is read, bytes: the keyframe of more than 50,000 sockets. */
export const MAX_LINE_BYTES = 32 * 1024 * 1024

/** Whether bytes begin as gzip does (RFC 1952). */
export const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b

/** The file's bytes, gunzipped when they begin as gzip does, whatever the file's name. */
export async function openLog(file: string): Promise<AsyncIterable<Buffer>> {
  const handle = await open(file)
  try {
    const magic = Buffer.alloc(2)
    await handle.read(magic, 0, 2, 0)
    if (!isGzip(magic)) return handle.createReadStream({ start: 0 })
  } catch (error) {
    await handle.close()
    throw error
  }
  await handle.close()
  const gunzip = createGunzip()
  return createReadStream(file)
    .on('error', error => gunzip.destroy(error))
    .pipe(gunzip)
}
