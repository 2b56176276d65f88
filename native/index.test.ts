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

test('a source is polled by the caller or, once started, by its own thread; a closed one by nobody', {
  skip: process.platform !== 'linux',
}, () => {
  const source = loadNative().openSocketSource(false)
  const { openedEnd, times } = source.poll()
  assert.equal(openedEnd.length, 1)
  assert.ok(times.subarray(0, 3).every(us => us > 0))
  assert.throws(() => source.take(), /was not started/)
  source.start(10_000)
  for (const again of [() => source.poll(), () => source.start(10_000)])
    assert.throws(again, /polled by its own thread/)
  source.close()
  assert.throws(() => source.poll(), /the socket source is closed/)
  assert.throws(() => source.take(), /is closed/)
})

test('columns of a poll are the caller’s own', { skip: process.platform !== 'linux' }, () => {
  const source = loadNative().openSocketSource(false)
  const polls = source.poll()
  const before = structuredClone(polls)
  for (let i = 0; i < 5; i++) source.poll()
  assert.deepEqual(polls, before)
  source.close()
})
