import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DnsNames } from './dns-names.ts'

const answer = (name: string, ttlSeconds = 60) => [{ name, address: '192.0.2.1', ttlSeconds }]
const hour = 3_600_000_000

test('the newest answer that the client had by then', () => {
  const names = new DnsNames()
  names.learn('10.0.0.1', answer('first.example'), 1000)
  names.learn('10.0.0.1', answer('second.example'), 2000)
  assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 999), null)
  assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 1000), 'first.example')
  assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 2500), 'second.example')
  assert.equal(names.lookup('10.0.0.2', '192.0.2.1', 2500), null)
  assert.equal(names.lookup('10.0.0.1', '192.0.2.2', 2500), null)
})

test('answers that arrive late do not hide newer ones', () => {
  const names = new DnsNames()
  names.learn('10.0.0.1', answer('second.example'), 2000)
  names.learn('10.0.0.1', answer('first.example'), 1000)
  assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 2500), 'second.example')
})

test('an answer lives for its TTL, but an hour at least and a day at most', () => {
  const names = new DnsNames()
  for (const [ttl, lifeUs] of [
    [0, hour],
    [7200, 2 * hour],
    [0xffffffff, 24 * hour],
  ] as const) {
    names.learn('10.0.0.1', answer(`ttl-${ttl}.example`, ttl), 0)
    assert.equal(names.lookup('10.0.0.1', '192.0.2.1', lifeUs - 1), `ttl-${ttl}.example`)
  }
  assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 24 * hour), null)
})

test('what went to a multicast group is known to everybody', () => {
  for (const group of ['224.0.0.251', 'ff02::fb']) {
    const names = new DnsNames()
    names.learn(group, answer('printer.local'), 0)
    assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 1), 'printer.local')
    names.learn('10.0.0.1', answer('own.example'), 0)
    assert.equal(names.lookup('10.0.0.1', '192.0.2.1', 1), 'own.example')
  }
})

test('the least recently used entries go first', () => {
  const names = new DnsNames({ entries: 2 })
  names.learn('a', answer('a.example'), 0)
  names.learn('b', answer('b.example'), 0)
  names.lookup('a', '192.0.2.1', 1)
  names.learn('c', answer('c.example'), 0)
  assert.equal(names.size, 2)
  assert.equal(names.lookup('b', '192.0.2.1', 1), null)
  assert.equal(names.lookup('a', '192.0.2.1', 1), 'a.example')
})
