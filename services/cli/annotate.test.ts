import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { udp } from '#core/decode/build-frame.ts'
import { exitCodes } from '#shared/exit-codes.ts'
import { at, block, desk, directory, type Frame, frame, host, laptop, web } from '../capture/capture-fixture.ts'
import { createCapture } from '../capture/create-capture.ts'
import { HostFiles } from '../capture/host-files/host-files.ts'

const run = promisify(execFile)
const command = fileURLToPath(new URL('main.ts', import.meta.url))
const annotate = (...args: string[]) => run(process.execPath, [command, 'annotate', ...args])

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-annotate-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

/** A labeled session of UDP between port 1 of one host and port 2 of another, as far as `annotate` reads it. */
const session = (hostId: string, local: string, remote: string, process: string) => ({
  ...{
    session_id: `${hostId}-${remote}`,
    revision: 0,
    state: 'closed',
    host_id: hostId,
    proto: 'udp',
    direction: 'out',
  },
  ...{ local_ip: local, local_port: local === desk ? 1 : 2, remote_ip: remote, remote_port: local === desk ? 2 : 1 },
  ...{ first_us: at(0), last_us: at(600_000), packets_out: 1, packets_in: 0, bytes_out: 1, bytes_in: 0, tcp_flags: 0 },
  ...{ label: { process, pid: 7 }, stage: 'A', evidence: {}, splt: [] },
})

/** Captures by host and minute as `capture --files` writes them. */
async function writeHostFiles(folder: string, frames: readonly Frame[]): Promise<void> {
  const hosts = directory(host('desk', desk), host('laptop', laptop))
  const capture = createCapture({ sensorId: 's', runId: 'r', hosts, keepUnmonitored: false, snapLength: 1000 })
  const log = { info: () => {}, warn: () => {} }
  const files = await HostFiles.open({ folder, compression: 'gzip', maxBytes: 1e9, maxAgeUs: null, log })
  for (const one of frames) {
    capture.add(block(one))
    files.write(capture.takeFrames(), capture.nowUs)
  }
  capture.flush()
  files.write(capture.takeFrames(), capture.nowUs)
  await files.close()
}

async function packetsOf(file: string): Promise<string[]> {
  const fields = ['frame.time_epoch', 'ip.src', 'ip.dst', 'frame.comment'].flatMap(name => ['-e', name])
  const { stdout } = await run('tshark', ['-r', file, '-T', 'fields', '-E', 'separator=|', ...fields])
  return stdout.trimEnd().split('\n')
}

test('of a folder of captures by host, a packet between two of them is written once, with the processes of both', async t => {
  const folder = temporary(t)
  const frames = Array.from({ length: 400 }, (_, i) => {
    const [from, to] = i % 2 === 0 ? [desk, laptop] : [desk, web]
    return frame(i * 500, from!, to!, 17, udp(1, 2, new Uint8Array(i % 50)))
  })
  await writeHostFiles(join(folder, 'hosts'), frames)
  const [sessions, labeled, each] = [join(folder, 's.jsonl'), join(folder, 'labeled.pcapng'), join(folder, 'each')]
  const lines = [
    session('desk', desk, laptop, 'curl'),
    session('desk', desk, web, 'curl'),
    session('laptop', laptop, desk, 'nginx'),
  ]
  writeFileSync(sessions, lines.map(line => `${JSON.stringify(line)}\n`).join(''))
  const { stderr } = await annotate(
    ...[join(folder, 'hosts'), '--sessions', sessions, '--pcapng', labeled, '--per-process', each],
  )
  assert.match(stderr, /packets 600: 400 labeled, .*, 200 in the files of two hosts and written once/)
  const curl = 'process=curl pid=7 stage=A host=desk'
  const nginx = 'process=nginx pid=7 stage=A host=laptop'
  const expected = frames.map(({ ms }, i) => {
    const ends = i % 2 === 0 ? `${desk}|${laptop}` : `${desk}|${web}`
    return `${(at(ms) / 1e6).toFixed(9)}|${ends}|${i % 2 === 0 ? `${curl},${nginx}` : curl}`
  })
  assert.deepEqual(await packetsOf(labeled), expected)
  assert.deepEqual(await packetsOf(join(each, 'curl.pcapng')), expected)
  assert.deepEqual(
    await packetsOf(join(each, 'nginx.pcapng')),
    expected.filter((_, i) => i % 2 === 0),
  )
})

test('what cannot be used is said in a sentence: no sessions, no place to write to', async t => {
  const folder = temporary(t)
  const [capture, sessions] = [join(folder, 'hosts'), join(folder, 's.jsonl')]
  await writeHostFiles(capture, [frame(0, desk, web, 17, udp(1, 2, new Uint8Array(1)))])
  writeFileSync(sessions, '{}\nnot JSON\n')
  await assert.rejects(
    annotate(capture, '--sessions', sessions, '--pcapng', join(folder, 'o')),
    /s\.jsonl holds no labeled sessions/,
  )
  writeFileSync(sessions, `{}\n${JSON.stringify(session('desk', desk, web, 'curl'))}`)
  await assert.rejects(
    annotate(capture, '--sessions', sessions, '--pcapng', join(folder, 'none', 'o')),
    /cannot write .*none/,
  )
  const { code, stderr } = await annotate(capture, '--sessions', sessions, '--pcapng', join(folder, 'o')).catch(e => e)
  assert.equal(code, exitCodes.damagedInput)
  assert.match(stderr, /1 lines of .* are not labeled sessions/)
})
