import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batchOf } from '#core/batch-fixture.ts'
import { defaultConstants } from '#core/constants.ts'
import { at } from '#core/test-host.ts'
import { codecs } from '#schemas'
import { HostCopy } from './host-copy.ts'
import { SnapshotPace } from './snapshot-pace.ts'

test('what took a tenth of a second leaves nine tenths to the rest', () => {
  const pace = new SnapshotPace()
  assert.ok(pace.isFree(0))
  pace.spent(1000, 1100)
  assert.ok(!pace.isFree(1999))
  assert.ok(pace.isFree(2000))
})

test('a copy whose snapshot is due waits for its turn, but not for ever; the journal goes on meanwhile', () => {
  const free = { isFree: () => true, spent: () => {} }
  const taken = { isFree: () => false, spent: () => {} }
  const writesUntilSnapshot = (pace: Pick<SnapshotPace, 'isFree' | 'spent'>) => {
    const copy = new HostCopy('host', {
      constants: defaultConstants,
      sharedNames: null,
      provisional: true,
      persistent: true,
      pace: pace as SnapshotPace,
      plausible: null,
      codecs,
    })
    for (let seq = 0; ; seq++) {
      const value = codecs.packets.encode(batchOf([], { until_us: at(seq), seq, base_us: at(seq) }))
      copy.apply({ topic: 'packets', partition: 0, offset: seq, key: 'host', value, appendMs: 0 })
      const { put } = copy.write()!
      if (put.has('snapshot')) return seq
      assert.ok(put.has(`journal:${seq}`))
      copy.written(String(seq))
    }
  }
  const due = writesUntilSnapshot(free)
  assert.ok(due > 100)
  // Writes differ by a byte or two.
  assert.equal(Math.round((10 * writesUntilSnapshot(taken)) / due), 20)
})
