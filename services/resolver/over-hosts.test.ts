import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf } from '#core/batch-fixture.ts'
import { defaultConstants } from '#core/constants.ts'
import { at, hostIp, TestHost } from '#core/test-host.ts'
import { codecs, type LabeledSession } from '#schemas'
import type { BusRecord } from '#shared/bus/bus.ts'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { MemoryStore } from '#shared/store/memory.ts'
import { Matcher, withinProcess } from '../matcher/matcher.ts'
import { Resolver } from './resolver.ts'

const server = '192.0.2.7:443'
const sni = 'www.example.com'
const sessions = 32
const port = (i: number) => 40_000 + i

/** A TLS connection of the host, ended by FINs. */
const connection = (i: number) => [
  `${i * 100 + 10} tcp ${port(i)} > ${server} S1`,
  `${i * 100 + 11} tcp ${port(i)} < ${server} SA2`,
  `${i * 100 + 70} tcp ${port(i)} > ${server} FA`,
  `${i * 100 + 71} tcp ${port(i)} < ${server} FA`,
]

/** These packets of a host, each TCP connection with the same server name. */
function packetsOf(host_id: string, seq: number, texts: readonly string[], untilMs: number): BusRecord {
  const opening = Array.from(texts.keys()).filter(row => texts[row]!.includes(' S1'))
  const names = opening.map(packet => ({ packet, sni, alpn: [], ja4: null }))
  return { key: host_id, value: codecs.packets.encode(batchOf(texts, { host_id, seq, until_us: at(untilMs), names })) }
}

test('a session that one host cannot label is labeled by what another host runs', async () => {
  const bus = new InProcessBus()
  const store = new MemoryStore()
  const stop = new AbortController()
  const published: LabeledSession[] = []
  const read = async () => {
    for await (const batch of bus.subscribe(['labeled-sessions'], 'test', stop.signal)) {
      for (const { value } of batch.records) published.push(codecs['labeled-sessions'].decode(value!))
      await batch.commit()
    }
  }
  const constants = defaultConstants
  const settings = { bus, store, constants, ...withinProcess, provisional: true, persistent: true, hasResolver: true }
  const matcher = new Matcher(settings)
  const resolver = new Resolver({ bus, store, constants, writeEveryMs: 0, commitLagMs: 0 })
  const running = Promise.all([matcher.run(stop.signal), resolver.run(stop.signal), read()])

  const knowing = new TestHost()
  for (let ms = -100; ms <= 5_000; ms += 50) {
    const open = Array.from({ length: sessions }, (_, i) => i).filter(i => ms >= i * 100 && ms <= i * 100 + 50)
    const rows = open.map(i => [`tcp ${hostIp}:${port(i)} ${server}`, 'curl'] as const)
    const message = { ...knowing.pollMessage(ms, ...rows), host_id: 'knowing' }
    await bus.publish('socket-snapshots', [{ key: 'knowing', value: codecs['socket-snapshots'].encode(message) }])
  }
  const silent = { ...new TestHost().pollMessage(-100), host_id: 'silent' }
  await bus.publish('socket-snapshots', [{ key: 'silent', value: codecs['socket-snapshots'].encode(silent) }])
  const all = Array.from({ length: sessions }, (_, i) => connection(i)).flat()
  await bus.publish('packets', [packetsOf('knowing', 0, all, 5_000), packetsOf('silent', 0, connection(0), 5_000)])
  const later = Array.from({ length: 10 }, (_, i) => 20_000 + i * 20_000)
  for (const [i, ms] of later.entries()) {
    for (const host of ['knowing', 'silent']) {
      const texts = [`${ms} udp ${20_000 + i} > 192.0.2.8:123`]
      await bus.publish('packets', [packetsOf(host, i + 1, texts, ms)])
      await bus.drained()
    }
  }
  await bus.drained()
  stop.abort()
  await running

  const lost = published.filter(({ host_id, proto }) => host_id === 'silent' && proto === 'tcp')
  const told = lost.map(({ revision, label, stage, evidence }) => [revision, stage, label?.process, evidence.support])
  assert.deepEqual(told.slice(0, 2), [
    [0, null, undefined, null],
    [1, 'N', 'curl', sessions],
  ])
  assert.equal(told.length, 2)
})
