import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { codecs, type LabeledSession } from '#schemas'
import { InProcessBus } from '#shared/bus/in-process.ts'
import { Health } from '#shared/health.ts'
import { createLog } from '#shared/log.ts'
import { noMetrics } from '#shared/metrics.ts'
import { recordOf, sessionOf } from '#shared/session-fixture.ts'
import { JsonLinesFolder } from './json-lines-folder.ts'
import { runExportService } from './main.ts'

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-export-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

function start(bus: InProcessBus, folder: string) {
  const stop = new AbortController()
  const running = runExportService({
    ...{ bus, codecs, prepare: () => undefined, folder, maxFileBytes: 1 << 20, group: 'export', partitions: 1 },
    ...{ log: createLog('export', 'silent'), metrics: noMetrics, health: new Health(), signal: stop.signal },
  })
  return { running, stop }
}

const linesIn = (folder: string) =>
  readdirSync(folder)
    .sort()
    .map(name => readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'))
const idOf = (number: number) => String(number).padStart(32, '0')

test('every session becomes a line with all its fields; what is none becomes a dead letter', async t => {
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
  assert.deepEqual(await running, { sessions: 3, damaged: 1 })
  const [lines] = linesIn(folder)
  assert.deepEqual(
    lines!.map(line => JSON.parse(line)),
    sessions.map(session => JSON.parse(JSON.stringify(session))),
  )
})

test('what could not be written is not committed, and comes again to the next exporter', async t => {
  const folder = temporary(t)
  const bus = new InProcessBus()
  writeFileSync(join(folder, 'file'), '')
  const { running } = start(bus, join(folder, 'file', 'below-a-file'))
  await bus.publish('labeled-sessions', [recordOf(sessionOf({ session_id: idOf(1) }))])
  await assert.rejects(running, { code: 'PROCLABEL_OUTPUT', message: /cannot write to .*below-a-file/ })
  const second = start(bus, join(folder, 'out'))
  await bus.drained()
  second.stop.abort()
  assert.equal((await second.running).sessions, 1)
  assert.equal((JSON.parse(linesIn(join(folder, 'out'))[0]![0]!) as LabeledSession).session_id, idOf(1))
})

test('a new file when one has its size, and each hour', async t => {
  const folder = temporary(t)
  let nowMs = Date.UTC(2026, 10, 23, 17, 59)
  const out = new JsonLinesFolder({ folder, maxFileBytes: 20, now: () => nowMs })
  await out.append([{ a: 1 }, { a: 2 }])
  await out.append([{ a: 3 }])
  await out.append([{ a: 4 }])
  nowMs += 60_000
  await out.append([{ a: 5 }])
  await out.append([])
  await out.close()
  assert.deepEqual(linesIn(folder), [['{"a":1}', '{"a":2}', '{"a":3}'], ['{"a":4}'], ['{"a":5}']])
  const names = readdirSync(folder).sort()
  assert.deepEqual(
    names.map(name => name.replace(/-[0-9a-f]{8}-/, '-RUN-')),
    ['20261123T17-RUN-0', '20261123T17-RUN-1', '20261123T18-RUN-2'].map(name => `labeled-sessions-${name}.jsonl`),
  )
})

test('stopping while nothing comes ends at once', async t => {
  const { running, stop } = start(new InProcessBus(), temporary(t))
  await sleep(20)
  stop.abort()
  assert.deepEqual(await running, { sessions: 0, damaged: 0 })
})
