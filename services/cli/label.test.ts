import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, suite, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'

/** The command as a user calls it, on the bundled recording and on damaged copies of it. */
const proclabel = fileURLToPath(new URL('proclabel.mjs', import.meta.url))
const sample = fileURLToPath(new URL('../embedded/sample', import.meta.url))
const capture = `${sample}/capture.pcap.gz`
const log = `${sample}/sockets.jsonl.gz`
const pcap = gunzipSync(readFileSync(capture))
const logText = gunzipSync(readFileSync(log)).toString()

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-label-'))
after(() => rmSync(folder, { recursive: true, force: true }))

function file(name: string, content: string | Uint8Array): string {
  const made = path.join(folder, name)
  writeFileSync(made, content)
  return made
}

interface Outcome {
  status: number | null
  sessions: { session_id: string; label: { process: string } | null; evidence: object }[]
  stderr: string
}

/** Runs a program that prints JSON lines. */
async function runCommand(command: string, args: readonly string[], input?: Uint8Array): Promise<Outcome> {
  const child = spawn(command, args, { stdio: 'pipe', timeout: 60_000, cwd: folder })
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', chunk => out.push(chunk))
  child.stderr.on('data', chunk => err.push(chunk))
  child.stdin.on('error', () => {}) // it ended without reading all
  child.stdin.end(input)
  const status = await new Promise<number | null>(resolve => child.once('close', resolve))
  const lines = Buffer.concat(out).toString().split('\n').filter(Boolean)
  return { status, sessions: lines.map(line => JSON.parse(line)), stderr: Buffer.concat(err).toString() }
}

const label = (...args: string[]) => runCommand(process.execPath, [proclabel, 'label', ...args])

const labeled = ({ sessions }: Outcome) => sessions.filter(session => session.label !== null).length

/**
 * Sessions by id, without the clock offset: it is estimated while packets and log come in, whose common order has no
 * promise, and varies by milliseconds with the sizes in which they are read.
 */
const comparable = ({ sessions }: Outcome) =>
  sessions
    .map(session => ({ ...session, evidence: { ...session.evidence, clock_offset_us: null } }))
    .sort((a, b) => (a.session_id < b.session_id ? -1 : 1))

/** Each packet record of a pcap file. */
function packetRecords(): Uint8Array[] {
  const records: Uint8Array[] = []
  for (let at = 24; at < pcap.length; ) {
    const length = 16 + pcap.readUInt32LE(at + 8)
    records.push(pcap.subarray(at, at + length))
    at += length
  }
  return records
}

const captureOf = (records: readonly Uint8Array[]) => Buffer.concat([pcap.subarray(0, 24), ...records])

/** The log with every moment moved. */
const shiftedLog = (byUs: number) =>
  logText.replace(/("\w+_us":)(\d{16})/g, (_, name, us) => `${name}${Number(us) + byUs}`)

suite('label', { concurrency: 2 }, () => {
  test('a whole capture and log: all read, sessions labeled', async () => {
    const outcome = await label(capture, '--sockets', log)
    assert.equal(outcome.status, 0)
    assert.match(outcome.stderr, new RegExp(`^records ${packetRecords().length} read, 0 skipped$`, 'm'))
    assert.ok(labeled(outcome) > 100, `${labeled(outcome)} labeled`)
  })

  test('a link type that is not decoded is read and named', async () => {
    const usb = Buffer.from(pcap)
    usb.writeUInt32LE(189, 20)
    const outcome = await label(file('usb.pcap', usb))
    assert.equal(outcome.status, 0)
    assert.deepEqual(outcome.sessions, [])
    assert.match(outcome.stderr, /^cannot decode link type LINKTYPE_USB_LINUX \(189\)$/m)
  })

  const unusable: [what: string, args: () => string[], message: RegExp][] = [
    ['a missing capture', () => ['absent.pcap'], /absent\.pcap does not exist$/],
    ['a folder without captures', () => [emptyFolder], /^proclabel: no capture \(\*\.pcap, .*\) in \S+$/],
    ['an empty file', () => [file('zero.pcap', '')], /zero\.pcap is empty$/],
    ['a text', () => [file('text.pcap', 'hello '.repeat(100))], /text\.pcap is not a pcap or pcapng capture$/],
    ['a gzip file of something else', () => [log], /sockets\.jsonl\.gz is not a pcap or pcapng capture$/],
    ['a missing socket log', () => [capture, '--sockets', 'absent.jsonl'], /absent\.jsonl: there is no such file$/],
    ['an empty socket log', () => [capture, '--sockets', file('zero.jsonl', '')], /zero\.jsonl is empty$/],
    ['a folder without socket logs', () => [capture, '--sockets', emptyFolder], /holds no socket log \(.*\)$/],
    ['a capture as socket log', () => [capture, '--sockets', capture], /is neither a socket log nor .*$/],
    [
      'an output that cannot be made',
      () => [capture, '--out', '/absent/out'],
      /^proclabel: cannot write \/absent\/out: /,
    ],
    ['an unknown option', () => [capture, '--bogus'], /^error: unknown option '--bogus'/],
    [
      'a wrong choice',
      () => [capture, '--profile', 'mine'],
      /'mine' is invalid\. Allowed choices are default, paper\./,
    ],
    [
      'wrong constants, all named at once',
      () => [capture, '--set', 'holdUs=soon', '--set', 'bogus=1'],
      /^proclabel: holdUs must be a number of at least 0, got '"soon"'; 'bogus' is not a matching constant$/,
    ],
  ]
  const emptyFolder = path.join(folder, 'empty')
  mkdirSync(emptyFolder)
  for (const [what, args, message] of unusable) {
    test(`${what} is one sentence and exit status 2`, async () => {
      const { status, sessions, stderr } = await label(...args())
      assert.match(stderr.trimEnd().split('\n')[0]!, message)
      assert.doesNotMatch(stderr, /^ {4}at /m, 'no stack trace')
      assert.ok(stderr.split('\n').length <= 3, stderr)
      assert.equal(status, 2)
      assert.deepEqual(sessions, [])
    })
  }

  test('files that may not be read', async t => {
    const root = process.getuid?.() === 0
    const closed = [file('closed.pcap', pcap), file('closed.jsonl', logText)] as const
    for (const made of closed) chmodSync(made, 0)
    // Root is asked for no permission while it has these capabilities.
    const withoutRights = ['--bounding-set=-dac_override,-dac_read_search', process.execPath, proclabel]
    const run = (...args: string[]) =>
      root ? runCommand('setpriv', [...withoutRights, 'label', ...args]) : label(...args)
    const noCapture = await run(closed[0])
    if (/setpriv: /.test(noCapture.stderr)) return t.skip('setpriv cannot take capabilities away here')
    assert.match(noCapture.stderr, /^proclabel: no permission to read \S+closed\.pcap\n$/)
    assert.equal(noCapture.status, 2)
    const noLog = await run(capture, '--sockets', closed[1])
    assert.match(noLog.stderr, /^proclabel: socket log \S+closed\.jsonl: no permission to read it\n$/)
    assert.equal(noLog.status, 2)
  })

  test('a cut capture: what is there is labeled, the cut is counted, exit status 3', async () => {
    const cut = file('cut.pcap', pcap.subarray(0, Math.floor(pcap.length / 2)))
    const outcome = await label(cut, '--sockets', log)
    assert.match(outcome.stderr, /^records \d{3} read, 1 skipped \(1 truncated-record\)$/m)
    assert.ok(labeled(outcome) > 20)
    assert.equal(outcome.status, 3)
  })

  test('cut and corrupt gzip: what could be inflated is labeled, exit status 3', async () => {
    const gzip = readFileSync(capture)
    const cut = await label(file('cut.pcap.gz', gzip.subarray(0, gzip.length / 2)), '--sockets', log)
    assert.match(cut.stderr, /^records \d{3} read, 1 skipped \(1 truncated-gzip\)$/m)
    assert.ok(labeled(cut) > 20)
    assert.equal(cut.status, 3)
    const corrupt = Buffer.from(gzip).fill(0xff, gzip.length >> 1, (gzip.length >> 1) + 64)
    const damaged = await label(file('corrupt.pcap.gz', corrupt), '--sockets', log)
    assert.match(damaged.stderr, /^records \d{3} read, [1-9]\d* skipped \(.+\)$/m)
    assert.ok(labeled(damaged) > 20)
    assert.equal(damaged.status, 3)
  })

  test('a capture without packets says so, exit status 0', async () => {
    const { status, stderr } = await label(file('none.pcap', pcap.subarray(0, 24)), '--sockets', log)
    assert.match(stderr, /^records 0 read, 0 skipped\nproclabel: \S+none\.pcap holds no packets$/m)
    assert.equal(status, 0)
  })

  test('the socket log of another host: the sentence names it, exit status 4', async () => {
    const elsewhere = logText
      .replaceAll('192.0.2.10', '203.0.113.9')
      .replaceAll('2001:db8::10', '2001:db8:9::9')
      .replaceAll(/fe80:[0-9a-f:]+/g, 'fe80::9')
      .replaceAll('"desk"', '"shelf"')
    const { status, sessions, stderr } = await label(capture, '--sockets', file('other.jsonl', elsewhere))
    assert.match(
      stderr,
      /^proclabel: the socket log is of another host: no packet of the capture is to or from shelf \(.*203\.0\.113\.9.*\)$/m,
    )
    assert.equal(status, 4)
    assert.ok(sessions.length > 100, 'the sessions are told all the same')
  })

  for (const [days, order] of [
    [-3, 'ends before the capture begins'],
    [3, 'begins after the capture ends'],
  ] as const) {
    test(`no overlap in time: says that the log ${order} and by how much, exit status 4`, async () => {
      const moved = file(`moved${days}.jsonl`, shiftedLog(days * 86_400_000_000))
      const { status, stderr } = await label(capture, '--sockets', moved)
      assert.match(
        stderr,
        new RegExp(`^proclabel: the socket log of desk ${order}, by 3\\.0 days: nothing can match$`, 'm'),
      )
      assert.equal(status, 4)
    })
  }

  test('bad lines of a log are counted by reason, the first is shown, the rest is used, exit status 3', async () => {
    const lines = logText.trimEnd().split('\n')
    const bad = [
      lines[0],
      '{"topic":"hosts"',
      '{"topic":"weather"}',
      '{"topic":"hosts","host_id":7}',
      ...lines.slice(1),
      '',
    ]
    const outcome = await label(capture, '--sockets', file('bad.jsonl', bad.join('\n')))
    assert.match(
      outcome.stderr,
      new RegExp(
        `^socket log lines ${lines.length} read, 3 skipped \\(1 not-json, 1 unknown-topic, 1 invalid-record\\)$`,
        'm',
      ),
    )
    assert.match(outcome.stderr, /^skipped \S+bad\.jsonl, line 2: /m)
    assert.ok(labeled(outcome) > 100)
    assert.equal(outcome.status, 3)
  })

  test('a log that is cut, plain or gzip: the part that is there is used, exit status 3', async () => {
    const plain = await label(capture, '--sockets', file('cut.jsonl', logText.slice(0, logText.length / 2)))
    assert.match(plain.stderr, /^socket log lines \d+ read, 1 skipped \(1 cut-line\)$/m)
    const gzip = readFileSync(log)
    const zipped = await label(capture, '--sockets', file('cut.jsonl.gz', gzip.subarray(0, gzip.length / 2)))
    assert.match(zipped.stderr, /^socket log lines \d+ read, [1-9] skipped \(.*1 damaged-gzip\)$/m)
    for (const outcome of [plain, zipped]) {
      assert.ok(labeled(outcome) > 20, `${labeled(outcome)} labeled`)
      assert.equal(outcome.status, 3)
    }
  })

  test('standard input is a capture too, plain or gzip', async () => {
    const args = [proclabel, 'label', '-', '--sockets', log, '--quiet']
    for (const input of [pcap, readFileSync(capture)]) {
      const { status, stderr, sessions } = await runCommand(process.execPath, args, input)
      assert.equal(status, 0, stderr)
      assert.ok(sessions.length > 100)
    }
  })

  test('several captures and a folder of them give what one merged capture gives', async () => {
    const whole = await label(capture, '--sockets', log)
    const records = packetRecords()
    const middle = Math.floor(records.length / 2)
    const parts = path.join(folder, 'parts')
    mkdirSync(parts)
    // Named against their order in time; the second half is dealt to two files in turn.
    file('parts/z.pcap', captureOf(records.slice(0, middle)))
    file('parts/b.pcap', captureOf(records.slice(middle).filter((_, i) => i % 2 === 0)))
    file('parts/a.pcap', captureOf(records.slice(middle).filter((_, i) => i % 2 === 1)))
    const ofFolder = await label(parts, '--sockets', log)
    const ofFiles = await label(`${parts}/a.pcap`, `${parts}/z.pcap`, `${parts}/b.pcap`, '--sockets', log)
    assert.deepEqual(comparable(ofFolder), comparable(whole))
    assert.deepEqual(comparable(ofFiles), comparable(whole))
  })

  test('--quiet leaves the line of counts alone', async () => {
    const { stderr } = await label(capture, '--quiet')
    assert.match(stderr, /^records \d+ read, 0 skipped\n$/)
  })

  test('a reader that has seen enough ends it quietly', async () => {
    const shell = `"$0" "$1" label "$2" --quiet | head -n 1; echo "{\\"statuses\\":\\"\${PIPESTATUS[*]}\\"}"`
    const outcome = await runCommand('bash', ['-c', shell, process.execPath, proclabel, capture])
    assert.equal(outcome.sessions.length, 2)
    assert.deepEqual(outcome.sessions[1], { statuses: '0 0' })
    assert.match(outcome.stderr, /^(records \d+ read, 0 skipped\n)?$/)
  })

  test('a full disk is one sentence', async () => {
    const { status, stderr } = await label(capture, '--out', '/dev/full')
    assert.match(stderr, /^proclabel: cannot write \/dev\/full: ENOSPC.*\n$/)
    assert.equal(status, 5)
  })
})
