import { addressText } from '../address.ts'
import { readAddress } from './bytes.ts'
import type { Cursor } from './cursor.ts'
import type { Tunnel } from './packet.ts'

const SLOTS = 4096

/**
 * The outer headers seen lately, so that a tunnelled packet allocates nothing. A slot is simply taken over by the next
 * header that hashes to it: at worst objects are made again.
 */
export class TunnelCache {
  private readonly slots: (Tunnel | null)[] = new Array(SLOTS).fill(null)
  /** Per slot: eight words of addresses and the id. */
  private readonly keys = new Int32Array(SLOTS * 9)
  private readonly words = new Int32Array(9)

  /** The tunnel that the cursor is in. */
  find(c: Cursor): Tunnel {
    const { words, keys } = this
    const at = c.tunnelIpOffset
    const version = c.tunnelIpVersion
    readAddress(c.data, version === 4 ? at + 12 : at + 8, version, words, 0)
    readAddress(c.data, version === 4 ? at + 16 : at + 24, version, words, 4)
    words[8] = c.tunnelId
    let hash = 0
    for (let i = 0; i < 9; i++) hash = Math.imul(hash ^ words[i]!, 0x9e3779b1) ^ (hash >>> 15)
    const slot = (hash ^ (hash >>> 16)) & (SLOTS - 1)
    const found = this.slots[slot]!
    // As a word, no id is the same as the largest one.
    const id = c.tunnelId === -1 ? null : c.tunnelId
    if (found?.kind === c.tunnelKind && found.id === id && sameWords(keys, slot * 9, words)) return found
    keys.set(words, slot * 9)
    const bytes = new Uint8Array(32)
    const view = new DataView(bytes.buffer)
    for (let i = 0; i < 8; i++) view.setInt32(i * 4, words[i]!)
    const tunnel: Tunnel = {
      kind: c.tunnelKind!,
      source: addressText(bytes, 0),
      destination: addressText(bytes, 16),
      id,
    }
    this.slots[slot] = tunnel
    return tunnel
  }
}

function sameWords(keys: Int32Array, at: number, words: Int32Array): boolean {
  for (let i = 0; i < 9; i++) if (keys[at + i] !== words[i]) return false
  return true
}
