import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

/**
 * Who may import whom. A service never imports another service: what they share is a schema. Folders that are not
 * listed are services; the composition roots (COMPOSITION, every main.ts) and the tests may import anything.
 */
const MAY_IMPORT: Record<string, readonly string[]> = {
  schemas: [],
  native: [],
  'services/core': ['schemas'],
  'services/shared': ['schemas'],
  'services/agent': ['schemas', 'services/core', 'services/shared', 'native'],
  'services/capture': ['schemas', 'services/core', 'services/shared', 'native'],
}
const SERVICE_MAY_IMPORT = ['schemas', 'services/core', 'services/shared']
const COMPOSITION = ['services/embedded', 'services/cli', 'services/e2e', 'services/lab']

/** The core is pure: no files, network, processes, threads or timers. */
const IMPURE = /^node:(fs|net|dgram|dns|http|https|http2|tls|child_process|worker_threads|cluster|readline|timers)\b/

const root = fileURLToPath(new URL('..', import.meta.url))

function readImportNames(): Record<string, string> {
  return JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).imports
}

/** The module names of all import and export … from statements and import() calls. */
function importsOf(source: string): string[] {
  const statement = /^\s*(?:import|export)\b(?:[^'"`=()]*?\bfrom\s*|\s*)['"]([^'"]+)['"]/gm
  const call = /\bimport\(\s*['"]([^'"]+)['"]/g
  return [...source.matchAll(statement), ...source.matchAll(call)].map(match => match[1]!)
}

/** The file that an import of ours means, from the repository's root; null for packages and Node's own modules. */
function resolveImport(file: string, specifier: string, names: Record<string, string>): string | null {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(file), specifier)
  if (!specifier.startsWith('#')) return null
  for (const [name, target] of Object.entries(names)) {
    const [before, after] = name.split('*')
    if (after === undefined ? specifier === name : specifier.startsWith(before!)) {
      return path.posix.normalize(target.replace('*', specifier.slice(before!.length)))
    }
  }
  throw new Error(`${file} imports ${specifier}, which package.json does not name`)
}

/** `schemas`, `native`, or `services/x`. */
function folderOf(file: string): string {
  const parts = file.split('/')
  return parts[0] === 'services' ? parts.slice(0, 2).join('/') : parts[0]!
}

function isFree(file: string): boolean {
  return COMPOSITION.includes(folderOf(file)) || /(^|\/)main\.ts$|\.test\.ts$/.test(file)
}

/** One sentence for each import that the table forbids. */
function forbiddenImports(file: string, source: string, names: Record<string, string>): string[] {
  if (isFree(file)) return []
  const from = folderOf(file)
  const allowed = MAY_IMPORT[from] ?? SERVICE_MAY_IMPORT
  const problems: string[] = []
  for (const specifier of importsOf(source)) {
    const target = resolveImport(file, specifier, names)
    if (target === null) {
      if (from === 'services/core' && IMPURE.test(specifier))
        problems.push(`${file} imports ${specifier}: the core is pure`)
    } else if (folderOf(target) !== from && !allowed.includes(folderOf(target))) {
      problems.push(`${file} imports ${target}: ${from} may import ${allowed.join(', ') || 'nothing of ours'}`)
    }
  }
  return problems
}

test('every import follows the table', () => {
  const names = readImportNames()
  const files = globSync(['services/**/*.ts', 'schemas/**/*.ts', 'native/**/*.ts'], { cwd: root })
  assert.ok(files.length > 0)
  assert.deepEqual(
    files.flatMap(file => forbiddenImports(file, readFileSync(path.join(root, file), 'utf8'), names)),
    [],
  )
})

const NAMES = {
  '#schemas': './schemas/index.ts',
  '#native': './native/index.ts',
  '#core/*': './services/core/*',
  '#shared/*': './services/shared/*',
}

for (const [file, source] of [
  ['services/matcher/join.ts', "import { poll } from '../agent/poll.ts'"],
  ['services/matcher/join.ts', "import type {\n  Poll,\n} from '../agent/poll.ts'"],
  ['services/matcher/join.ts', "export * from '../agent/poll.ts'"],
  ['services/matcher/join.ts', "import '../agent/poll.ts'"],
  ['services/matcher/join.ts', "const poll = await import('../agent/poll.ts')"],
  ['services/matcher/join.ts', "import native from '#native'"],
  ['services/core/match.ts', "import { log } from '#shared/log.ts'"],
  ['services/core/match.ts', "import { readFileSync } from 'node:fs'"],
  ['services/core/stages/direct.ts', "import { Bus } from '../../shared/bus/bus.ts'"],
  ['services/shared/consume.ts', "import { match } from '#core/match.ts'"],
  ['schemas/keys.ts', "import { match } from '#core/match.ts'"],
  ['native/index.ts', "import type { Packet } from '#schemas'"],
] as const) {
  test(`the check refuses ${JSON.stringify(source)} in ${file}`, () => {
    assert.equal(forbiddenImports(file, source, NAMES).length, 1)
  })
}

for (const [file, source] of [
  [
    'services/matcher/join.ts',
    "import { match } from '#core/match.ts'\nimport pino from 'pino'\nimport fs from 'node:fs'",
  ],
  ['services/matcher/main.ts', "import { poll } from '../agent/poll.ts'"],
  ['services/matcher/join.test.ts', "import { poll } from '../agent/poll.ts'"],
  ['services/embedded/label.ts', "import { poll } from '../agent/poll.ts'"],
  ['services/capture/ring.ts', "import native from '#native'"],
  ['services/core/decode/tls.ts', "import { createHash } from 'node:crypto'\nimport { slice } from '../slice.ts'"],
  ['services/matcher/join.ts', "// unlike what one would import from '../agent/poll.ts'\nexport const from = 'a'"],
] as const) {
  test(`the check allows ${JSON.stringify(source)} in ${file}`, () => {
    assert.deepEqual(forbiddenImports(file, source, NAMES), [])
  })
}
