import { createCipheriv, createDecipheriv, createSecretKey, hash, type KeyObject } from 'node:crypto'

/** A QUIC version whose Initial packets we can open: its salts, HKDF label prefix and number of the Initial type. */
interface Version {
  /** Several where the number does not tell which. */
  salts: readonly Buffer[]
  label: string
  initialType: number
  /** The type of a CRYPTO frame (RFC 9000 section 19.6). */
  cryptoType: number
}

const V1_SALT = '38762cf7f55934b34d179ae6a4c80cadccbb7f0a'
const V2_SALT = '0dede3def700a6db819381be6e269dcbf9bd2ed9'
const V2_DRAFT_SALT = 'a707c203a59b47184a1d62ca570406ea7ae3e5d3'
const DRAFT_29_SALT = 'afbfec289993d24c9e9786f19c6111e04390a899'
const DRAFT_23_SALT = 'c3eef712c72ebb5a11a7d2432bb46365bef9f502'
const DRAFT_22_SALT = '7fbcdb0e7c66bbe9193a96cd21519ebd7a02644a'
/** Google's versions with TLS, in its own frames; Chromium sent them in 2020. */
const T050_SALT = '7ff579e5acd072915580304c43a2367c60488310'
const T051_SALT = '7a4edef4e7ccee5fa4506c19124fc8ccda6e033d'

/** Versions by number: RFC 9001 section 5.2, RFC 9369 section 3.3, the drafts of both, Facebook's mvfst, Google's T050 and T051. */
const VERSIONS = new Map<number, Version>([
  [0x00000001, version(V1_SALT)],
  [0x6b3343cf, { ...version(V2_SALT), label: 'quicv2', initialType: 1 }],
  [0xff020000, { ...version(V2_DRAFT_SALT), label: 'quicv2' }],
  [0xff000016, version(DRAFT_22_SALT)],
  [0xff000021, version(V1_SALT)],
  [0xff000022, version(V1_SALT)],
  [0xfaceb001, version(DRAFT_22_SALT)],
  [0xfaceb002, version(DRAFT_23_SALT)],
  [0xfaceb00e, version(DRAFT_23_SALT)],
  [0x54303530, { ...version(T050_SALT), cryptoType: 0x08 }],
  [0x54303531, { ...version(T051_SALT), cryptoType: 0x08 }],
])
for (let draft = 23; draft <= 28; draft++) VERSIONS.set(0xff000000 + draft, version(DRAFT_23_SALT))
for (let draft = 29; draft <= 32; draft++) VERSIONS.set(0xff000000 + draft, version(DRAFT_29_SALT))
/** Numbers 0x?a?a?a?a ask a server which versions it has (RFC 9000 section 15); clients seal such packets as their own version's. */
const RESERVED = version(V1_SALT, DRAFT_29_SALT)

function version(...salts: string[]): Version {
  return { salts: salts.map(salt => Buffer.from(salt, 'hex')), label: 'quic', initialType: 0, cryptoType: 0x06 }
}

const versionOf = (number: number): Version | undefined =>
  (number & 0x0f0f0f0f) === 0x0a0a0a0a ? RESERVED : VERSIONS.get(number)

/**
 * Keys of one sender's Initial packets, and the largest packet number opened with them. KeyObjects, since Node takes ten
 * times as long to set a cipher up from plain bytes.
 */
export interface InitialKeys {
  key: KeyObject
  iv: Buffer
  hp: KeyObject
  largestPacketNumber: number
}

/** Where the parts of a long-header packet are in its datagram (RFC 9000 section 17.2). */
export interface LongHeader {
  version: number
  isInitial: boolean
  start: number
  /** Destination connection id. */
  dcidStart: number
  dcidEnd: number
  packetNumberOffset: number
  /** End of the packet; another one may follow in the datagram. */
  end: number
}

/** Cheap first look: a long header of a version whose Initial packets we can open. */
export function mayBeQuic(data: Uint8Array, from: number, to: number): boolean {
  return to - from >= 7 && data[from]! >= 0x80 && versionOf(read32(data, from + 1)) !== undefined
}

/**
 * Reads the long header at `from`. Null for a version we do not know, for Retry packets (which have no number, and end
 * their datagram), and where lengths run past `to`.
 */
export function readLongHeader(data: Uint8Array, from: number, to: number): LongHeader | null {
  if (!mayBeQuic(data, from, to)) return null
  const number = read32(data, from + 1)
  const type = (data[from]! >> 4) & 3
  const { initialType } = versionOf(number)!
  if (type === (initialType + 3) % 4) return null
  const isInitial = type === initialType
  const dcidStart = from + 6
  const dcidEnd = dcidStart + data[from + 5]!
  if (dcidEnd - dcidStart > 20 || dcidEnd >= to || data[dcidEnd]! > 20) return null
  let at = dcidEnd + 1 + data[dcidEnd]!
  if (isInitial) {
    const token = readVarint(data, at, to)
    if (token < 0) return null
    at += varintLength(data[at]!) + token
  }
  const length = readVarint(data, at, to)
  if (length < 0) return null
  at += varintLength(data[at]!)
  if (length < 20 || at + length > to) return null
  return { version: number, isInitial, start: from, dcidStart, dcidEnd, packetNumberOffset: at, end: at + length }
}

/**
 * Keys of the client's Initial packets, from the first destination connection id that it chose (RFC 9001 section 5.2); several
 * where the version does not tell which.
 */
export function clientInitialKeys(version: number, connectionId: Uint8Array): InitialKeys[] {
  const { salts, label } = versionOf(version)!
  return salts.map(salt => keysFrom(hmac(salt, connectionId), label))
}

function keysFrom(initial: Buffer, label: string): InitialKeys {
  const client = expandLabel(initial, 'client in', 32)
  return {
    key: createSecretKey(expandLabel(client, `${label} key`, 16)),
    iv: expandLabel(client, `${label} iv`, 12),
    hp: createSecretKey(expandLabel(client, `${label} hp`, 16)),
    largestPacketNumber: -1,
  }
}

/** HKDF-Expand-Label of RFC 8446 section 7.1 with an empty context; at most 32 bytes, so one HMAC block is enough. */
function expandLabel(secret: Buffer, label: string, length: number): Buffer {
  const name = `tls13 ${label}`
  const info = Buffer.from(`\0${String.fromCharCode(length, name.length)}${name}\0\x01`, 'latin1')
  return hmac(secret, info).subarray(0, length)
}

/**
 * HMAC-SHA-256 (RFC 2104) for keys of at most 64 bytes. Five of them open a packet, and Node's createHmac takes several
 * times as long as its one-shot hash.
 */
function hmac(key: Uint8Array, data: Uint8Array): Buffer {
  const inner = Buffer.alloc(64 + data.length, 0x36)
  const outer = Buffer.alloc(64 + 32, 0x5c)
  for (let i = 0; i < key.length; i++) {
    inner[i]! ^= key[i]!
    outer[i]! ^= key[i]!
  }
  inner.set(data, 64)
  outer.set(hash('sha256', inner, 'buffer'), 64)
  return hash('sha256', outer, 'buffer')
}

/** Removes header and packet protection of an Initial packet (RFC 9001 section 5); null where the keys do not open it. */
export function openInitial(data: Uint8Array, header: LongHeader, keys: InitialKeys): Buffer | null {
  const offset = header.packetNumberOffset
  const mask = createCipheriv('aes-128-ecb', keys.hp, null).update(data.subarray(offset + 4, offset + 20))
  const firstByte = data[header.start]! ^ (mask[0]! & 0x0f)
  const numberLength = (firstByte & 3) + 1
  const additional = Buffer.from(data.subarray(header.start, offset + numberLength))
  additional[0] = firstByte
  let truncated = 0
  for (let i = 0; i < numberLength; i++) {
    const byte = data[offset + i]! ^ mask[1 + i]!
    additional[additional.length - numberLength + i] = byte
    truncated = truncated * 256 + byte
  }
  const number = fullPacketNumber(truncated, 256 ** numberLength, keys.largestPacketNumber)
  const nonce = Buffer.from(keys.iv)
  for (let i = 0, rest = number; i < 8; i++, rest = Math.floor(rest / 256)) nonce[11 - i]! ^= rest % 256
  const decipher = createDecipheriv('aes-128-gcm', keys.key, nonce)
  decipher.setAAD(additional)
  decipher.setAuthTag(data.subarray(header.end - 16, header.end))
  const payload = decipher.update(data.subarray(offset + numberLength, header.end - 16))
  try {
    decipher.final()
  } catch {
    return null
  }
  keys.largestPacketNumber = Math.max(keys.largestPacketNumber, number)
  return payload
}

/** RFC 9000 appendix A.3: the number nearest to the next expected one that ends in the bytes sent. */
function fullPacketNumber(truncated: number, window: number, largest: number): number {
  const expected = largest + 1
  const candidate = expected - (expected % window) + truncated
  if (candidate <= expected - window / 2) return candidate + window
  if (candidate > expected + window / 2 && candidate >= window) return candidate - window
  return candidate
}

/**
 * Calls `crypto` with offset, start and end of each CRYPTO frame of an opened Initial packet (RFC 9000 section 19.6).
 * Only the frame types that Initial packets may hold are known; anything else ends the walk.
 */
export function forEachCryptoFrame(
  version: number,
  payload: Uint8Array,
  crypto: (offset: number, from: number, to: number) => void,
): void {
  const { cryptoType } = versionOf(version)!
  let at = 0
  const end = payload.length
  const varint = () => {
    const value = readVarint(payload, at, end)
    at = value < 0 ? end : at + varintLength(payload[at]!)
    return value
  }
  while (at < end) {
    const type = payload[at++]!
    if (type === 0x02 || type === 0x03) {
      varint()
      varint()
      for (let ranges = 2 * varint() + 1; ranges > 0 && at < end; ranges--) varint()
      for (let counts = type === 0x03 ? 3 : 0; counts > 0; counts--) varint()
    } else if (type === cryptoType) {
      const offset = varint()
      const length = varint()
      if (offset < 0 || length < 0 || at + length > end) return
      crypto(offset, at, at + length)
      at += length
    } else if (type > 0x01) return
  }
}

/** RFC 9000 section 16; -1 where the bytes end first. Values beyond 2^53 lose precision, and fail every length check. */
function readVarint(data: Uint8Array, at: number, to: number): number {
  if (at >= to) return -1
  const length = varintLength(data[at]!)
  if (at + length > to) return -1
  let value = data[at]! & 0x3f
  for (let i = 1; i < length; i++) value = value * 256 + data[at + i]!
  return value
}

function varintLength(firstByte: number): number {
  return 1 << (firstByte >> 6)
}

function read32(data: Uint8Array, at: number): number {
  return ((data[at]! << 24) | (data[at + 1]! << 16) | (data[at + 2]! << 8) | data[at + 3]!) >>> 0
}
