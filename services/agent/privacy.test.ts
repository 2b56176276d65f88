import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { after, test } from 'node:test'
import type { Process, SocketEvents } from '#schemas'
import { type Hideable, Privacy } from './privacy.ts'

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-privacy-'))
after(() => rmSync(folder, { recursive: true }))
const key = randomBytes(32)
const keyFile = path.join(folder, 'key')
writeFileSync(keyFile, key)

const process: Process = {
  pid: 7,
  start_us: 1,
  name: 'ssh',
  path: '/home/ada/bin/ssh',
  parent_pid: 1,
  services: ['ssh.service'],
  container_id: null,
  pod: null,
  parent_name: null,
  container_image: null,
  user: 'ada',
}
const record: SocketEvents = {
  host_id: 'desk',
  run_id: 'run',
  seq: 0,
  source: 'tracepoint',
  complete: true,
  lost: 0,
  until_us: 1,
  events: [],
  processes: [process],
}
const told = (hidden: Hideable[], file: string | null = keyFile) =>
  new Privacy(hidden, file).apply('socket-events', record).processes[0]

test('nothing is left out unless asked for; each part alone', () => {
  assert.deepEqual(told([], null), process)
  assert.deepEqual(told(['paths'], null), { ...process, path: null })
  assert.deepEqual(told(['users'], null), { ...process, user: null })
})

test('names and services become keyed hashes, the same wherever the key is', () => {
  const hash = (text: string) => createHmac('sha256', key).update(text).digest('hex').slice(0, 16)
  const covered = { ...process, path: null, user: null, name: hash('ssh'), services: [hash('ssh.service')] }
  assert.deepEqual(told(['paths', 'users', 'names']), covered)
  assert.doesNotMatch(JSON.stringify(covered), /ssh|ada|home/)
  const other = path.join(folder, 'other')
  writeFileSync(other, randomBytes(32))
  assert.notEqual(told(['names'], other)!.name, covered.name)
})

test('a key that is missing, absent or short is refused in a sentence', () => {
  const short = path.join(folder, 'short')
  writeFileSync(short, 'secret')
  assert.throws(() => told(['names'], null), { code: 'PROCLABEL_CONFIG', message: /give --hide-key-file/ })
  assert.throws(() => told(['names'], path.join(folder, 'absent')), { message: /^cannot read the key .*absent/ })
  assert.throws(() => told(['names'], short), { message: /has 6 bytes, fewer than 16$/ })
})
