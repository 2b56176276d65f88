import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
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

/** Plain TCP and UDP packets as tshark sees them, with the comments that it finds. */
async function tshark(file: string) {
  const fields = [
    'frame.time_epoch',
    'ip.src',
    'ip.dst',
    'ipv6.src',
    'ipv6.dst',
    'tcp.srcport',
    'tcp.dstport',
    'udp.srcport',
    'udp.dstport',
  ]
  const args = [
    '-r',
    file,
    '-T',
    'fields',
    '-E',
    'occurrence=f',
    ...[...fields, 'frame.comment'].flatMap(f => ['-e', f]),
  ]
  const { stdout } = await run('tshark', args, { maxBuffer: 1 << 28 })
  return stdout
    .trimEnd()
    .split('\n')
    .map(line => {
      const [epoch, source4, destination4, source6, destination6, tcpFrom, tcpTo, udpFrom, udpTo, comment = ''] =
        line.split('\t')
      const [seconds, fraction] = epoch!.split('.')
      const timeUs = Number(seconds) * 1e6 + Number(fraction!.slice(0, 6))
      const proto = tcpFrom ? 'tcp' : 'udp'
      const [source, destination] = [source4 || source6, destination4 || destination6]
      return {
        timeUs,
        proto,
        source,
        destination,
        from: Number(tcpFrom || udpFrom),
        to: Number(tcpTo || udpTo),
        comment,
      }
    })
}

test('tshark finds on every packet the process of its session, and the packets of a process in its own file', async () => {
  const [labeled, folderOf] = [join(folder, 'labeled.pcapng'), join(folder, 'processes')]
  const capture = sample('capture.pcap.gz')
  const { stderr } = await proclabel(
    ...['annotate', capture, '--sessions', sessionsFile, '--pcapng', labeled, '--per-process', folderOf],
  )
  const ends = (proto: string, ...ends: string[]) => `${proto} ${ends.sort().join(' ')}`
  const byEnds = Map.groupBy(sessions, s =>
    ends(s.proto, `${s.local_ip}:${s.local_port}`, `${s.remote_ip}:${s.remote_port}`),
  )
  const [packets, original] = await Promise.all([tshark(labeled), tshark(capture)])
  assert.deepEqual(
    packets.map(({ comment, ...rest }) => rest),
    original.map(({ comment, ...rest }) => rest),
  )
  assert.match(stderr, new RegExp(`records ${packets.length} read, 0 skipped`))
  let commented = 0
  const ofProcess = new Map<string, number>()
  for (const { timeUs, proto, source, destination, from, to, comment } of packets) {
    const found = (byEnds.get(ends(proto, `${source}:${from}`, `${destination}:${to}`)) ?? []).filter(
      ({ first_us, last_us }) => first_us <= timeUs && timeUs <= last_us,
    )
    if (found.length !== 1) continue
    const { label, stage, unknown_cause, host_id } = found[0]!
    if (host_id !== null) assert.ok(comment.endsWith(` host=${host_id}`), comment)
    if (label === null) assert.ok(comment.startsWith(`unknown=${unknown_cause}`), comment)
    else {
      assert.ok(
        comment.startsWith(`process=${label.process}${label.pid === null ? '' : ` pid=${label.pid}`} stage=${stage} `),
        comment,
      )
      ofProcess.set(label.process, (ofProcess.get(label.process) ?? 0) + 1)
    }
    commented++
  }
  assert.ok(commented > 0.9 * packets.length, `${commented} of ${packets.length} packets`)
  const [most] = [...ofProcess].sort((a, b) => b[1] - a[1])
  const own = await tshark(join(folderOf, `${encodeURIComponent(most![0])}.pcapng`))
  assert.equal(own.length, most![1])
  for (const { comment } of own) assert.ok(comment.startsWith(`process=${most![0]} `), comment)
})

test('label writes the same capture, Parquet and CSV in one go; payload comes only when it is asked for', async () => {
  const [table, labeled, out] = ['one.parquet', 'again.pcapng', 'payload'].map(name => join(folder, name))
  const capture = sample('capture.pcap.gz')
  const sockets = ['--sockets', sample('sockets.jsonl.gz')]
  await proclabel('label', capture, ...sockets, '--out', table!, '--format', 'parquet', '--pcapng', labeled!)
  const [row] = await query(`SELECT count(*) AS sessions, count(process) AS labeled FROM '${table}'`)
  assert.equal(row!.sessions, String(sessions.length))
  assert.equal(row!.labeled, String(sessions.filter(({ label }) => label !== null).length))
  assert.deepEqual(readFileSync(labeled!), readFileSync(join(folder, 'labeled.pcapng')))
  await proclabel('export', sessionsFile, '--out', out!, '--payload', '5', '--captures', capture)
  const hellos = await query(
    `SELECT count(*) AS n, count(*) FILTER (hex(payload)[1:4] = '1603') AS hellos
     FROM read_parquet('${out}/**/*.parquet') WHERE proto = 'tcp' AND ja4 IS NOT NULL AND octet_length(payload) = 5`,
  )
  assert.ok(Number(hellos[0]!.n) > 0)
  assert.equal(hellos[0]!.hellos, hellos[0]!.n)
})

test('a dataset to train on: pseudonyms, no paths, parts by time without a shared 5-tuple', async () => {
  const [key, out] = [join(folder, 'key'), join(folder, 'parts')]
  writeFileSync(key, `${'0f'.repeat(32)}\n`)
  const options = ['--pseudonym-key', key, '--split', 'time', '--stages', 'A,A2,B', '--balance', '30']
  await proclabel('export', sessionsFile, '--out', out, ...options)
  const table = `read_parquet('${out}/**/*.parquet', hive_partitioning = true)`
  const [shared] = await query(
    `SELECT count(*) AS tuples FROM (
       SELECT proto, least(local_ip || ' ' || local_port, remote_ip || ' ' || remote_port) AS one,
         greatest(local_ip || ' ' || local_port, remote_ip || ' ' || remote_port) AS other
       FROM ${table} GROUP BY ALL HAVING count(DISTINCT split) > 1)`,
  )
  assert.equal(shared!.tuples, '0')
  const times = await query(
    `SELECT split, count(*) AS n, epoch_us(min(first_us)) AS first, epoch_us(max(first_us)) AS last FROM ${table} GROUP BY split ORDER BY first`,
  )
  assert.deepEqual(
    times.map(({ split }) => split),
    ['train', 'validation', 'test'],
  )
  for (const [i, { first }] of times.entries()) assert.ok(i === 0 || Number(first) > Number(times[i - 1]!.last))
  const [most] = await query(`SELECT max(n) AS n FROM (SELECT count(*) AS n FROM ${table} GROUP BY process)`)
  assert.ok(Number(most!.n) <= 30)
  const rows = JSON.stringify(await query(`SELECT * FROM ${table}`))
  for (const { local_ip, session_id, host_id, sni, label } of sessions)
    for (const text of [
      session_id,
      host_id === null ? null : `"${host_id}"`,
      sni,
      label?.path ?? null,
      `"${local_ip}"`,
    ])
      assert.ok(text === null || !rows.includes(text), `${text} is still there`)
  const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8'))
  assert.equal(manifest.privacy.addresses, 'Crypto-PAn')
  assert.deepEqual(manifest.selection.stages, ['A', 'A2', 'B'])
  assert.equal(
    manifest.sessions,
    times.reduce((sum, { n }) => sum + Number(n), 0),
  )
  await assert.rejects(proclabel('export', sessionsFile, '--out', out), /holds an export with another/)
  await assert.rejects(
    proclabel('export', '--out', out, '--brokers', 'x:1', '--split', 'time'),
    /give files, not --brokers/,
  )
})
