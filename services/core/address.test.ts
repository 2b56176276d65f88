import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressText, isV4Mapped } from './address.ts'

const fromHex = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')

// The examples of RFC 5952, sections 1 and 4, and what has no run to shorten.
for (const [hex, text] of [
  ['2001 0db8 0000 0000 0001 0000 0000 0001', '2001:db8::1:0:0:1'],
  ['2001 0db8 0000 0000 0000 0000 0002 0001', '2001:db8::2:1'],
  ['2001 0db8 0000 0001 0001 0001 0001 0001', '2001:db8:0:1:1:1:1:1'],
  ['2001 0000 0000 0001 0000 0000 0000 0001', '2001:0:0:1::1'],
  ['2001 0db8 aaaa bbbb cccc dddd eeee aaaa', '2001:db8:aaaa:bbbb:cccc:dddd:eeee:aaaa'],
  ['0000 0000 0000 0000 0000 0000 0000 0000', '::'],
  ['0000 0000 0000 0000 0000 0000 0000 0001', '::1'],
  ['fe80 0000 0000 0000 0000 0000 0000 0000', 'fe80::'],
  ['0000 0000 0000 0000 0000 ffff c000 0207', '192.0.2.7'],
  ['0000 0000 0000 0000 0000 ffff 0000 0000', '0.0.0.0'],
  ['0000 0000 0000 0000 0000 fffe c000 0207', '::fffe:c000:207'],
  ['0000 0000 0000 0000 0001 ffff c000 0207', '::1:ffff:c000:207'],
  ['0064 ff9b 0000 0000 0000 0000 c000 0207', '64:ff9b::c000:207'],
] as const) {
  test(`${hex} is ${text}`, () => {
    assert.equal(addressText(fromHex(hex), 0), text)
  })
}

test('the address may lie anywhere in the bytes', () => {
  const bytes = Buffer.concat([Buffer.alloc(5, 0xff), fromHex('0000 0000 0000 0000 0000 ffff 0a00 0001')])
  assert.equal(addressText(bytes, 5), '10.0.0.1')
  assert.deepEqual([isV4Mapped(bytes, 5), isV4Mapped(bytes, 4)], [true, false])
})

test('any IPv6 address is told as the URL standard shortens it', () => {
  // Many zero groups, so that there are runs to choose among.
  const group = fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff }))
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), groups => {
      const bytes = Buffer.alloc(16)
      for (const [i, value] of groups.entries()) bytes.writeUInt16BE(value, i * 2)
      fc.pre(!isV4Mapped(bytes, 0))
      const text = addressText(bytes, 0)
      assert.ok(isIPv6(text))
      assert.equal(`[${text}]`, new URL(`http://[${groups.map(value => value.toString(16)).join(':')}]`).hostname)
    }),
  )
})
