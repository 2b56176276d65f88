/** A v4-mapped IPv6 address as IPv4; any other text as it is. */
export function plainAddress(ip: string): string {
  return ip.startsWith('::ffff:') && ip.includes('.') ? ip.slice(7) : ip
}

export function isV4(ip: string): boolean {
  return !ip.includes(':')
}
