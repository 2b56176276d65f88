import { createHash } from 'node:crypto'
import { isV4Mapped } from './address.ts'

const portProtocols = new Set([1, 6, 17, 58, 132])

/** ICMP and ICMPv6 types that come as request and reply; the others have no counterpart and keep their direction. */
const twoWayTypes: Record<number, ReadonlySet<number>> = {
  1: new Set([0, 8, 9, 10, 13, 14, 15, 16, 17, 18]),
  58: new Set([128, 129, 130, 131, 133, 134, 135, 136, 139, 140, 144, 145]),
}

/**
 * Community ID flow hash, version 1, seed 0 (github.com/corelight/community-id-spec): both directions give the same text.
 * `addresses` holds the sender's and the receiver's 16 bytes; ports as in the packet columns, the sender's first.
 */
export function communityId(addresses: Uint8Array, protocol: number, senderPort: number, receiverPort: number): string {
  const [from, size] = isV4Mapped(addresses, 0) && isV4Mapped(addresses, 16) ? [12, 4] : [0, 16]
  const sender = Buffer.from(addresses.subarray(from, from + size))
  const receiver = Buffer.from(addresses.subarray(16 + from, 16 + from + size))
  const oneWay = protocol in twoWayTypes && !twoWayTypes[protocol]!.has(senderPort)
  const swap = !oneWay && (sender.compare(receiver) || senderPort - receiverPort) > 0
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(swap ? receiverPort : senderPort, 0)
  ports.writeUInt16BE(swap ? senderPort : receiverPort, 2)
  const hash = createHash('sha1')
    .update(Buffer.alloc(2))
    .update(swap ? receiver : sender)
    .update(swap ? sender : receiver)
    .update(Buffer.from([protocol, 0]))
  if (portProtocols.has(protocol)) hash.update(ports)
  return `1:${hash.digest('base64')}`
}
