import { sharedText } from './shared-text.ts'

/** The address as packets carry it: a v4-mapped one as IPv4, a link-local one without its zone. */
export function plainAddress(ip: string): string {
  return sharedText(plain(ip))
}

/** Whether a plain address is this one. */
export function isAddress(known: string, ip: string): boolean {
  return known === ip || known === plain(ip)
}

function plain(ip: string): string {
  if (ip.startsWith('::ffff:') && ip.includes('.')) return ip.slice(7)
  const zone = ip.indexOf('%')
  return zone < 0 ? ip : ip.slice(0, zone)
}

export function isV4(ip: string): boolean {
  return !ip.includes(':')
}

/** Any of the host's addresses. */
export function isWildcard(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::'
}
