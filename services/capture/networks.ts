import { BlockList } from 'node:net'
import ipaddr from 'ipaddr.js'
import type { MonitoredNetworks } from '#core/host-directory.ts'
import { isV4 } from '#core/ip-text.ts'

/** Networks in CIDR notation (RFC 4632, RFC 4291), such as `10.0.0.0/8`. Throws a TypeError that names what is none. */
export function parseNetworks(texts: readonly string[]): MonitoredNetworks {
  const list = new BlockList()
  const prefixes = texts.map(text => {
    if (!ipaddr.isValidCIDR(text))
      throw new TypeError(`expected a network such as 10.0.0.0/8 or 2001:db8::/32, got '${text}'`)
    const [address, bits] = ipaddr.parseCIDR(text)
    list.addSubnet(address.toString(), bits, address.kind())
    const mapped = address instanceof ipaddr.IPv4 ? address.toIPv4MappedAddress() : address
    return { address: Uint8Array.from(mapped.toByteArray()), bits: address instanceof ipaddr.IPv4 ? bits + 96 : bits }
  })
  return { contains: ip => list.check(ip, isV4(ip) ? 'ipv4' : 'ipv6'), prefixes }
}
