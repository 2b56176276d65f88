import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, before, test } from 'node:test'
import type { Label, LabeledSession } from '#schemas'
import { buildSingleFile } from '../../deploy/single-file/build.ts'
import { proclabel } from '../lab/recording.ts'
import { readSessions } from '../lab/truth.ts'
import { SvchostServices } from './svchost.ts'
import { Wine, whatWineNeeds } from './wine.ts'

/** The Windows agent under Wine: what it shows of a real Windows, and what it does not, is in services/deploy/windows/README.md. */
const missing = whatWineNeeds()
const options = { skip: missing ?? false }

let folder: string
let wine: Wine
let program: string

before(async () => {
  if (missing) return
  folder = mkdtempSync(path.join(tmpdir(), 'proclabel-wine-'))
  wine = await Wine.create(folder)
  program = path.join(folder, 'proclabel.exe')
  await buildSingleFile('windows', program)
})
after(() => {
  wine?.close()
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
  assert.match(said, /^# pass 4\r?\n# fail 0\r?\n# cancelled 0\r?\n# skipped 2\r?$/m)
})

test(
  'a recording that the one-file agent made under Wine labels the traffic of Windows programs',
  options,
  async () => {
    const [ends, client] = [path.join(folder, 'ends.json'), path.join(import.meta.dirname, 'client.mjs')]
    const { sessions, said } = await labeledWhile(
      'programs',
      `$WINE_NODE '${client}' '${ends}' > ${folder}/client.txt 2>&1 < /dev/null || exit 9; `,
    )
    assert.match(said, /^no kernel events by etw: .+/m)
    const { pid, tcp, udp } = JSON.parse(readFileSync(ends, 'utf8')) as { pid: number; tcp: number[]; udp: number[] }
    for (const port of tcp) assertLabel(sessions, 'tcp', port, { process: 'node.exe', pid, service: null })
    for (const port of udp) assertLabel(sessions, 'udp', port, { process: 'node.exe', pid, service: null })
  },
)

test(
  'the traffic of a svchost.exe is labeled with the service that it hosts, told from that of others',
  options,
  async () => {
    const services = await SvchostServices.create(wine, { Lonely: 'alone', Left: 'several', Right: 'several' })
    const { sessions } = await labeledWhile('services', `${services.start} sleep 5; `)
    const all = ['Lonely', 'Left', 'Right'].map(service => ({ service, ...services.spoken(service) }))
    assert.equal(new Set(all.map(({ pid }) => pid)).size, all.length)
    for (const { service, pid, tcp, udp } of all) {
      assertLabel(sessions, 'tcp', tcp, { process: 'svchost.exe', pid, service })
      assertLabel(sessions, 'udp', udp, { process: 'svchost.exe', pid, service })
    }
  },
)

test('what cannot be made a service, or is none, says so in a sentence', options, async () => {
  const refusals: [command: string, status: number, sentence: RegExp][] = [
    ['install --brokers nowhere', 2, /^proclabel: brokers: expected host:port, got 'nowhere'$/],
    [
      'install --brokers 127.0.0.1:9092 --kafka-username agent --kafka-password secret',
      2,
      /^proclabel: every user can read how a service is started: give --kafka-password-file$/,
    ],
    ['service --brokers 127.0.0.1:9092', 2, /^proclabel: 'service' is for Windows to start: 'install' makes a service/],
    ['uninstall', 5, /^proclabel: sc\.exe delete: ./],
  ]
  const out = (place: number) => path.join(folder, `refused-${place}.txt`)
  const lines = refusals.map(
    ([command], place) => `$WINE ${program} ${command} > ${out(place)} 2>&1 < /dev/null; echo $?; `,
  )
  const { output } = await wine.run(lines.join(''))
  assert.deepEqual(
    output.trim().split('\n').map(Number),
    refusals.map(([, status]) => status),
  )
  for (const [place, [, , sentence]] of refusals.entries())
    assert.match(readFileSync(out(place), 'utf8').trim(), sentence)
})

/** What `label` makes of the packets and of the recording of this Windows while a script ran. */
async function labeledWhile(name: string, script: string): Promise<{ sessions: LabeledSession[]; said: string }> {
  const [capture, sockets, said, labeled] = ['pcap', 'sockets', 'txt', 'jsonl'].map(kind =>
    path.join(folder, `${name}.${kind}`),
  ) as [string, string, string, string]
  const { status, errors } = await wine.run(
    [
      `tcpdump -i lo -w ${capture} -Z root -B 16384 --immediate-mode & dump=$!; `,
      `$WINE ${program} record --out '${sockets}' --host desk --events best > ${said} 2>&1 < /dev/null & record=$!; `,
      `until grep -qs socket-snapshots ${sockets}/* || ! kill -0 $record; do sleep 0.1; done; `,
      script,
      // A record is one write a second at most: what was seen is in the log by then.
      'sleep 3; kill -KILL $record; kill $dump; wait $dump',
    ].join(''),
  )
  const output = readFileSync(said, 'utf8')
  assert.equal(status, 0, output + errors)
  execFileSync(process.execPath, [proclabel, 'label', capture, '--sockets', sockets, '--out', labeled, '--quiet'])
  return { sessions: readSessions(labeled), said: output }
}

function assertLabel(sessions: LabeledSession[], proto: string, port: number, wanted: Partial<Label>): void {
  const found = sessions.filter(session => session.proto === proto && session.local_port === port)
  assert.ok(found.length > 0, `no session of ${proto} ${port}`)
  for (const { label, stage } of found) {
    const told = label && { process: label.process, pid: label.pid, service: label.service }
    assert.deepEqual({ ...told, stage }, { ...wanted, stage: 'A' }, `${proto} ${port}`)
  }
}
