import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { sessionOf } from '#shared/session-fixture.ts'

const command = fileURLToPath(new URL('main.ts', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'proclabel-who-'))
const file = join(folder, 'sessions.jsonl')
after(() => rmSync(folder, { recursive: true }))
const sessions = [
  sessionOf({ session_id: 'a', revision: 0, label: null, stage: null, unknown_cause: 'agent-gap' }),
  sessionOf({
    session_id: 'a',
    revision: 1,
    evidence: { ...sessionOf().evidence, owned_from_us: 1_700_000_000_000_001 },
  }),
  sessionOf({ session_id: 'b', proto: 'udp', local_ip: '2001:db8::1', label: null, stage: null, unknown_cause: 'nat' }),
]
writeFileSync(file, sessions.map(session => `${JSON.stringify(session)}\n`).join(''))

const who = (...args: string[]) =>
  new Promise<{ status: number; stdout: string; stderr: string }>(resolve =>
    execFile(process.execPath, [command, 'who', ...args, file], (error, stdout, stderr) =>
      resolve({ status: Number(error?.code ?? 0), stdout, stderr }),
    ),
  )

test('the owner by the latest revision, with the evidence, whichever end is named first', async () => {
  const time = '2023-11-14T22:13:20.000000Z'
  const one = await who('tcp', '10.0.0.1:40000', '192.0.2.1:443', time)
  assert.equal(one.status, 0)
  assert.match(one.stdout, /^curl \(pid 7\) on h1, by stage A: one owner\n/)
  assert.match(one.stdout, /^ {2}owned_from {2}2023-11-14T22:13:20.000001Z$/m)
  assert.deepEqual(await who('tcp', '192.0.2.1:443', '10.0.0.1:40000', time), one)
  const unknown = await who('udp', '[2001:0db8::1]:40000', '192.0.2.1:443', time)
  assert.match(unknown.stdout, /^unknown, nat on h1: one owner$/m)
})

test('a moment that no session covers: what there is, exit status 4; what is no end or time, exit status 2', async () => {
  const late = await who('tcp', '10.0.0.1:40000', '192.0.2.1:443', '2023-11-14T22:13:21.000001Z')
  assert.equal(late.status, 4)
  assert.equal(
    late.stdout,
    'no session of this 5-tuple at 2023-11-14T22:13:21.000001Z; there is 2023-11-14T22:13:20.000000Z to 2023-11-14T22:13:21.000000Z\n',
  )
  assert.match((await who('tcp', '10.0.0.1:40001', '192.0.2.1:443', '2023-11-14')).stdout, /there is none at any time/)
  for (const args of [
    ['10.0.0.1', '192.0.2.1:443', '2023'],
    ['10.0.0.1:1', '192.0.2.1:443', 'noon'],
  ])
    assert.equal((await who('tcp', ...args)).status, 2)
})
