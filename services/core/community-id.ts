import { hash } from 'node:crypto'
import { isV4Mapped } from './address.ts'

const portProtocols = new Set([1, 6, 17, 58, 132])

/** ICMP and ICMPv6 types that come as request and reply; the others have no counterpart and keep their direction. */
const twoWayTypes: Record<number, ReadonlySet<number>> = {
  1: new Set([0, 8, 9, 10, 13, 14, 15, 16, 17, 18]),
  58: new Set([128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145]),
}

/** Seed, two addresses, protocol, padding, ports; reused, since an id is made for every session. */
const scratch = Buffer.alloc(2 + 32 + 2 + 4)

/**
 * Community ID flow hash, version 1, seed 0 (github.com/corelight/community-id-spec): both directions give the same text.
 * `addresses` holds the two ends' 16 bytes each, `sender` says where the sender's are (0 or 16); ports as in the packet columns.
 */
export function communityId(
  addresses: Uint8Array,
  sender: 0 | 16,
  protocol: number,
  senderPort: number,
  receiverPort: number,
): string {
  const receiver = 16 - sender
  const skip = isV4Mapped(addresses, 0) && isV4Mapped(addresses, 16) ? 12 : 0
  const oneWay = protocol in twoWayTypes && !twoWayTypes[protocol]!.has(senderPort)
  let order = 0
  for (let i = skip; i < 16 && order === 0; i++) order = addresses[sender + i]! - addresses[receiver + i]!
  const swap = !oneWay && (order || senderPort - receiverPort) > 0
  let at = 2
  for (let i = skip; i < 16; i++) scratch[at++] = addresses[(swap ? receiver : sender) + i]!
  for (let i = skip; i < 16; i++) scratch[at++] = addresses[(swap ? sender : receiver) + i]!
  scratch[at++] = protocol
  scratch[at++] = 0
  if (portProtocols.has(protocol)) {
    scratch.writeUInt16BE(swap ? receiverPort : senderPort, at)
    scratch.writeUInt16BE(swap ? senderPort : receiverPort, at + 2)
    at += 4
  }
  return `1:${hash('sha1', scratch.subarray(0, at), 'base64')}`
}
