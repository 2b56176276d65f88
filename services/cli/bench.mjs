/**
 * `npm run bench`: sets up, then runs the benchmarks one after the other under Node 24; about ten minutes. With a name, that one
 * alone, with the options behind it: `npm run bench -- pipeline --quick`.
 */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { root } from './node24.mjs'
import { setupOrExit } from './setup.mjs'

const files = {
  label: 'label.ts',
  memory: 'memory.ts',
  poll: 'poll.ts',
  agent: 'agent.ts',
  events: 'events/main.ts',
  pipeline: 'pipeline/main.ts',
  capture: 'capture/main.ts',
  dataset: 'dataset.ts',
}
const [name, ...options] = process.argv.slice(2)
if (name !== undefined && !(name in files)) {
  process.stderr.write(`bench: no ${name}; there are ${Object.keys(files).join(', ')}\n`)
  process.exit(64)
}
const { bin } = setupOrExit({ testTools: true })
for (const bench of name === undefined ? ['label', 'memory', 'poll'] : [name]) {
  process.stdout.write(`\n## ${bench}\n\n`)
  const { status } = spawnSync(bin, [`services/e2e/bench/${files[bench]}`, ...options], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
