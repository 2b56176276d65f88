/** `npm run lab`: sets up, then runs the live lab under Node 24; services/lab/README.md has its options. */
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { root } from './node24.mjs'
import { setupOrExit } from './setup.mjs'

const { bin } = setupOrExit({ testTools: true })
const args = ['services/lab/live/main.ts', ...process.argv.slice(2)]
const { status } = spawnSync(bin, args, { cwd: root, stdio: 'inherit' })
process.exitCode = status ?? 1
