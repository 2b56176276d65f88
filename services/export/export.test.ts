import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codecs } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { recordOf, sessionOf } from '#shared/session-fixture.ts'
import { optionsOf, rowsIn } from './dataset-fixture.ts'
import { runExportService } from './main.ts'

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-export-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

function start(bus: InProcessBus, folder: string, everyMs = 60_000) {
  const stop = new AbortController()
  const running = runExportService({
    ...{ bus, codecs, prepare: () => undefined, dataset: optionsOf(folder), everyMs, group: 'export', partitions: 1 },
    ...{ log: createLog('export', 'silent'), metrics: noMetrics, health: new Health(), signal: stop.signal },
    disguise: session => session,
  })
  return { running, stop }
}

const idOf = (number: number) => String(number).padStart(32, '0')

test('every session becomes a row with all its fields; what is none becomes a dead letter', async t => {
  const folder = join(temporary(t), 'made')
  const bus = new InProcessBus()
  const letters = bus.subscribe(['dead-letters'], 'test', AbortSignal.timeout(5000))
  const { running, stop } = start(bus, folder)
  const sessions = [1, 2, 3].map(number => sessionOf({ session_id: idOf(number) }))
  await bus.publish('labeled-sessions', [
    recordOf(sessions[0]!),
    { key: 'k', value: Buffer.from('garbage') },
    { key: idOf(1), value: null },
    ...sessions.slice(1).map(recordOf),
  ])
  for await (const { records, commit } of letters) {
    const letter = codecs['dead-letters'].decode(records[0]!.value!)
    assert.deepEqual(
      [letter.topic, letter.offset, letter.reason, letter.step, Buffer.from(letter.value!).toString()],
      ['labeled-sessions', 1, 'wire-format', 'export', 'garbage'],
    )
    await commit()
    break
  }
  await bus.drained()
  stop.abort()
  assert.deepEqual(await running, { records: 3, damaged: 1 })
  const finer = { site: null, application: null, finer_label: 'curl' }
  assert.deepEqual(
    rowsIn(folder),
    sessions.map(session => JSON.parse(JSON.stringify({ ...session, ...finer }))),
  )
})

test('what could not be written is not committed, and comes again to the next exporter', async t => {
  const folder = temporary(t)
  const bus = new InProcessBus()
  writeFileSync(join(folder, 'file'), '')
  const { running } = start(bus, join(folder, 'file', 'below-a-file'))
  running.catch(() => {})
  await bus.publish('labeled-sessions', [recordOf(sessionOf({ session_id: idOf(1) }))])
  await assert.rejects(running, { code: 'PROCLABEL_OUTPUT', message: /cannot write .*below-a-file/ })
  const second = start(bus, join(folder, 'out'))
  await bus.drained()
  second.stop.abort()
  assert.equal((await second.running).records, 1)
  assert.equal(rowsIn(join(folder, 'out'))[0]!.session_id, idOf(1))
})

test('tables are brought up to date while it runs, and an exporter that was killed finds its journal', async t => {
  const folder = temporary(t)
  const bus = new InProcessBus()
  const first = start(bus, folder, 20)
  await bus.publish('labeled-sessions', [recordOf(sessionOf({ session_id: idOf(1), bytes_in: 1 }))])
  while (rowsIn(folder).length === 0) await sleep(5)
  first.stop.abort()
  await first.running
  // As a killed one leaves it: a session, and half of the next.
  const line = JSON.stringify(sessionOf({ session_id: idOf(2) }))
  writeFileSync(join(folder, '.journal', '0001.journal'), `${line}\n${line.slice(0, 50)}`)
  const second = start(bus, folder)
  await bus.publish('labeled-sessions', [recordOf(sessionOf({ session_id: idOf(1), revision: 1, bytes_in: 2 }))])
  await bus.drained()
  second.stop.abort()
  await second.running
  const found = rowsIn(folder).map(({ session_id, revision, bytes_in }) => [session_id, revision, bytes_in])
  assert.deepEqual(found.sort(), [
    [idOf(1), 1, 2],
    [idOf(2), 0, 40],
  ])
})

test('two exporters cannot have one folder', async t => {
  const folder = temporary(t)
  const first = start(new InProcessBus(), folder)
  await sleep(20)
  await assert.rejects(start(new InProcessBus(), folder).running, /is used by another process/)
  first.stop.abort()
  assert.deepEqual(await first.running, { records: 0, damaged: 0 })
  assert.equal(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')).sessions, 0)
})
