import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host, HostAddress } from '#schemas'
import { HostDirectory, maxNetworkHosts } from './host-directory.ts'

const host = (host_id: string, ...addresses: (string | HostAddress)[]): Host => ({
  host_id,
  names: [],
  addresses: addresses.map(ip =>
    typeof ip === 'string' ? { ip, since_us: null, until_us: null, namespace: null } : ip,
  ),
  os: 'linux',
  agent_version: '0',
  poll_period_us: null,
  boot_id: null,
  updated_us: 0,
})

test('an address belongs to the host that announced it, others to nobody', () => {
  const directory = new HostDirectory()
  directory.apply(host('desk', '192.0.2.1', '2001:db8::1'))
  assert.equal(directory.hostOf('192.0.2.1', 5), 'desk')
  assert.equal(directory.hostOf('2001:db8::1', 5), 'desk')
  assert.equal(directory.hostOf('192.0.2.2', 5), null)
})

test('an address that moved belongs to whoever had it then; between the spans, to the nearer', () => {
  const directory = new HostDirectory()
  directory.apply(host('a', { ip: '192.0.2.1', since_us: 0, until_us: 100, namespace: null }))
  directory.apply(host('b', { ip: '192.0.2.1', since_us: 200, until_us: null, namespace: null }))
  const owners = [50, 140, 160, 300].map(timeUs => directory.hostOf('192.0.2.1', timeUs))
  assert.deepEqual(owners, ['a', 'a', 'b', 'b'])
})

test('an address that several hosts have at once tells nothing', () => {
  const directory = new HostDirectory()
  directory.apply(host('a', '127.0.0.1', '192.0.2.1'))
  assert.equal(directory.hostOf('127.0.0.1', 5), 'a')
  directory.apply(host('b', '127.0.0.1'))
  assert.equal(directory.hostOf('127.0.0.1', 5), null)
  assert.equal(directory.hostOf('192.0.2.1', 5), 'a')
})

test('the newest record of a host replaces the one before, and only a change counts as one', () => {
  const directory = new HostDirectory()
  directory.apply(host('a', '192.0.2.1'))
  const { version } = directory
  directory.apply(host('a', '192.0.2.1'))
  assert.equal(directory.version, version)
  directory.apply(host('a', '192.0.2.9'))
  assert.notEqual(directory.version, version)
  assert.equal(directory.hostOf('192.0.2.1', 5), null)
})

test('an address of a monitored network is a host of its own until a host announces it; there are only so many', () => {
  const directory = new HostDirectory({ contains: ip => ip.startsWith('10.'), prefixes: [] })
  assert.equal(directory.hostOf('192.0.2.1', 5), null)
  assert.equal(directory.hostOf('10.0.0.1', 5), '10.0.0.1')
  directory.apply(host('a', '10.0.0.1'))
  assert.equal(directory.hostOf('10.0.0.1', 5), 'a')
  const known = Array.from({ length: 5000 }, (_, i) => directory.hostOf(`10.1.${i >> 8}.${i & 255}`, 5))
  assert.equal(known.filter(host => host !== null).length, maxNetworkHosts - 1)
  assert.equal(directory.hostOf('10.1.0.0', 5), '10.1.0.0')
})
