import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import { buildSingleFile } from '../../deploy/single-file/build.ts'
import { proclabel } from '../lab/recording.ts'
import { readSessions } from '../lab/truth.ts'
import { Wine, whatWineNeeds } from './wine.ts'

/** The Windows agent under Wine: what it shows of a real Windows, and what it does not, is in services/deploy/windows/README.md. */
const missing = whatWineNeeds()
const options = { skip: missing ?? false }

let folder: string
let wine: Wine

before(async () => {
  if (missing) return
  folder = mkdtempSync(path.join(tmpdir(), 'proclabel-wine-'))
  wine = await Wine.create(folder)
})
after(() => {
  if (folder) rmSync(folder, { recursive: true, force: true })
})

test('the tests of the Windows sources pass under Wine', options, async t => {
  const out = path.join(folder, 'tests.tap')
  const { status, errors } = await wine.run(
    `$WINE_NODE --test-reporter=tap --test-force-exit services/agent/windows.test.ts > ${out} 2>&1 < /dev/null`,
  )
  const said = readFileSync(out, 'utf8')
  for (const line of said.match(/^# .* ms a poll.*$/gm) ?? []) t.diagnostic(line.slice(2))
  assert.equal(status, 0, said + errors)
  assert.match(said, /^# pass 4\r?\n# fail 0\r?\n# cancelled 0\r?\n# skipped 0\r?$/m)
})

test(
  'a recording that the one-file agent made under Wine labels the traffic of Windows programs',
  options,
  async () => {
    const [capture, sockets, ends, said] = ['capture.pcap', 'sockets', 'ends.json', 'record.txt'].map(name =>
      path.join(folder, name),
    ) as [string, string, string, string]
    const program = path.join(folder, 'proclabel.exe')
    await buildSingleFile('windows', program)
    const client = path.join(import.meta.dirname, 'client.mjs')
    const { status, errors } = await wine.run(
      [
        `tcpdump -i lo -w ${capture} -Z root -B 16384 --immediate-mode & dump=$!; `,
        `$WINE ${program} record --out '${sockets}' --host desk --events best > ${said} 2>&1 < /dev/null & record=$!; `,
        `until grep -qs socket-snapshots ${sockets}/* || ! kill -0 $record; do sleep 0.1; done; `,
        `$WINE_NODE '${client}' '${ends}' > ${folder}/client.txt 2>&1 < /dev/null || exit 9; `,
        // A record is one write a second at most: what was seen is in the log by then.
        'sleep 3; kill -KILL $record; kill $dump; wait $dump',
      ].join(''),
    )
    const output = readFileSync(said, 'utf8')
    assert.equal(status, 0, output + errors)
    assert.match(output, /^no kernel events by etw: .+/m)
    const labeled = path.join(folder, 'labeled.jsonl')
    execFileSync(process.execPath, [proclabel, 'label', capture, '--sockets', sockets, '--out', labeled, '--quiet'])
    const { pid, tcp, udp } = JSON.parse(readFileSync(ends, 'utf8')) as { pid: number; tcp: number[]; udp: number[] }
    const sessions = readSessions(labeled)
    for (const [proto, ports] of [
      ['tcp', tcp],
      ['udp', udp],
    ] as const) {
      for (const port of ports) {
        const found = sessions.filter(session => session.proto === proto && session.local_port === port)
        assert.ok(found.length > 0, `no session of ${proto} ${port}`)
        for (const { label, stage } of found)
          assert.deepEqual([label?.process, label?.pid, stage], ['node.exe', pid, 'A'], `${proto} ${port}`)
      }
    }
  },
)
