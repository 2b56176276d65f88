/**
 * Makes a fresh clone runnable: Debian packages, npm packages (Node 24 among them), the two native addons.
 * Quick when nothing is to do. Plain JavaScript without dependencies: it starts under Node 20.
 *
 * `node services/cli/setup.mjs [--test-tools]`; exit status 0 ready, 1 a step failed (its output is shown),
 * 69 something is missing that only you can provide (one sentence says what).
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { findNode24, node24Environment, root } from './node24.mjs'

/** Debian package, and a file or a command that tells that it is there. */
const BUILD_NEEDS = {
  'g++': 'g++',
  make: 'make',
  python3: 'python3',
  'libpcap-dev': '/usr/include/pcap/pcap.h',
}
const TEST_NEEDS = {
  tcpdump: 'tcpdump',
  tshark: 'tshark',
  iproute2: 'ip',
  curl: 'curl',
  wget: 'wget',
  git: 'git',
  openssl: 'openssl',
  'bind9-dnsutils': 'dig',
  'openssh-client': 'ssh',
  'openssh-server': 'sshd',
  bpftrace: 'bpftrace',
  msmtp: 'msmtp',
  time: '/usr/bin/time',
  'default-jre-headless': 'java',
  maven: 'mvn',
  'redis-server': 'redis-server',
  clang: 'clang++',
  'libclang-rt-dev': '/usr/share/doc/libclang-rt-dev',
}

/** Ends the set-up with a sentence for the user and an exit status. */
class SetupError extends Error {
  constructor(message, status) {
    super(message)
    this.status = status
  }
}
const missing = message => new SetupError(message, 69)

const progress = message => process.stderr.write(`set-up: ${message}\n`)

const read = file => readFileSync(root + file, 'utf8')
const readIfThere = file => (existsSync(root + file) ? read(file) : null)

function onPath(command) {
  const folders = [...process.env.PATH.split(delimiter), '/usr/sbin', '/sbin']
  return folders.some(folder => existsSync(`${folder}/${command}`))
}

/** Runs a command quietly; if it fails, shows all it said and throws `problem`. */
function run(problem, command, args, env = process.env) {
  const result = spawnSync(command, args, { cwd: root, env, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (result.status === 0) return
  const output = `${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`
  process.stderr.write(`${output.trimEnd()}\n`)
  const offline = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|Temporary failure|Could not resolve/.test(
    output,
  )
  throw offline ? missing(`${problem}: the network or the registry cannot be reached`) : new SetupError(problem, 1)
}

function installDebianPackages(needs) {
  const wanted = Object.entries(needs)
    .filter(([, evidence]) => !(evidence.startsWith('/') ? existsSync(evidence) : onPath(evidence)))
    .map(([name]) => name)
  if (wanted.length === 0) return
  const names = wanted.join(' ')
  if (process.platform !== 'linux' || !onPath('apt-get')) {
    throw missing(`this system has no apt-get; install what Debian calls ${names}`)
  }
  if (process.getuid() !== 0) throw missing(`only root can install what is missing; run: apt-get install ${names}`)
  progress(`installing ${names} (apt-get)`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get update failed', 'apt-get', ['update', '-q'], env)
  run(`apt-get cannot install ${names}`, 'apt-get', ['install', '-qy', '--no-install-recommends', ...wanted], env)
}

/** npm keeps what it installed in node_modules/.package-lock.json: up to date if it holds every version we lock. */
function npmPackagesUpToDate() {
  const hidden = readIfThere('node_modules/.package-lock.json')
  if (hidden === null) return false
  const installed = JSON.parse(hidden).packages
  const locked = Object.entries(JSON.parse(read('package-lock.json')).packages)
  return locked.every(([path, entry]) => {
    if (path === '') return true
    return installed[path] === undefined ? entry.optional : installed[path].version === entry.version
  })
}

function installNpmPackages() {
  if (npmPackagesUpToDate()) return
  progress('installing npm packages, Node 24 among them (npm ci)')
  run('npm ci failed', 'npm', ['ci', '--ignore-scripts', '--loglevel=error', '--no-progress'])
}

/** Builds unless the stamp in the build folder holds `key`; a failed build leaves no stamp. */
function buildOnce(what, buildFolder, key, build) {
  const stamp = `${buildFolder}/.proclabel-stamp`
  if (readIfThere(stamp) === key) return
  progress(`building ${what}`)
  build()
  writeFileSync(root + stamp, key)
}

function hashSources() {
  const hash = createHash('sha256')
  const sources = readdirSync(`${root}native/src`, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => `${entry.parentPath ?? entry.path}/${entry.name}`)
  for (const file of [`${root}native/binding.gyp`, ...sources.sort()]) {
    hash.update(`${file.slice(root.length)}\0`).update(readFileSync(file))
  }
  return hash.digest('hex')
}

function buildNative(node) {
  const env = node24Environment(node)
  const platform = `node ${node.version} ${process.platform}-${process.arch}`
  buildOnce('the cap addon', 'node_modules/cap/build', platform, () =>
    run('building the cap addon failed', 'npm', ['rebuild', 'cap', '--foreground-scripts', '--loglevel=notice'], env),
  )
  const headers = JSON.parse(read('node_modules/node-addon-api/package.json')).version
  buildOnce('the native addon', 'native/build', `${platform}, node-addon-api ${headers}, ${hashSources()}`, () =>
    run(
      'building native/ failed',
      node.bin,
      ['node_modules/.bin/node-gyp', 'rebuild', '-C', 'native', '-j', 'max'],
      env,
    ),
  )
}

/** Returns the Node 24 to run with; throws SetupError. */
export function setup({ testTools }) {
  installDebianPackages(testTools ? { ...BUILD_NEEDS, ...TEST_NEEDS } : BUILD_NEEDS)
  installNpmPackages()
  const node = findNode24()
  if (node === null) {
    throw missing(
      `needs Node 24: npm has no package of it for ${process.platform}-${process.arch}; install it yourself`,
    )
  }
  buildNative(node)
  return node
}

/** `setup`, or the end of this process with the sentence and the status that its failure asks for. */
export function setupOrExit(options, lastLine = '') {
  try {
    return setup(options)
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    process.stderr.write(`set-up: ${error.message}\n`)
    if (lastLine !== '') console.log(lastLine)
    process.exit(error.status)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setupOrExit({ testTools: process.argv.includes('--test-tools') })
}
