import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { debianCommand } from '../tools.ts'
import { buildSingleFile } from './build.ts'

// The one for Windows is tried by services/e2e/windows/wine.e2e.test.ts.
const skip = process.platform === 'linux' ? false : 'makes a program for Linux'

test('the agent as one file: nothing else of the repository is needed', { skip }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-one-file-'))
  try {
    const program = path.join(folder, 'proclabel-agent')
    await buildSingleFile('linux', program)
    const run = (...args: string[]) => spawnSync(program, args, { cwd: '/', env: {}, encoding: 'utf8' })
    assert.equal(run('--version').stdout.trim(), '0.1.0')
    const { status, stderr } = run('record', '--out', path.join(folder, 'sockets'), '--host', 'desk', '--duration', '2')
    assert.equal(status, 0, stderr)
    const [log] = readdirSync(path.join(folder, 'sockets'))
    const topics = readFileSync(path.join(folder, 'sockets', log!), 'utf8')
      .trim()
      .split('\n')
    assert.deepEqual([...new Set(topics.map(line => JSON.parse(line).topic))].slice(0, 2), [
      'hosts',
      'socket-snapshots',
    ])
    // The bus and its codecs load, too, and say what is wrong with an address.
    const agent = run('agent', '--brokers', 'no address', '--spool', path.join(folder, 'spool'))
    assert.equal(agent.status, 2, agent.stderr)
    assert.equal(readdirSync(folder).filter(name => /^proclabel-[\da-f]{16}\.node$/.test(name)).length, 1)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('the unit of systemd is one that systemd takes', { skip }, async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-unit-'))
  try {
    const unit = path.join(folder, 'proclabel-agent.service')
    const text = readFileSync(path.join(import.meta.dirname, '../systemd/proclabel-agent.service'), 'utf8')
    writeFileSync(unit, text.replace('/opt/proclabel/proclabel-agent', '/bin/true'))
    const analyze = await debianCommand('systemd-analyze', 'systemd')
    const { status, stderr } = spawnSync(analyze, ['verify', unit], { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.doesNotMatch(stderr, /proclabel-agent\.service/)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
