import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { globSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { ByteReader } from '../agent/byte-reader.ts'
import { readEvtx } from '../agent/evtx.ts'
import { openLog } from '../agent/open-log.ts'
import { readWindowsLog } from '../agent/windows-log.ts'
import { pythonSource, pythonTools } from '../deploy/tools.ts'

/** The events of files as the reader of https://github.com/omerbenamram/evtx has them: lines of a file's number and its JSON. */
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
  const bin = await pythonTools('evtx==0.14.0')
  const source = await pythonSource(bin, 'evtxtoelk==2.2.0')
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

  const sysmon = files.filter(file => file.endsWith('sysmon-9.01.evtx.gz'))
  const { connections, events, skipped } = await readWindowsLog(sysmon, 'sysmon')
  assert.deepEqual([connections, skipped], [{ sysmon: 16, security: 0 }, {}])
  const chrome = events.flatMap(message => message.events).filter(({ kind }) => kind === 'connect')
  assert.deepEqual(
    chrome.map(({ pid, local_port, remote_ip, remote_port }) => [pid, local_port, remote_ip, remote_port]),
    [
      [1600, 1138, '40.77.226.250', 443],
      [1600, 1139, '40.77.226.250', 443],
    ],
  )
})
