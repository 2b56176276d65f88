/** `npm run bench`: sets up, then runs the benchmarks one after the other under Node 24; about ten minutes. */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { root } from './node24.mjs'
import { setupOrExit } from './setup.mjs'

const { bin } = setupOrExit({ testTools: true })
for (const bench of ['label', 'memory', 'poll']) {
  process.stdout.write(`\n## ${bench}\n\n`)
  const { status } = spawnSync(bin, [`services/e2e/bench/${bench}.ts`], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exitCode = 1
}
