import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createReadStream, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { LabeledSession } from '#schemas'
import { npmPackages } from '../deploy/tools.ts'

const run = promisify(execFile)
const command = fileURLToPath(new URL('../cli/main.ts', import.meta.url))
const sample = (name: string) => fileURLToPath(new URL(`../embedded/sample/${name}`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'proclabel-dataset-'))
const sessionsFile = join(folder, 'labeled.jsonl')
const proclabel = (...args: string[]) => run(process.execPath, [command, ...args], { maxBuffer: 1 << 28 })

let sessions: LabeledSession[]
let query: (sql: string) => Promise<Record<string, unknown>[]>

before(async () => {
  await proclabel('label', sample('capture.pcap.gz'), '--sockets', sample('sockets.jsonl.gz'), '--out', sessionsFile)
  sessions = []
  for await (const line of createInterface(createReadStream(sessionsFile))) sessions.push(JSON.parse(line))
  const duckdb = await npmPackages('@duckdb/node-api@1.5.6-r.1')
  const { DuckDBInstance } = createRequire(join(duckdb, 'node_modules/'))('@duckdb/node-api')
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  query = async sql => (await connection.runAndReadAll(sql)).getRowObjectsJson()
})
after(() => rmSync(folder, { recursive: true }))

test('DuckDB reads the Parquet dataset: partitions, types, and every value as it was', async () => {
  const out = join(folder, 'parquet')
  await proclabel('export', sessionsFile, '--out', out)
  const table = `read_parquet('${out}/**/*.parquet', hive_partitioning = true)`
  const types = await query(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM ${table})`)
  const typeOf = Object.fromEntries(types.map(row => [row.column_name, row.column_type]))
  assert.deepEqual(
    ['session_id', 'first_us', 'bytes_in', 'confidence', 'label_final', 'splt_len', 'day', 'host'].map(n => typeOf[n]),
    ['VARCHAR', 'TIMESTAMP WITH TIME ZONE', 'BIGINT', 'DOUBLE', 'BOOLEAN', 'INTEGER[]', 'DATE', 'VARCHAR'],
  )
  const rows = await query(
    `SELECT session_id, host_id, host, strftime(day, '%Y-%m-%d') AS day, proto, local_ip, local_port, remote_ip,
       remote_port, direction, epoch_us(first_us) AS first_us, epoch_us(last_us) AS last_us, packets_in, bytes_in,
       bytes_out, process, pid, stage, confidence, label_final, unknown_cause, evidence_reason, sni, alpn, splt_len, splt_gap_us
     FROM ${table} ORDER BY session_id`,
  )
  const expected = sessions
    .map(s => ({
      ...{ session_id: s.session_id, host_id: s.host_id, host: s.host_id },
      ...{ day: new Date(s.first_us / 1000).toISOString().slice(0, 10), proto: s.proto },
      ...{ local_ip: s.local_ip, local_port: s.local_port, remote_ip: s.remote_ip, remote_port: s.remote_port },
      ...{ direction: s.direction, first_us: String(s.first_us), last_us: String(s.last_us) },
      ...{ packets_in: String(s.packets_in), bytes_in: String(s.bytes_in), bytes_out: String(s.bytes_out) },
      ...{ process: s.label?.process ?? null, pid: s.label?.pid ?? null, stage: s.stage, confidence: s.confidence },
      ...{ label_final: s.label_final, unknown_cause: s.unknown_cause, evidence_reason: s.evidence.reason },
      ...{ sni: s.sni, alpn: s.alpn?.join(',') ?? null },
      ...{ splt_len: s.splt.map(({ len }) => len), splt_gap_us: s.splt.map(({ gap_us }) => gap_us) },
    }))
    .sort((a, b) => (a.session_id < b.session_id ? -1 : 1))
  assert.ok(expected.length > 100)
  assert.deepEqual(rows, expected)
  const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))
  assert.equal(manifest.sessions, sessions.length)
})

test('DuckDB reads CSV and JSON lines of the same sessions', async () => {
  for (const [format, label] of [['csv', '"Label"'] as const, ['jsonl', 'label.process'] as const]) {
    const out = join(folder, format)
    await proclabel('export', sessionsFile, '--out', out, '--format', format)
    const reader = format === 'csv' ? 'read_csv' : 'read_ndjson'
    const [row] = await query(
      `SELECT count(*) AS sessions, count(${label}) AS labeled FROM ${reader}('${out}/**/*.${format}', hive_partitioning = false)`,
    )
    const labeled = sessions.filter(session => session.label !== null).length
    assert.deepEqual(row, { sessions: String(sessions.length), labeled: String(labeled) })
  }
})
