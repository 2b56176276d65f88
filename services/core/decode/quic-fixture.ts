import { createCipheriv } from 'node:crypto'
import { clientInitialKeys } from './quic.ts'
import { bytesOf, u16 } from './tls-fixture.ts'

export const V1 = 0x00000001
export const V2 = 0x6b3343cf

export interface InitialParts {
  version?: number
  /** The version whose keys seal it, where it is another. */
  sealedAs?: number
  /** Destination connection id of the header, and the one that the keys come from. */
  connectionId: Uint8Array
  keysFrom?: Uint8Array
  token?: Uint8Array
  packetNumber?: number
  payload: Uint8Array
}

/** A protected client Initial packet with a 4-byte packet number, padded to 1200 bytes as clients must. */
export function sealInitial(parts: InitialParts): Uint8Array {
  const { version = V1, sealedAs = version, connectionId, keysFrom = connectionId } = parts
  const { token = new Uint8Array(0), packetNumber = 0 } = parts
  const beforeLength = bytesOf(
    version === V2 ? 0xd3 : 0xc3,
    u16(version >>> 16),
    u16(version & 0xffff),
    connectionId.length,
    connectionId,
    0,
    token.length,
    token,
  )
  const overhead = beforeLength.length + 2 + 4 + 16
  const payload = bytesOf(parts.payload, new Uint8Array(Math.max(0, 1200 - overhead - parts.payload.length)))
  const number = bytesOf(u16(packetNumber >>> 16), u16(packetNumber & 0xffff))
  const header = bytesOf(beforeLength, u16(0x4000 | (4 + payload.length + 16)), number)

  const { key, iv, hp } = clientInitialKeys(sealedAs, keysFrom)[0]!
  const nonce = Buffer.from(iv)
  for (let i = 0; i < 4; i++) nonce[8 + i]! ^= number[i]!
  const cipher = createCipheriv('aes-128-gcm', key, nonce)
  cipher.setAAD(header)
  const packet = bytesOf(header, cipher.update(payload), cipher.final(), cipher.getAuthTag())

  const numberAt = header.length - 4
  const mask = createCipheriv('aes-128-ecb', hp, null).update(packet.subarray(numberAt + 4, numberAt + 20))
  packet[0]! ^= mask[0]! & 0x0f
  for (let i = 0; i < 4; i++) packet[numberAt + i]! ^= mask[1 + i]!
  return packet
}

/** A CRYPTO frame that holds `message[from, to)`. */
export function cryptoFrame(message: Uint8Array, from = 0, to = message.length): Uint8Array {
  return bytesOf(0x06, u16(0x4000 | from), u16(0x4000 | (to - from)), message.subarray(from, to))
}
