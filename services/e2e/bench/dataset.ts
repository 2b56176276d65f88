/**
 * What comes of labeled sessions: `export` to Parquet against DuckDB doing the like, `annotate` against editcap copying the same
 * capture, and how soon the report's page can be used in Chromium. Whole commands on one core.
 *
 * `node services/e2e/bench/dataset.ts [--sessions FILE] [--runs 3] [--packets 2100000]`: without a file of labeled sessions
 * the simulated day is labeled first, which takes some minutes.
 */
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { defaultConstants } from '#core/constants.ts'
import { codecs, type LabeledSession } from '#schemas'
import { pythonTools } from '../../deploy/tools.ts'
import { Day, goodMirror, sourceDay } from '../../lab/day/day.ts'
import { scoreInputs } from '../../lab/score-inputs.ts'
import { startChromium } from '../chromium.ts'
import { writeCapture } from './make-capture.ts'
import { machine, median, type Run, repeat, runOnOneCore, spread } from './measure.ts'
import { defaultShape } from './traffic.ts'

const { values } = parseArgs({
  options: {
    sessions: { type: 'string' },
    runs: { type: 'string', default: '3' },
    packets: { type: 'string', default: String(defaultShape.packets) },
  },
})
const runs = Number(values.runs)
const folder = mkdtempSync(join(tmpdir(), 'proclabel-bench-'))
const proclabel = `${process.execPath} services/cli/proclabel.mjs`
const wall = (results: readonly Run[]) => median(results.map(({ wallS }) => wallS))
const run = (command: string) => repeat(runs, () => runOnOneCore(command))

async function labeledDay(): Promise<string> {
  const file = join(folder, 'day.jsonl')
  const conditions = () => ({ events: false, lostShare: 0, periodUs: 50_000, downs: [], offsetUs: 20_000, driftPpm: 1 })
  const { final } = await scoreInputs(new Day({ ...sourceDay, conditions, mirror: goodMirror }), defaultConstants)
  for (const { session } of final) appendFileSync(file, `${JSON.stringify(session)}\n`)
  return file
}

function row(name: string, count: number, results: readonly Run[], base: number): void {
  const cpu = spread(results.map(({ cpuS }) => cpuS))
  const peak = Math.round(Math.max(...results.map(({ peakMiB }) => peakMiB)))
  const rate = Math.round(count / wall(results)).toLocaleString('en-US')
  const walls = spread(results.map(({ wallS }) => wallS))
  console.log(`| ${name} | ${rate} | ${walls} | ${cpu} | ${(wall(results) / base).toFixed(2)} × | ${peak} |`)
}

async function exports(day: string): Promise<void> {
  const lines = readFileSync(day, 'utf8').trimEnd().split('\n')
  const more = join(folder, 'four-days.jsonl')
  for (let day = 0; day < 4; day++) {
    const moved = lines.map(line => {
      const session = JSON.parse(line) as LabeledSession
      const session_id = `${day}${session.session_id.slice(1)}`
      const first_us = session.first_us + day * 86_400_000_000
      return JSON.stringify({ ...session, session_id, first_us, last_us: first_us })
    })
    appendFileSync(more, `${moved.join('\n')}\n`)
  }
  const out = join(folder, 'out')
  const python = join(await pythonTools('duckdb==2.0.0', 'scikit-learn==1.9.1'), 'python')
  const script = join(folder, 'to_parquet.py')
  writeFileSync(
    script,
    `import duckdb
duckdb.sql("SET threads = 1")
duckdb.sql("""COPY (SELECT *, CAST(make_timestamp(first_us) AS DATE) AS day FROM read_ndjson('${day}'))
TO '${out}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (day, host_id))""")
`,
  )
  console.log(
    '| To Parquet | sessions/s | wall s | CPU s | time of DuckDB | peak MiB |\n| --- | --- | --- | --- | --- | --- |',
  )
  const duckdb = run(`rm -rf ${out}; ${python} ${script}`)
  row('DuckDB, `COPY` of JSON lines by day and host', lines.length, duckdb, wall(duckdb))
  row('`export FILE`', lines.length, run(`rm -rf ${out}; ${proclabel} export ${day} --out ${out}`), wall(duckdb))
  const records = join(folder, 'records')
  const fd = openSync(records, 'w')
  for (const line of lines) {
    const value = codecs['labeled-sessions'].encode(JSON.parse(line))
    const length = Buffer.alloc(4)
    length.writeUInt32LE(value.length)
    writeSync(fd, Buffer.concat([length, value]))
  }
  closeSync(fd)
  const topic = `${process.execPath} --max-semi-space-size=16 services/e2e/bench/export-topic.ts ${records} ${out}`
  row('`export` of the topic, behind Kafka', lines.length, run(`rm -rf ${out}; ${topic}`), wall(duckdb))
  const four = run(`rm -rf ${out}; ${proclabel} export ${more} --out ${out}`)
  row('`export FILE` of four days', 4 * lines.length, four, 4 * wall(duckdb))
}

function annotations(): void {
  console.log(
    '\n| Labeled pcapng | packets/s | wall s | CPU s | time of editcap | peak MiB |\n| --- | --- | --- | --- | --- | --- |',
  )
  for (const frameBytes of [64, 700]) {
    const [capture, sockets, sessions, out] = ['c.pcap', 'sockets', 's.jsonl', 'o.pcapng'].map(n => join(folder, n))
    const fd = openSync(capture!, 'w')
    const made = writeCapture(fd, { ...defaultShape, packets: Number(values.packets), frameBytes }, sockets!)
    closeSync(fd)
    runOnOneCore(`${proclabel} label ${capture} --sockets ${sockets} --quiet --out ${sessions}`)
    const editcap = run(`editcap ${capture} ${out}`)
    row(`${frameBytes} B, \`editcap FILE\``, made.packets, editcap, wall(editcap))
    const annotate = `${proclabel} annotate ${capture} --sessions ${sessions} --pcapng ${out}`
    row(`${frameBytes} B, \`annotate FILE\`, ${made.sessions} sessions`, made.packets, run(annotate), wall(editcap))
    rmSync(sockets!, { recursive: true })
  }
}

async function page(day: string): Promise<void> {
  const html = join(folder, 'report.html')
  const made = runOnOneCore(`${proclabel} report ${day} --html ${html}`)
  const chromium = await startChromium()
  const readyMs: number[] = []
  for (let i = 0; i < 2 * runs; i++) {
    const opened = await chromium.newPage()
    await opened.goto(`file://${html}`)
    await opened.waitForFunction('document.body.dataset.ready')
    readyMs.push(Number(await opened.evaluate('document.body.dataset.ready')))
    await opened.close()
  }
  await chromium.close()
  console.log(
    `\nPage: made in ${made.wallS.toFixed(1)} s, ${made.peakMiB.toFixed(0)} MiB; ${readFileSync(html).length} bytes; usable ${spread(readyMs, 0)} ms after it was asked for`,
  )
}

try {
  console.log(`${machine()}; ${runs} runs, median (lowest to highest)\n`)
  const day = values.sessions ?? (await labeledDay())
  await exports(day)
  annotations()
  await page(day)
} finally {
  rmSync(folder, { recursive: true })
}
