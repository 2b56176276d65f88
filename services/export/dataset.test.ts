import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import type { LabeledSession } from '#schemas'
import { sessionOf } from '#shared/session-fixture.ts'
import { csvTable } from './csv-table.ts'
import { Dataset, type DatasetOptions } from './dataset.ts'
import { optionsOf, rowsIn } from './dataset-fixture.ts'
import type { Manifest } from './manifest.ts'
import { parquetTable } from './parquet-table.ts'
import { type TableSession, tableSession } from './table-session.ts'

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-dataset-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

const manifestOf = (folder: string): Manifest => JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'))
const hourUs = 3_600_000_000
const noonUs = Date.UTC(2026, 10, 25, 12) * 1000

async function write(options: DatasetOptions, sessions: readonly LabeledSession[]): Promise<void> {
  const dataset = new Dataset(options)
  for (const session of sessions) await dataset.add(tableSession(session))
  await dataset.flush()
}

test('each session is one row by its latest revision, in whatever order and portions revisions come', async t => {
  const revisions = fc.array(
    fc.record({ id: fc.integer({ min: 0, max: 5 }), revision: fc.nat({ max: 4 }), host: fc.constantFrom('a', 'b/c') }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(revisions, { maxLength: 4 }), fc.integer({ min: 1, max: 4 }), async (runs, most) => {
      const folder = temporary(t)
      const latest = new Map<string, number>()
      for (const run of runs) {
        const sessions = run.map(({ id, revision, host }) => {
          const session_id = `${host}-${id}`
          latest.set(session_id, Math.max(latest.get(session_id) ?? 0, revision))
          return sessionOf({ session_id, revision, host_id: host, first_us: noonUs + id * hourUs })
        })
        await write({ ...optionsOf(folder), mostPending: most }, sessions)
      }
      const found = rowsIn(folder).map(({ session_id, revision }) => [session_id, revision] as const)
      assert.equal(found.length, latest.size)
      assert.deepEqual(new Map(found), latest)
      if (runs.length > 0) assert.equal(manifestOf(folder).sessions, latest.size)
    }),
    { numRuns: 30 },
  )
})

for (const format of [parquetTable(false), csvTable]) {
  test(`${format.extension}: rows of an earlier file stay as they are when others are replaced`, async t => {
    const [once, twice] = [temporary(t), temporary(t)]
    const label = {
      process: 'say "hi", you',
      pid: 1,
      process_start_us: 5,
      path: null,
      service: null,
      container_id: null,
      pod: null,
      container_image: null,
      parent: null,
    }
    const sessions = [
      sessionOf({ session_id: 'a', label, confidence: 0.5, stage: 'B', alpn: ['h2'], splt: [{ len: -40, gap_us: 7 }] }),
      sessionOf({ session_id: 'b', label: null, stage: null, unknown_cause: 'nat', confidence: null }),
      sessionOf({ session_id: 'c', evidence: { ...sessionOf().evidence, owned_from_us: 1_700_000_000_000_001 } }),
    ]
    const newer = { ...sessions[1]!, revision: 1 }
    const options = (folder: string) => ({ ...optionsOf(folder), format })
    await write(options(once), [sessions[0]!, sessions[2]!, newer])
    await write(options(twice), sessions)
    await write(options(twice), [newer, sessions[0]!])
    // Replaced rows stand behind those that were kept.
    await write(options(twice), [sessions[2]!, newer])
    const bytes = (folder: string) =>
      globSync('day*/**/*.*', { cwd: folder }).map(name => readFileSync(join(folder, name)))
    const rows = async (folder: string) => {
      const found = []
      const [name] = globSync(`day*/**/*.${format.extension}`, { cwd: folder })
      for await (const { facts, raw } of format.read(join(folder, name!))) found.push({ id: facts.session_id, raw })
      return found.sort((a, b) => (a.id < b.id ? -1 : 1))
    }
    assert.deepEqual(await rows(twice), await rows(once))
    assert.equal(bytes(twice).length, 1)
    assert.deepEqual(manifestOf(twice).stages, manifestOf(once).stages)
  })
}

test('the manifest tells what is there, and its checksums fit', async t => {
  const folder = temporary(t)
  await write(optionsOf(folder), [
    sessionOf({ session_id: 'a', first_us: noonUs, host_id: 'a b' }),
    sessionOf({ session_id: 'b', first_us: noonUs, stage: 'B', confidence: 0.75 }),
    sessionOf({ session_id: 'c', first_us: noonUs + 30 * hourUs, stage: 'B', confidence: 0.25 }),
    sessionOf({ session_id: 'd', first_us: noonUs, label: null, stage: null, unknown_cause: 'no-agent' }),
    sessionOf({ session_id: 'e', first_us: noonUs, label: null, stage: null, host_id: null }),
  ])
  const manifest = manifestOf(folder)
  assert.deepEqual(
    manifest.files.map(({ file }) => file),
    [
      'day=2026-11-25/host=__HIVE_DEFAULT_PARTITION__/12.jsonl',
      'day=2026-11-25/host=a%20b/12.jsonl',
      'day=2026-11-25/host=h1/12.jsonl',
      'day=2026-11-26/host=h1/18.jsonl',
    ],
  )
  for (const { file, sha256, bytes } of manifest.files) {
    const content = readFileSync(join(folder, file))
    assert.equal(createHash('sha256').update(content).digest('hex'), sha256)
    assert.equal(content.length, bytes)
  }
  assert.deepEqual(manifest.hosts, { 'a b': 1, h1: 3 })
  assert.deepEqual(manifest.completeness, { monitored: 4, labeled: 3, share: 0.75 })
  assert.deepEqual(manifest.stages, {
    A: { sessions: 1, precision_at_least: null },
    B: { sessions: 2, precision_at_least: 0.5 },
  })
  assert.deepEqual([manifest.from, manifest.until], ['2026-11-25T12', '2026-11-26T18'])
})

test('a folder with a dataset of another kind is left alone', async t => {
  const folder = temporary(t)
  await write(optionsOf(folder), [sessionOf()])
  assert.throws(() => new Dataset({ ...optionsOf(folder), format: csvTable }), /holds an export with another format/)
})

test('a session that is not wanted any more is taken out', async t => {
  const folder = temporary(t)
  const options = {
    ...optionsOf(folder),
    wanted: ({ stage }: TableSession) => stage === 'A',
  }
  await write(options, [sessionOf()])
  assert.equal(rowsIn(folder).length, 1)
  await write(options, [sessionOf({ revision: 1, stage: 'B' })])
  assert.deepEqual(globSync('day*/**/*.*', { cwd: folder }), [])
  assert.equal(manifestOf(folder).sessions, 0)
})

test('CSV has what CICFlowMeter calls it, from the side of who opened the session', async t => {
  const folder = temporary(t)
  const splt = [
    { len: -60, gap_us: 0 },
    { len: 60, gap_us: 100 },
    { len: -52, gap_us: 300 },
    { len: -152, gap_us: 600 },
  ]
  const counts = {
    packets_out: 1,
    packets_in: 3,
    bytes_out: 60,
    bytes_in: 264,
    first_us: noonUs + 1,
    last_us: noonUs + 1001,
  }
  await write({ ...optionsOf(folder), format: csvTable }, [
    sessionOf({ session_id: 'a', direction: 'in', splt, ...counts }),
    sessionOf({ session_id: 'b', packets_out: 40, splt, first_us: noonUs }),
  ])
  const [head, a, b] = readFileSync(join(folder, manifestOf(folder).files[0]!.file), 'utf8').split('\n')
  const cells = (line: string) => Object.fromEntries(head!.split(',').map((name, i) => [name, line.split(',')[i]]))
  const expected = {
    ...{ 'Flow ID': '192.0.2.1-10.0.0.1-443-40000-6', 'Src IP': '192.0.2.1', 'Dst Port': '40000', Protocol: '6' },
    ...{ Timestamp: '2026-11-25 12:00:00.000001', 'Flow Duration': '1000', 'Total Fwd Packet': '3' },
    ...{ 'Flow Packets/s': '4000', 'Flow IAT Max': '600', 'Flow IAT Min': '100', 'Fwd IAT Mean': '500' },
    ...{ 'Bwd IAT Max': '0', 'Fwd IP Length Max': '152', 'Total IP Length of Fwd Packet': '264', Label: 'curl' },
  }
  const found = cells(a!)
  for (const [name, value] of Object.entries(expected)) assert.equal(found[name], value, name)
  assert.equal(Number(found['Flow IAT Mean']).toFixed(3), (1000 / 3).toFixed(3))
  assert.deepEqual([cells(b!)['Fwd IAT Mean'], cells(b!)['Total Fwd Packet']], ['', '40'])
})
