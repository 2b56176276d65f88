/**
 * Builds the C++ tests without Node, under the address and undefined-behaviour sanitizers, and runs them. The last line is
 * `N passed, M failed`; exit status 1 when one failed or nothing could be built. `CXX` names another compiler.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'

const native = fileURLToPath(new URL('..', import.meta.url))
const system = process.platform === 'linux' ? ['src/linux/*.cc'] : []
const sources = globSync(['test/*.cc', ...system], { cwd: native }).sort()
const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-native-'))
const program = path.join(folder, 'tests')
const sanitizers = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-D_GLIBCXX_ASSERTIONS']
const flags = ['-std=c++20', '-O0', '-g', '-Wall', '-Wextra', ...sanitizers, '-Isrc', '-Itest']

/** Runs a command in native/; whether it ended with status 0. */
function run(command, args) {
  const { status, error, signal } = spawnSync(command, args, { cwd: native, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error !== undefined) console.log(`${command}: ${error.message}`)
  return { ok: status === 0, counted: signal === null && (status === 0 || status === 1) }
}

try {
  if (run(process.env.CXX ?? 'g++', [...flags, ...sources, '-o', program]).ok) {
    const { ok, counted } = run(program, [])
    if (!counted) console.log('0 passed, 1 failed')
    process.exitCode = ok ? 0 : 1
  } else {
    console.log('0 passed, 1 failed')
    process.exitCode = 1
  }
} finally {
  rmSync(folder, { recursive: true })
}
