import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import ipaddr from 'ipaddr.js'
import { sessionOf } from '#shared/session-fixture.ts'
import { CryptoPan } from './crypto-pan.ts'
import { disguiseWith } from './disguise.ts'

/** Key and addresses of the sample that comes with Crypto-PAn's reference implementation; IPv6 by Yawning's cryptopan. */
const key = Buffer.from('1522178d33a4cf80130a5b1649907d10d8988f837979652762574c2d2a842202', 'hex')
const vectors = {
  '128.11.68.132': '135.242.180.132',
  '129.118.74.4': '134.136.186.123',
  '130.132.252.244': '133.68.164.234',
  '141.223.7.43': '141.167.8.160',
  '141.233.145.108': '141.129.237.235',
  '152.163.225.39': '151.140.114.167',
  '156.29.3.236': '147.225.12.42',
  '165.247.96.84': '162.9.99.234',
  '166.107.77.190': '160.132.178.185',
  '192.102.249.13': '252.138.62.131',
  '10.185.25.118': '117.161.29.118',
  '64.34.154.117': '0.221.154.117',
  '::1': '78ff:f001:9fc0:20df:8380:b1f1:704:ed',
  '::2': '78ff:f001:9fc0:20df:8380:b1f1:704:ef',
  '::ffff': '78ff:f001:9fc0:20df:8380:b1f1:704:f838',
  '2001:db8::1': '4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1e',
  '2001:db8::2': '4401:2bc:603f:d91d:27f:ff8e:e6f1:dc1c',
}

test('Crypto-PAn gives the pseudonyms of its published vectors', () => {
  const pan = new CryptoPan(key)
  for (const [ip, pseudonym] of Object.entries(vectors)) assert.equal(pan.pseudonym(ip), pseudonym, ip)
  assert.throws(() => new CryptoPan(key.subarray(1)), /expected a key of 32 bytes/)
})

test('pseudonyms share as many leading bits as the addresses do', () => {
  const pan = new CryptoPan(key)
  const common = (a: string, b: string) => {
    const [x, y] = [a, b].map(ip =>
      ipaddr
        .parse(ip)
        .toByteArray()
        .map(byte => byte.toString(2).padStart(8, '0'))
        .join(''),
    )
    let bits = 0
    while (bits < x!.length && x![bits] === y![bits]) bits++
    return bits
  }
  for (const address of [fc.ipV4(), fc.ipV6()])
    fc.assert(fc.property(address, address, (a, b) => common(a, b) === common(pan.pseudonym(a), pan.pseudonym(b))))
})

const told = sessionOf({
  ...{ host_id: 'alices-pc', local_ip: '10.0.0.1', remote_ip: '2001:db8::1', session_id: 'ab'.repeat(16) },
  ...{
    peer_session_id: 'cd'.repeat(16),
    community_id: '1:x',
    sni: 'secret.example.org',
    dns_name: 'secret.example.org',
  },
  tunnel: { kind: 'gre', source: '192.0.2.7', destination: '192.0.2.8', id: null },
  label: {
    ...{ process: 'curl', pid: 7, process_start_us: null, path: '/home/alice/bin/curl', service: null },
    container_id: 'c0ffee',
    pod: null,
    container_image: null,
    parent: null,
  },
})

test('with a key nothing is left of addresses, hosts, ids, names and paths, and what was equal stays equal', () => {
  const hidden = [
    'alices-pc',
    '10.0.0.1',
    '2001:db8::1',
    'abab',
    'cdcd',
    '1:x',
    'secret',
    'example',
    '192.0.2',
    'alice',
    'c0ffee',
  ]
  const disguise = disguiseWith({ key, names: 'hash', dropPaths: true })
  const one = disguise(told)
  for (const text of hidden) assert.ok(!JSON.stringify(one).includes(text), text)
  assert.equal(one.sni, one.dns_name)
  assert.notEqual(one.sni, null)
  assert.deepEqual(one, disguise(structuredClone(told)))
  const peer = disguise({
    ...told,
    session_id: told.peer_session_id!,
    local_ip: told.remote_ip,
    remote_ip: told.local_ip,
  })
  assert.deepEqual([peer.session_id, peer.local_ip, peer.remote_ip], [one.peer_session_id, one.remote_ip, one.local_ip])
  const { process, pid } = one.label!
  assert.deepEqual([process, pid, one.splt, one.first_us, one.stage], ['curl', 7, told.splt, told.first_us, 'A'])
  const other = disguiseWith({ key: Buffer.from(key).reverse(), names: 'drop', dropPaths: true })(told)
  assert.deepEqual([other.sni, other.dns_name], [null, null])
  for (const name of ['session_id', 'host_id', 'local_ip'] as const) assert.notEqual(other[name], one[name])
})

test('without a key only what is asked for is dropped', () => {
  assert.deepEqual(disguiseWith({ key: null, names: 'keep', dropPaths: false })(told), told)
  const dropped = disguiseWith({ key: null, names: 'drop', dropPaths: true })(told)
  assert.deepEqual(dropped, { ...told, sni: null, dns_name: null, label: { ...told.label, path: null } })
})
