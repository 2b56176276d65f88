import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import process from 'node:process'
import { getRawAsset } from 'node:sea'
import { loadNativeFrom } from '#native'
import { agentCommand } from './agent.ts'
import { type Commands, runProgram } from './program.ts'
import { recordCommand } from './record.ts'
import { tellInLog, windowsServiceCommands } from './windows-service.ts'

/** The agent as one file (services/deploy/single-file): `agent`, `record`, and on Windows the service. The addon in it must become a file to be loaded. */
function unpackAddon(): string {
  const bytes = Buffer.from(getRawAsset('proclabel.node'))
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16)
  const beside = path.join(path.dirname(process.execPath), `proclabel-${digest}.node`)
  if (existsSync(beside) && readFileSync(beside).equals(bytes)) return beside
  try {
    writeFileSync(beside, bytes, { mode: 0o755 })
    return beside
  } catch {
    // Only where nobody else could have put something before.
    const own = path.join(mkdtempSync(path.join(tmpdir(), 'proclabel-')), 'proclabel.node')
    writeFileSync(own, bytes, { mode: 0o755 })
    return own
  }
}

loadNativeFrom(unpackAddon())
const commands: Commands = {
  agent: agentCommand,
  record: recordCommand,
  ...(process.platform === 'win32' && windowsServiceCommands),
}
const named = process.argv.slice(2).find(argument => Object.hasOwn(commands, argument))
// Windows starts services in a folder of its own: files that the options name are beside this program.
if (named === 'install' || named === 'service') process.chdir(path.dirname(process.execPath))
runProgram(commands, text => {
  if (named === 'service') tellInLog(text)
  process.stderr.write(text)
}).catch((error: unknown) => {
  setImmediate(() => {
    throw error
  })
})
