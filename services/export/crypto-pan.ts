import { createCipheriv } from 'node:crypto'
import ipaddr from 'ipaddr.js'

/** Answers kept; more are computed again. */
const mostRemembered = 100_000

/**
 * Prefix-preserving pseudonyms of addresses: two addresses share as many leading bits as their pseudonyms do. Crypto-PAn, by
 * J. Xu, J. Fan, M. Ammar and S. Moon, "Prefix-Preserving IP Address Anonymization", ICNP 2002, with AES-128; IPv6 as
 * all 128 bits alike.
 */
export class CryptoPan {
  readonly #cipher
  readonly #pad: Buffer
  readonly #known = new Map<string, string>()

  /** `key`: 32 bytes, of which the first 16 are the cipher's and the others make the pad. */
  constructor(key: Uint8Array) {
    if (key.length !== 32) throw new RangeError(`expected a key of 32 bytes, got ${key.length}`)
    this.#cipher = createCipheriv('aes-128-ecb', key.subarray(0, 16), null).setAutoPadding(false)
    this.#pad = this.#cipher.update(key.subarray(16))
  }

  /** Canonical text of the pseudonym of an address in canonical text. */
  pseudonym(ip: string): string {
    const known = this.#known.get(ip)
    if (known !== undefined) return known
    const bits = ipaddr.parse(ip).toByteArray()
    const pseudonym = ipaddr.fromByteArray(this.#encrypt(bits)).toString()
    if (this.#known.size === mostRemembered) this.#known.clear()
    this.#known.set(ip, pseudonym)
    return pseudonym
  }

  /** Bit i is flipped by the first bit of the cipher of the i bits before it, the pad behind them. */
  #encrypt(address: readonly number[]): number[] {
    const bits = address.length * 8
    const blocks = Buffer.alloc(bits * 16)
    for (let i = 0; i < bits; i++) {
      const block = blocks.subarray(i * 16, i * 16 + 16)
      block.set(this.#pad)
      const whole = i >> 3
      for (let byte = 0; byte < whole; byte++) block[byte] = address[byte]!
      const mask = (0xff00 >> (i & 7)) & 0xff
      if (mask !== 0) block[whole] = (address[whole]! & mask) | (block[whole]! & ~mask)
    }
    const flips = this.#cipher.update(blocks)
    return address.map((byte, at) => {
      let flipped = byte
      for (let bit = 0; bit < 8; bit++) flipped ^= (flips[(at * 8 + bit) * 16]! & 0x80) >> bit
      return flipped
    })
  }
}
