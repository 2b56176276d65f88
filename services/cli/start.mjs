/** `npm start`: sets up, labels the bundled recording of real traffic, prints the report of it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import process from 'node:process'
import { root } from './node24.mjs'
import { setupOrExit } from './setup.mjs'

const { bin } = setupOrExit({ testTools: false })
const folder = mkdtempSync(`${tmpdir()}/proclabel-`)
const sample = 'services/embedded/sample'
const labeled = `${folder}/labeled.jsonl`
const COMMANDS = [
  ['label', `${sample}/capture.pcap.gz`, '--sockets', `${sample}/sockets.jsonl.gz`, '--out', labeled, '--quiet'],
  ['report', labeled],
]

try {
  for (const args of COMMANDS) {
    process.stderr.write(`\n$ npx proclabel ${args.join(' ')}\n`)
    const { status } = spawnSync(bin, ['services/cli/proclabel.mjs', ...args], { cwd: root, stdio: 'inherit' })
    process.exitCode = status ?? 1
    if (status !== 0) break
  }
} finally {
  rmSync(folder, { recursive: true })
}
if (!process.exitCode) process.stderr.write("\n'npx proclabel --help' explains the rest\n")
