import assert from 'node:assert/strict'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { loadNative } from './index.ts'

test('an addon that cannot be loaded is told with every path tried and what was wrong there', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-addon-'))
  try {
    copyFileSync(path.join(import.meta.dirname, 'index.ts'), path.join(folder, 'index.ts'))
    mkdirSync(path.join(folder, 'build/Debug'), { recursive: true })
    writeFileSync(path.join(folder, 'build/Debug/proclabel.node'), 'no addon')
    const copy: typeof import('./index.ts') = await import(pathToFileURL(path.join(folder, 'index.ts')).href)
    assert.throws(copy.loadNative, ({ name, code, message }) => {
      assert.deepEqual([name, code], ['NativeLoadError', 'PROCLABEL_NATIVE'])
      assert.match(message, /build\/Release\/proclabel\.node: Cannot find module/)
      assert.match(message, /build\/Debug\/proclabel\.node: .*(too short|invalid ELF|not a mach-o)/i)
      return true
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a closed source refuses to poll', { skip: process.platform !== 'linux' }, () => {
  const source = loadNative().openSocketSource(false)
  source.poll(false)
  assert.ok(source.times().every(us => us > 0))
  source.close()
  assert.throws(() => source.poll(false), /the socket source is closed/)
})

test('columns of a poll are the caller’s own', { skip: process.platform !== 'linux' }, () => {
  const source = loadNative().openSocketSource(false)
  const { opened } = source.poll(false)!
  const before = structuredClone(opened)
  for (let i = 0; i < 5; i++) source.poll(false)
  assert.deepEqual(opened, before)
  source.close()
})
