/** Finds the Node 24 that `npm ci` brings. Plain JavaScript without dependencies: it must run under Node 20. */
import { existsSync, readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname } from 'node:path'
import process from 'node:process'
import { isatty } from 'node:tty'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))
export const nodeMajor = Number.parseInt(process.versions.node, 10)

/** The npm package that holds bin/node and the headers in include/node; null before `npm ci`, and where Linux is not. */
export function node24Package() {
  if (process.platform !== 'linux') return null
  const folder = `${root}node_modules/node-linux-${process.arch}`
  return existsSync(`${folder}/bin/node`) ? folder : null
}

/** The Node to run TypeScript with: the package's, else this one if it is new enough, else null. */
export function findNode24() {
  const folder = node24Package()
  if (folder !== null) {
    const { version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
    return { bin: `${folder}/bin/node`, version, nodedir: folder }
  }
  return nodeMajor >= 24 ? { bin: process.execPath, version: process.versions.node, nodedir: null } : null
}

/** The environment in which `node`, `npm` and node-gyp mean that Node. */
export function node24Environment(node) {
  const env = { ...process.env, PATH: `${dirname(node.bin)}${delimiter}${process.env.PATH}` }
  if (node.nodedir !== null) env.npm_config_nodedir = node.nodedir
  return env
}

/** Runs this very command again under `bin`, with more flags for Node, and ends as it ends: same exit code, same signal. Does not return. */
export async function becomeNode(bin, flags = []) {
  const args = [...flags, ...process.execArgv, ...process.argv.slice(1)]
  if (process.execve) process.execve(bin, [bin, ...args], process.env)
  const { spawn } = await import('node:child_process')
  const child = spawn(bin, args, { stdio: 'inherit' })
  const ignored = isatty(0) ? ['SIGINT', 'SIGQUIT'] : [] // a terminal sends these to the child itself
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR2']) {
    process.on(signal, () => ignored.includes(signal) || child.kill(signal))
  }
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('exit', (...end) => resolve(end))
    child.on('error', reject)
  })
  if (signal !== null) {
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  }
  process.exit(code ?? 128 + constants.signals[signal])
}
