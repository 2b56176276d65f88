import { MAX_FRAME_BYTES } from './frame-columns.ts'

/** The file header of a little-endian pcap with microseconds. */
export function pcapHeader(linkType: number): Uint8Array {
  const bytes = new Uint8Array(24)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0xa1b2c3d4, true)
  view.setUint16(4, 2, true)
  view.setUint16(6, 4, true)
  view.setUint32(16, MAX_FRAME_BYTES, true)
  view.setUint32(20, linkType, true)
  return bytes
}

/** One record; `wireLength` where a snap length cut the frame. */
export function pcapRecord(timeUs: number, frame: Uint8Array, wireLength = frame.length): Uint8Array {
  const bytes = new Uint8Array(16 + frame.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, Math.floor(timeUs / 1_000_000), true)
  view.setUint32(4, timeUs % 1_000_000, true)
  view.setUint32(8, frame.length, true)
  view.setUint32(12, wireLength, true)
  bytes.set(frame, 16)
  return bytes
}
