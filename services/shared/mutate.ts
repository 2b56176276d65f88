import { gzipSync } from 'node:zlib'

/** mulberry32: small, seeded, the same on every machine. */
export function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0
  return below => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = Math.imul(state ^ (state >>> 15), state | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff]

/** Changes a few bytes, cuts the file, repeats or drops a part of it. */
export function mutate(original: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = Buffer.from(original)
  for (let change = random(8); change >= 0 && bytes.length > 0; change--) {
    const at = random(bytes.length)
    const length = random(Math.min(64, bytes.length - at) + 1)
    const kind = random(6)
    if (kind === 0) bytes[at]! ^= 1 << random(8)
    else if (kind === 1) bytes[at] = INTERESTING[random(INTERESTING.length)]!
    else if (kind === 2) bytes[at] = random(256)
    else if (kind === 3) bytes.fill(INTERESTING[random(INTERESTING.length)]!, at, at + length)
    else if (kind === 4) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at)])
  }
  if (random(4) === 0) bytes = bytes.subarray(0, random(bytes.length + 1))
  return random(8) === 0 ? corruptGzip(bytes, random) : bytes
}

function corruptGzip(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  const zipped = gzipSync(bytes)
  zipped[random(zipped.length)]! ^= 1 << random(8)
  return zipped
}
