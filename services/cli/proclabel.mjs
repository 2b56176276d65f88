#!/usr/bin/env node
/** The `proclabel` command: finds Node 24, then runs main.ts with it. Exit status 69 when the set-up is missing. */
import module from 'node:module'
import process from 'node:process'
import { becomeNode, node24Package, nodeMajor, root } from './node24.mjs'
import { flagsOf } from './service-flags.mjs'

const NOT_SET_UP = 69 // EX_UNAVAILABLE of sysexits.h

function stop(problem) {
  process.stderr.write(`proclabel: ${problem}; run 'npm start' or 'npm run setup' in ${root} first\n`)
  process.exit(NOT_SET_UP)
}

if (nodeMajor < 24) {
  const folder = node24Package()
  if (folder !== null) await becomeNode(`${folder}/bin/node`)
  // Node 22.18 strips types too, and the Windows agent runs on it.
  if (process.features.typescript !== 'strip') stop(`needs Node 24, found ${process.version} alone`)
}
const flags = flagsOf(process.argv[2])
if (flags.length > 0 && process.execve && !process.execArgv.includes(flags[0]))
  await becomeNode(process.execPath, flags)
module.enableCompileCache(`${root}node_modules/.cache/compile`)
try {
  await import('./main.ts')
} catch (error) {
  if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !error.message.startsWith('Cannot find package')) throw error
  stop('its npm packages are missing')
}
