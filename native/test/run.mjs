/**
 * Builds the C++ tests without Node, under the address and undefined-behaviour sanitizers, runs them, then the fuzz targets
 * for a bounded time. The last line is `N passed, M failed`; exit status 1 when one failed or nothing could be built. `CXX`
 * names another compiler.
 */
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { compile, link, native, pureWindowsSources } from './build.mjs'
import { fuzz } from './fuzz.mjs'

const system = process.platform === 'linux' ? ['src/linux/{*,bpf/*}.cc', 'test/linux/*.cc'] : []
const sources = globSync(
  [
    'test/*.cc',
    'test/{annotate,files,packet,session,windows}/*.cc',
    'src/*.cc',
    'src/{annotate,files,packet,session}/*.cc',
    ...pureWindowsSources,
    ...system,
  ],
  { cwd: native },
).sort()

/** How many tests passed and failed; a program that ends by itself counts as one that failed. */
function test(program) {
  const { stdout, status } = spawnSync(program, { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' })
  process.stdout.write(stdout)
  const counts = /^(\d+) passed, (\d+) failed\n$/m.exec(stdout)
  if (counts === null || (status !== 0 && status !== 1)) return { passed: 0, failed: 1 }
  return { passed: Number(counts[1]), failed: Number(counts[2]) }
}

const folder = mkdtempSync(path.join(tmpdir(), 'proclabel-native-'))
const total = { passed: 0, failed: 0 }
const add = ({ passed, failed }) => {
  total.passed += passed
  total.failed += failed
}
try {
  const compiler = process.env.CXX ?? 'g++'
  const program = path.join(folder, 'tests')
  const objects = await compile(compiler, ['-O0'], sources, path.join(folder, 'objects'))
  const isBuilt = objects !== null && (await link(compiler, [], objects, program))
  add(isBuilt ? test(program) : { passed: 0, failed: 1 })
  add(await fuzz(folder))
} finally {
  rmSync(folder, { recursive: true })
}
console.log(`${total.passed} passed, ${total.failed} failed`)
process.exitCode = total.failed === 0 ? 0 : 1
