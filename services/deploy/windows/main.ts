/** `node services/deploy/windows/main.ts FILE`: compiles the addon for 64-bit Windows, on Debian. */
import { copyFileSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { windowsAddon } from './addon.ts'

const [out] = process.argv.slice(2)
if (out === undefined) {
  process.stderr.write('usage: node services/deploy/windows/main.ts FILE\n')
  process.exit(2)
}
mkdirSync(path.dirname(out), { recursive: true })
copyFileSync(await windowsAddon(), out)
