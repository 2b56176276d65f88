import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { RollingFile } from './rolling-file.ts'

test('a full file is put aside, the oldest of those goes, and a later run appends', t => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'proclabel-rolling-')), 'made')
  t.after(() => rmSync(path.dirname(folder), { recursive: true }))
  const open = () => new RollingFile(path.join(folder, 'log'), { maxBytes: 10, kept: 2 })
  const found = () =>
    Object.fromEntries(readdirSync(folder).map(name => [name, readFileSync(path.join(folder, name), 'utf8')]))
  const first = open()
  first.write('one\n')
  first.write('two\n')
  assert.deepEqual(found(), { log: 'one\ntwo\n' })
  const later = open()
  later.write('three\n')
  assert.deepEqual(found(), { log: 'three\n', 'log.1': 'one\ntwo\n' })
  later.write('longer than a file may be\n')
  later.write('x\n')
  assert.deepEqual(found(), { log: 'x\n', 'log.1': 'longer than a file may be\n', 'log.2': 'three\n' })
})

test('lines that cannot be written are lost, and no more', t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-rolling-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const inTheWay = path.join(folder, 'made')
  const log = new RollingFile(path.join(inTheWay, 'log'), { maxBytes: 10, kept: 1 })
  writeFileSync(inTheWay, '')
  log.write('lost\n')
  rmSync(inTheWay)
  log.write('written\n')
  rmSync(inTheWay, { recursive: true })
  writeFileSync(inTheWay, '')
  log.write('lost too\n')
  rmSync(inTheWay)
  mkdirSync(inTheWay)
  log.write('again\n')
  assert.equal(readFileSync(path.join(inTheWay, 'log'), 'utf8'), 'again\n')
})
