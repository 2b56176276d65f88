import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type ClientHello, findClientHello, NOT_A_HELLO, parseClientHello } from './tls.ts'
import { alpn, bytesOf, helloMessage, records, serverName, supportedVersions } from './tls-fixture.ts'

const message = helloMessage({
  ciphers: [0x0a0a, 0x1301, 0x1302],
  extensions: [
    serverName('Example.com'),
    alpn('h2', '\x1a\x1a', 'http/1.1'),
    supportedVersions(0x0304),
    [0xfe0d, bytesOf(1)],
  ],
})

function find(data: Uint8Array, cut = false): ClientHello | number {
  return findClientHello(data, 0, data.length, cut)
}

test('reads name, protocols, versions and ECH', () => {
  const hello = find(records(message)) as ClientHello
  assert.equal(hello.sni, 'Example.com')
  assert.deepEqual(hello.alpn, ['h2', 'http/1.1'])
  assert.deepEqual(hello.cipherSuites, [0x0a0a, 0x1301, 0x1302])
  assert.deepEqual(hello.extensions, [0, 16, 43, 0xfe0d])
  assert.deepEqual(hello.supportedVersions, [0x0304])
  assert.equal(hello.ech, true)
  assert.equal(hello.complete, true)
})

test('a message cut into records of any size reads the same', () => {
  const whole = find(records(message))
  for (let size = 1; size <= message.length; size++) assert.deepEqual(find(records(message, size)), whole)
})

test('asks for more bytes until the hello is whole, and never for too many', () => {
  for (const size of [1, 3, 50, 1 << 14]) {
    const stream = records(message, size)
    for (let length = 0; length < stream.length; length++) {
      const needed = findClientHello(stream, 0, length, false)
      assert.ok(typeof needed === 'number' && needed > length && needed <= stream.length, `${size} ${length} ${needed}`)
    }
  }
})

test('a second hello stands behind a change cipher spec record', () => {
  const stream = bytesOf(Uint8Array.of(0x14, 3, 3, 0, 1, 1), records(message))
  assert.equal((find(stream) as ClientHello).sni, 'Example.com')
  assert.equal(findClientHello(stream, 0, 4, false), 11)
})

test('what the capture cut short is read as far as it goes', () => {
  const stream = records(message)
  const atAlpn = stream.length - 30
  const hello = findClientHello(stream, 0, atAlpn, true) as ClientHello
  assert.equal(hello.sni, 'Example.com')
  assert.equal(hello.complete, false)
})

test('what is no hello is seen at the first byte that tells', () => {
  for (const bytes of ['GET / HTTP/1.1', '\x17\x03\x03', '\x16\x02', '\x16\x03\x05', '\x16\x03\x01\0\0']) {
    assert.equal(find(Buffer.from(bytes, 'latin1')), NOT_A_HELLO, JSON.stringify(bytes))
  }
  const serverHello = records(message)
  serverHello[5] = 2
  assert.equal(find(serverHello), NOT_A_HELLO)
})

test('names that are not printable text are left out', () => {
  for (const name of ['', 'a b', 'a\x80', 'tab\t', 'x'.repeat(256)]) {
    const odd = helloMessage({ extensions: [serverName(name)] })
    assert.equal(parseClientHello(odd, 0, odd.length)!.sni, null, JSON.stringify(name))
  }
})

test('any change of any byte is read without an exception', () => {
  const stream = records(message)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(stream.length - 1), fc.nat(255)), { maxLength: 5 }),
      fc.boolean(),
      (edits, cut) => {
        const changed = Uint8Array.from(stream)
        for (const [at, value] of edits) changed[at] = value
        const found = find(changed, cut)
        assert.ok(typeof found === 'object' || found === NOT_A_HELLO || found > changed.length)
      },
    ),
    { numRuns: 2000 },
  )
})
