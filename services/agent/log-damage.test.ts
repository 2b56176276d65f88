import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { openSocketLogs } from '../embedded/socket-logs.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-damage-'))
after(() => rmSync(folder, { recursive: true }))

const second = 1_769_860_800
/** Each of ten events or dumps, that differ, so that gzip has something to write. */
const ten = (line: (i: number) => string) => Array.from({ length: 10 }, (_, i) => `${line(i)}\n`).join('')
const logs = {
  ss: ten(
    i => `${second + i}\ntcp ESTAB 0 0 192.0.2.10:${40_000 + i} 198.51.100.1:443 users:(("a",pid=${7 + i},fd=5))`,
  ),
  auditd: ten(i => {
    const stamp = `msg=audit(${second}.10${i}:${i})`
    const call = `arch=c000003e syscall=42 success=yes exit=0 a0=3 pid=${50 + i} comm="curl" exe="/usr/bin/curl"`
    return `type=SYSCALL ${stamp}: ${call}\ntype=SOCKADDR ${stamp}: saddr=020001BBC63364010000000000000000`
  }),
  Sysmon: ten(i =>
    JSON.stringify({
      ...{ UtcTime: `2026-01-31 12:00:0${i}.668`, EventID: 3, Channel: 'Microsoft-Windows-Sysmon/Operational' },
      ...{ Hostname: 'ws5', ProcessId: String(4 + i), Image: 'C:\\a.exe', Protocol: 'tcp', Initiated: 'true' },
      ...{ SourceIp: '192.0.2.10', SourcePort: '40000', DestinationIp: '198.51.100.1', DestinationPort: '443' },
    }),
  ),
}

async function open(name: string, bytes: string | Uint8Array) {
  const file = path.join(folder, name)
  writeFileSync(file, bytes)
  const opened = await openSocketLogs([file], null, ['192.0.2.10'])
  const records: string[] = []
  for await (const { value } of opened.records()) records.push(value.toString('hex'))
  return { records, skipped: opened.skipped, notes: opened.notes }
}

for (const [kind, text] of Object.entries(logs)) {
  test(`${kind}: CR LF, UTF-16 and a byte order mark change nothing`, async () => {
    const plain = await open('a.log', text)
    assert.deepEqual([plain.skipped, plain.records.length > 1], [{}, true])
    const swapped = Buffer.from(`\ufeff${text}`, 'utf16le').swap16()
    for (const bytes of [`\ufeff${text}`, Buffer.from(`\ufeff${text}`, 'utf16le'), swapped]) {
      const { records, skipped } = await open('a.log', bytes)
      assert.deepEqual([skipped, records], [{}, plain.records])
    }
    const { records, skipped } = await open('a.log', text.replaceAll('\n', '\r\n'))
    // Of Windows events the bytes of the file are part of their run's name.
    assert.deepEqual([skipped, records.length], [{}, plain.records.length])
  })

  test(`${kind}: a last line that is cut is told, not guessed at`, async () => {
    const { skipped, notes } = await open('cut.log', text.slice(0, -14))
    assert.deepEqual(skipped, { 'cut-line': 1 })
    if (kind !== 'Sysmon') assert.match(notes.join(), /cut\.log, line \d+: /)
  })

  test(`${kind}: a log that begins within a line`, async () => {
    const { records, skipped } = await open('begun.log', text.slice(text.indexOf('\n') - 8))
    assert.ok(records.length > 1, `${records.length} records`)
    // Of ss it is the time of a dump, whose socket is then of none.
    const expected = { ss: { 'invalid-record': 2 }, auditd: { 'invalid-record': 1 }, Sysmon: { 'not-json': 1 } }[kind]
    assert.deepEqual(skipped, expected)
  })

  test(`${kind}: of a small gzip file that is cut, all before the cut is read`, async () => {
    const whole = gzipSync(text)
    const { records, skipped, notes } = await open('cut.log.gz', whole.subarray(0, whole.length - 20))
    assert.ok(records.length > 1, `${records.length} records`)
    assert.equal(skipped['damaged-gzip'], 1)
    assert.match(notes.join(), /cut\.log\.gz.*unexpected end of file/)
  })
}

test('a log of which nothing is left says what is wrong with it', async () => {
  const line = `type=SYSCALL msg=audit(${second}.100:1): ${Array.from({ length: 500 }, (_, i) => i * i).join()}`
  const whole = gzipSync(line)
  await assert.rejects(open('none.log.gz', whole.subarray(0, whole.length / 2)), {
    message: /no record in .*none\.log\.gz names a host; skipped .*: unexpected end of file/,
  })
})
