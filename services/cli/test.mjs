/**
 * `npm test`: sets up, then types, format and lint, unit tests, C++ tests, integration tests against real servers, fuzz and
 * end-to-end tests, the lab, and the comparison with independent tools over the test captures. Ends with one line that sums it all:
 * `N passed, N failed[, N skipped]`. `npm test -- --quick` stops after the unit tests.
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs' // not by name: Node 20, which starts this, has no globSync
import { availableParallelism } from 'node:os'
import process from 'node:process'
import { run } from 'node:test'
import { becomeNode, node24Environment, nodeMajor, root } from './node24.mjs'
import { setupOrExit } from './setup.mjs'
import { report } from './test-report.mjs'

const SLOW = ['fuzz', 'e2e', 'lab']
const KINDS = ['integration', ...SLOW]
/** What one file may take. */
const UNIT_TIMEOUT_MS = 2 * 60_000
const INTEGRATION_TIMEOUT_MS = 5 * 60_000
const SLOW_TIMEOUT_MS = 10 * 60_000
const deadline = AbortSignal.timeout(55 * 60_000)

const total = { passed: 0, failed: 0, skipped: 0 }
const failures = []

function add({ passed = 0, failed = 0, skipped = 0, failures: names = [] }) {
  total.passed += passed
  total.failed += failed
  total.skipped += skipped
  failures.push(...names)
}

function heading(what) {
  console.log(`\n== ${what}`)
}

/** Runs a command that shows its own output; returns its exit status and the last line that it printed. */
async function command(name, args) {
  const child = spawn(name, args, { stdio: ['ignore', 'pipe', 'inherit'], signal: deadline })
  let tail = ''
  child.stdout.on('data', chunk => {
    process.stdout.write(chunk)
    tail = (tail + chunk).slice(-1000)
  })
  const status = await new Promise(resolve => child.on('close', resolve).on('error', () => resolve(null)))
  return { status, lastLine: tail.trimEnd().split('\n').at(-1) }
}

/** One check that passes or fails as a whole. */
async function step(what, name, args) {
  heading(what)
  const { status } = await command(name, args)
  add(status === 0 ? { passed: 1 } : { failed: 1, failures: [what] })
}

/** A command that counts for itself, in a last line `N passed, N failed`. */
async function countedStep(name, args) {
  const { status, lastLine } = await command(name, args)
  const counts = /^(\d+) passed, (\d+) failed$/.exec(lastLine)
  if (counts === null) {
    console.log(`no line 'N passed, N failed' at the end (exit status ${status})`)
    add({ failed: 1, failures: [args.join(' ')] })
  } else {
    const failed = Number(counts[2])
    const names = status === 0 && failed === 0 ? [] : [args.join(' ')]
    add({ passed: Number(counts[1]), failed: names.length > 0 && failed === 0 ? 1 : failed, failures: names })
  }
}

/** Runs each file on its own: the limits of `run()` end a test that hangs, but not a file that does not end after its tests. */
async function nodeTests(what, files, concurrency, timeoutMs) {
  if (files.length === 0) return
  heading(what)
  const waiting = [...files]
  const work = async () => {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      const signal = AbortSignal.any([deadline, AbortSignal.timeout(timeoutMs)])
      add(await report(run({ files: [file], signal }), root))
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work))
}

/** All of them share one stack; those that stop or damage servers start their own. */
async function integrationTests(files) {
  if (files.length === 0) return
  const { startSharedStack, stackEnvironment } = await import('../e2e/stack/shared-stack.ts')
  let stack
  try {
    stack = await startSharedStack({ kafka: true, registry: true, redis: true })
  } catch (error) {
    console.log(error.message)
    return add({ failed: 1, failures: ['the stack does not start'] })
  }
  Object.assign(process.env, stackEnvironment(stack))
  try {
    await nodeTests('integration tests', files, 1, INTEGRATION_TIMEOUT_MS)
  } finally {
    await stack.stop()
  }
}

async function captures() {
  heading('the captures, compared with independent tools')
  const { capturesDir } = await import('../shared/captures-dir.ts')
  let folder
  try {
    folder = capturesDir()
  } catch (error) {
    console.log(error.message)
    return add({ failed: 1, failures: [error.message] })
  }
  if (folder === null) {
    console.log('SKIP: no test captures (set PROCLABEL_CAPTURES to their folder)')
    return add({ skipped: 1 })
  }
  const label = 'node services/cli/proclabel.mjs label {capture} --out -'
  const args = [`${folder}/check`, '--cmd', label, '--explained', 'services/e2e/explained.tsv']
  await countedStep('python3', [...args, '--jobs', String(availableParallelism())])
}

const { bin, ...node } = setupOrExit({ testTools: true }, '0 passed, 1 failed')
if (nodeMajor < 24) await becomeNode(bin)
process.chdir(root)
Object.assign(process.env, node24Environment({ bin, ...node }))
// Programs under test see the sockets of their own namespace: others on this machine are other tests' machines.
process.env.PROCLABEL_NAMESPACES ??= 'own'

const tests = fs.globSync(['services/**/*.test.ts', 'schemas/**/*.test.ts', 'native/**/*.test.ts']).sort()
const ofKind = kind => tests.filter(file => file.endsWith(`.${kind}.test.ts`))
const unit = tests.filter(file => !KINDS.some(kind => file.endsWith(`.${kind}.test.ts`)))

await step('types (tsc)', 'node_modules/.bin/tsc', ['--noEmit'])
await step('format and lint (biome)', 'node_modules/.bin/biome', ['check', '--error-on-warnings', '.'])
await nodeTests('unit tests', unit, availableParallelism(), UNIT_TIMEOUT_MS)
if (!process.argv.includes('--quick')) {
  if (fs.existsSync('native/test/run.mjs')) {
    heading('C++ tests')
    await countedStep('node', ['native/test/run.mjs'])
  }
  await integrationTests(ofKind('integration'))
  for (const kind of SLOW) await nodeTests(`${kind} tests`, ofKind(kind), 1, SLOW_TIMEOUT_MS)
  await captures()
}

if (failures.length > 0) console.log(`\nfailed:\n${failures.map(name => `  ${name}`).join('\n')}`)
const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : ''
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`)
process.exit(total.failed > 0 ? 1 : 0) // though something that was ended for its time may still hold on
