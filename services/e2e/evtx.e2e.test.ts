import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { ByteReader } from '../agent/byte-reader.ts'
import { readEvtx } from '../agent/evtx.ts'
import { openLog } from '../agent/open-log.ts'
import { importWindowsLog, readWindowsLog, type WindowsLog } from '../agent/windows-log.ts'
import { pythonSource, pythonTools } from '../deploy/tools.ts'

/** https://github.com/omerbenamram/evtx */
const reader = () => pythonTools('evtx==0.14.0')

/** Holds event logs of Windows, and what Winlogbeat made of them, from Beats' own tests. */
const sourceOfLogs = async () => pythonSource(await reader(), 'evtxtoelk==2.2.0')

/** The events of files as that reader has them: lines of a file's number and its JSON. */
const script = `
import gzip, io, sys
from evtx import PyEvtxParser
for number, name in enumerate(sys.argv[1:]):
    for record in PyEvtxParser(io.BytesIO(gzip.open(name).read())).records_json():
        print(number, record['data'].replace('\\n', ' '))
`

/** Every text of an event by its path; what is empty is left out, and the schema's name. */
function textsOf(value: unknown, at = ''): [string, string][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const text = inOneNotation(String(value ?? ''))
    return text === '' ? [] : [[at, text]]
  }
  return Object.entries(value).flatMap(([name, inner]) =>
    name === 'xmlns' ? [] : textsOf(inner, name === '#text' ? at : `${at}/${name}`),
  )
}

/** GUIDs with braces or without, numbers in hexadecimal with zeros or without, times to the microsecond. */
const inOneNotation = (text: string): string =>
  text
    .replace(/^\{?([0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12})\}?$/i, guid => guid.toLowerCase().replace(/[{}]/g, ''))
    .replace(/^0x[0-9A-F]+$/i, number => `0x${BigInt(number).toString(16)}`)
    .replace(
      /^(\d{4}-\d\d-\d\dT[\d:]{8})(?:\.(\d{1,6})\d*)?Z$/,
      (_, time, part = '') => `${time}.${part.padEnd(6, '0')}`,
    )

const sorted = (texts: [string, string][]) => Object.fromEntries(texts.sort(([a], [b]) => (a < b ? -1 : 1)))

test('real event logs of Sysmon, Security and PowerShell, field by field as another reader has them', async t => {
  const bin = await reader()
  const source = await sourceOfLogs()
  const files = globSync(path.join(source, 'tests/data/**/*.evtx.gz')).sort()
  assert.ok(files.length > 30, `${files.length} files`)
  const theirs = execFileSync(path.join(bin, 'python'), ['-c', script, ...files], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
    .trimEnd()
    .split('\n')
    .map(line => line.slice(line.indexOf(' ')))
  const ours: string[] = []
  for (const file of files) {
    const input = new ByteReader(await openLog(file))
    for await (const { text } of readEvtx(input, detail => assert.fail(`${file}: ${detail}`))) ours.push(text!)
  }
  assert.equal(ours.length, theirs.length)
  let fields = 0
  for (const [i, text] of ours.entries()) {
    const texts = textsOf(JSON.parse(text))
    assert.deepEqual(sorted(texts), sorted(textsOf(JSON.parse(theirs[i]!))))
    fields += texts.length
  }
  t.diagnostic(`${fields} fields of ${ours.length} events in ${files.length} files`)
})

test('what Winlogbeat made of the same logs tells the same of processes and connections', async t => {
  const source = await sourceOfLogs()
  const told = (log: WindowsLog) => log.events.flatMap(({ events, processes }) => [...events, ...processes])
  let count = 0
  for (const file of globSync(path.join(source, 'tests/data/**/*.golden.json.gz'))) {
    const documents = JSON.parse(gunzipSync(readFileSync(file)).toString()) as unknown[]
    const lines = documents.map(document => ({ text: JSON.stringify(document), ended: true }))
    const evtx = await readWindowsLog([file.replace('.golden.json', '.evtx')], null)
    assert.deepEqual([evtx.skipped, evtx.firstProblem], [{}, null])
    assert.deepEqual(told(await importWindowsLog(lines, null)), told(evtx), file)
    count += told(evtx).length
  }
  t.diagnostic(`${count} events and processes`)
  assert.ok(count > 30)
})
