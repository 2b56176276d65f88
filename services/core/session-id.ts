import { hash } from 'node:crypto'
import { flatText } from './shared-text.ts'

const endBytes = 18
/** Reused: an id is made for every session, and the text in front is short. */
const scratch = Buffer.alloc(1024)

/**
 * Identity of a session: derived from host, 5-tuple without direction, and the time of the first packet observed, so that
 * reprocessing makes the same id. `addresses` holds the two ends' 16 bytes each, in either order, as the ports.
 */
export function sessionId(
  hostId: string,
  protocol: number,
  firstSeenUs: number,
  addresses: Uint8Array,
  portA: number,
  portB: number,
): string {
  const head = `${hostId}\0${protocol}\0${firstSeenUs}\0`
  const bytes =
    head.length * 3 + 2 * endBytes <= scratch.length ? scratch : Buffer.alloc(head.length * 3 + 2 * endBytes)
  const at = bytes.write(head)
  const aFirst = (compareAddresses(addresses) || portA - portB) <= 0
  writeEnd(bytes, at, addresses, aFirst ? 0 : 16, aFirst ? portA : portB)
  writeEnd(bytes, at + endBytes, addresses, aFirst ? 16 : 0, aFirst ? portB : portA)
  return flatText(hash('sha256', bytes.subarray(0, at + 2 * endBytes)).slice(0, 32))
}

/** Order of the two addresses in the 32 bytes. */
function compareAddresses(addresses: Uint8Array): number {
  for (let i = 0; i < 16; i++) if (addresses[i] !== addresses[16 + i]) return addresses[i]! - addresses[16 + i]!
  return 0
}

function writeEnd(bytes: Buffer, at: number, addresses: Uint8Array, from: number, port: number): void {
  for (let i = 0; i < 16; i++) bytes[at + i] = addresses[from + i]!
  bytes.writeUInt16BE(port, at + 16)
}
