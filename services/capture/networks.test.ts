import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { udp } from '#core/decode/build-frame.ts'
import { HostDirectory, maxNetworkHosts } from '#core/host-directory.ts'
import { loadNative } from '#native'
import type { PacketBatch } from '#schemas'
import { Capture, type CaptureOptions } from './capture.ts'
import { block, desk, type Frame, frame, host, laptop, told, web } from './capture-fixture.ts'
import { NativeCapture } from './native-capture.ts'
import { parseNetworks } from './networks.ts'
import { NetworksFile } from './networks-file.ts'

const packet = (ms: number, from: string, to: string): Frame => frame(ms, from, to, 17, udp(1, 2))
const captures = (options: Omit<CaptureOptions, 'sensorId' | 'runId' | 'keepUnmonitored'>) => {
  const all = { sensorId: 's', runId: 'r', keepUnmonitored: false, ...options }
  return { portable: new Capture(all), native: new NativeCapture(loadNative(), all) }
}
const kinds = ['portable', 'native'] as const
const withPackets = (batches: readonly PacketBatch[]) => told(batches).filter(([, , rows]) => rows.length > 0)

for (const kind of kinds) {
  test(`an address of a monitored network is a host, until a host announces it: ${kind}`, () => {
    const hosts = new HostDirectory(parseNetworks(['10.0.0.0/30', '2001:db8::/32']))
    const capture = captures({ hosts })[kind]
    const flush = (...frames: Frame[]) => withPackets([...capture.add(block(...frames)), ...capture.flush()])
    assert.deepEqual(flush(packet(0, desk, web), packet(1, desk, laptop), packet(2, web, '10.9.9.9')), [
      [desk, 0, [`0 ms ${desk} 1 > ${web} 2`, `1 ms ${desk} 1 > ${laptop} 2`]],
      [laptop, 0, [`1 ms ${laptop} 2 < ${desk} 1`]],
    ])
    assert.equal(capture.frames['not-monitored'], 1)
    hosts.apply(host('desk', desk))
    assert.deepEqual(flush(packet(3, desk, web)), [['desk', 0, [`3 ms ${desk} 1 > ${web} 2`]]])
  })
}

for (const kind of kinds) {
  test(`networks change while the capture runs: ${kind}`, () => {
    const hosts = new HostDirectory(parseNetworks(['10.0.0.1/32']))
    const capture = captures({ hosts })[kind]
    const hostsOf = (ms: number) => {
      const sent = block(packet(ms, desk, web), packet(ms, laptop, web))
      return withPackets([...capture.add(sent), ...capture.flush()]).map(([hostId]) => hostId)
    }
    assert.deepEqual(hostsOf(0), [desk])
    hosts.monitor(parseNetworks(['10.0.0.0/30']))
    assert.deepEqual(hostsOf(1), [desk, laptop])
    hosts.monitor(parseNetworks(['10.0.0.2/32']))
    assert.deepEqual(hostsOf(2), [laptop])
    hosts.monitor(null)
    assert.deepEqual(hostsOf(3), [])
  })
}

test('a file of networks is read again; one that cannot be used leaves those before', t => {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-networks-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'networks')
  const write = (text: string) => writeFileSync(path, text)
  write('# ours\n10.0.0.0/30 # the lab\n\n')
  const file = new NetworksFile(path, ['192.0.2.0/24'])
  const monitored = () => [desk, '10.0.0.9', '192.0.2.1'].map(ip => file.networks.contains(ip))
  assert.deepEqual(monitored(), [true, false, true])
  assert.equal(file.reread(), false)
  write('10.0.0.8/30')
  assert.equal(file.reread(), true)
  assert.deepEqual(monitored(), [false, true, true])
  write('10.0.0.8/33')
  assert.throws(() => file.reread(), /networks: expected a network .* got '10\.0\.0\.8\/33'/)
  assert.equal(file.reread(), false)
  assert.deepEqual(monitored(), [false, true, true])
  rmSync(path)
  assert.throws(() => file.reread(), /ENOENT/)
  assert.equal(file.reread(), false)
  write('')
  assert.equal(file.reread(), true)
  assert.deepEqual(monitored(), [false, false, true])
})

test('who sends to every address of a network makes only so many hosts; the rest is counted', () => {
  const hosts = new HostDirectory(parseNetworks(['10.0.0.0/8']))
  const capture = captures({ hosts }).native
  const frames = Array.from({ length: 5000 }, (_, i) => packet(0, '192.0.2.1', `10.1.${i >> 8}.${i & 255}`))
  const batches = [...capture.add(block(...frames.slice(0, 2500))), ...capture.add(block(...frames.slice(2500)))]
  assert.equal(withPackets([...batches, ...capture.flush()]).length, maxNetworkHosts)
  assert.deepEqual(capture.frames, { ok: maxNetworkHosts, 'not-monitored': 5000 - maxNetworkHosts })
})

test('what is no network is named', () => {
  assert.throws(() => parseNetworks(['10.0.0.0/8', '10.0.0.0/33']), /expected a network .* got '10.0.0.0\/33'/)
})
