import { hash } from 'node:crypto'
import { type ClientHello, isGrease } from './tls.ts'

const VERSIONS: Readonly<Record<number, string>> = Object.freeze({
  772: '13',
  771: '12',
  770: '11',
  769: '10',
  768: 's3',
  2: 's2',
})

/**
 * The JA4 fingerprint of a ClientHello, by its published specification: `t13d1516h2_8daaf6152771_b186095e22b6`.
 * `transport`: 't' for TLS over TCP, 'q' for QUIC.
 */
export function ja4(hello: ClientHello, transport: 't' | 'q'): string {
  const ciphers = hello.cipherSuites.filter(isNotGrease)
  const extensions = hello.extensions.filter(isNotGrease)
  const overview =
    transport +
    version(hello) +
    (hello.extensions.includes(0) ? 'd' : 'i') +
    twoDigits(ciphers.length) +
    twoDigits(extensions.length) +
    alpnEnds(hello.alpn[0] ?? '')
  const listed = extensions.filter(type => type !== 0 && type !== 16)
  const signatures = hello.signatureAlgorithms.filter(isNotGrease).map(hex4).join(',')
  const sortedExtensions = sortedHex(listed) + (signatures === '' ? '' : `_${signatures}`)
  return `${overview}_${shortHash(sortedHex(ciphers))}_${shortHash(extensions.length === 0 ? '' : sortedExtensions)}`
}

function isNotGrease(value: number): boolean {
  return !isGrease(value)
}

function version(hello: ClientHello): string {
  const offered = hello.supportedVersions.filter(isNotGrease)
  return VERSIONS[offered.length > 0 ? Math.max(...offered) : hello.legacyVersion] ?? '00'
}

function twoDigits(count: number): string {
  return String(Math.min(count, 99)).padStart(2, '0')
}

/** First and last character of the first protocol; of its hexadecimal form where either is not a letter or a digit. */
function alpnEnds(protocol: string): string {
  if (protocol === '') return '00'
  const ends = protocol[0]! + protocol.at(-1)!
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends
  const hex = Buffer.from(protocol, 'latin1').toString('hex')
  return hex[0]! + hex.at(-1)!
}

function hex4(value: number): string {
  return value.toString(16).padStart(4, '0')
}

function sortedHex(values: readonly number[]): string {
  return values.map(hex4).sort().join(',')
}

function shortHash(text: string): string {
  return text === '' ? '000000000000' : hash('sha256', text, 'hex').slice(0, 12)
}
