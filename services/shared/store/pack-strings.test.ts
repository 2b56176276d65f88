import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packStrings } from './pack-strings.ts'

const hex = (items: (string | Uint8Array)[]) => packStrings(items).toString('hex')

test('an array of raw strings as MessagePack writes them down with 32-bit lengths', () => {
  assert.equal(hex([]), 'dd00000000')
  assert.equal(hex(['ab', new Uint8Array([0, 255])]), 'dd00000002db000000026162db0000000200ff')
  assert.equal(hex(['', new Uint8Array()]), 'dd00000002db00000000db00000000')
})

test('lengths count bytes, not characters', () => {
  assert.equal(hex(['é€😀']), 'dd00000001db00000009c3a9e282acf09f9880')
})

test('a part of a larger buffer is packed alone', () => {
  assert.equal(hex([new Uint8Array([1, 2, 3, 4]).subarray(1, 3)]), 'dd00000001db000000020203')
})
