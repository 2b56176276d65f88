import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ja4 } from './ja4.ts'
import { parseClientHello } from './tls.ts'
import {
  alpn,
  type HelloParts,
  helloMessage,
  serverName,
  signatureAlgorithms,
  supportedVersions,
} from './tls-fixture.ts'

const none = new Uint8Array(0)

function fingerprint(parts: HelloParts, transport: 't' | 'q' = 't'): string {
  const message = helloMessage(parts)
  return ja4(parseClientHello(message, 0, message.length)!, transport)
}

const browser: Required<HelloParts> = {
  version: 0x0303,
  ciphers: [
    0x5a5a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f,
    0x35,
  ],
  extensions: [
    [0x2a2a, none],
    serverName('example.com'),
    [0x0017, none],
    [0xff01, Uint8Array.of(0)],
    [0x000a, none],
    [0x000b, none],
    [0x0023, none],
    alpn('h2', 'http/1.1'),
    [0x0005, none],
    signatureAlgorithms(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601),
    [0x0012, none],
    [0x0033, none],
    [0x002d, none],
    supportedVersions(0x8a8a, 0x0304, 0x0303),
    [0x001b, none],
    [0x4469, none],
    [0x0015, none],
  ],
}

test('the example of the specification', () => {
  assert.equal(fingerprint(browser), 't13d1516h2_8daaf6152771_e5627efa2ab1')
  assert.equal(fingerprint(browser, 'q'), 'q13d1516h2_8daaf6152771_e5627efa2ab1')
})

test('the order of ciphers and extensions does not matter, that of signature algorithms does', () => {
  const { ciphers, extensions } = browser
  const turned = { ciphers: ciphers.toReversed(), extensions: extensions.toReversed() }
  assert.equal(fingerprint(turned), fingerprint(browser))
  const swapped = extensions.map(e => (e[0] === 13 ? signatureAlgorithms(0x0804, 0x0403) : e))
  assert.notEqual(fingerprint({ ciphers, extensions: swapped }), fingerprint(browser))
})

test('a hello without extensions, without a name, of old versions', () => {
  assert.equal(fingerprint({ version: 0x0301 }), 't10i010000_0f2cb44170f4_000000000000')
  assert.equal(fingerprint({ version: 0x0300 }).slice(0, 10), 'ts3i010000')
  assert.equal(fingerprint({ version: 0x0399 }).slice(0, 10), 't00i010000')
})

test('ends of the first protocol: letters and digits as they are, others in hexadecimal', () => {
  const ends = (protocol: string) => fingerprint({ extensions: [alpn(protocol)] }).slice(8, 10)
  assert.equal(ends('http/1.1'), 'h1')
  assert.equal(ends('x'), 'xx')
  assert.equal(ends('\xab'), 'ab')
  assert.equal(ends('\xab\xcd'), 'ad')
  assert.equal(ends('0\xab'), '3b')
  assert.equal(ends('01\xab\xcd'), '3d')
})

test('more than 99 ciphers count as 99', () => {
  assert.equal(fingerprint({ ciphers: Array.from({ length: 120 }, (_, i) => i + 1) }).slice(4, 6), '99')
})
