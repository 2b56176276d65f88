import { execFile } from 'node:child_process'
import { existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const maxBuffer = 1 << 28

/** Tools of the deployment tests, each in a folder of its version: made once, from the package registries. */
export const toolsFolder = fileURLToPath(new URL('../../node_modules/.cache/proclabel-tools', import.meta.url))
const goModule = fileURLToPath(new URL('tools', import.meta.url))

/** Asks once for each argument. */
export function memoized<T>(ask: (argument: string) => Promise<T>): (argument: string) => Promise<T> {
  const answers = new Map<string, Promise<T>>()
  return argument => {
    const answer = answers.get(argument) ?? ask(argument)
    answers.set(argument, answer)
    return answer
  }
}

/** Makes `name` unless it is there; a making that failed leaves nothing behind. Answers with its path. */
export async function once(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const made = join(toolsFolder, name)
  if (existsSync(made)) return made
  mkdirSync(toolsFolder, { recursive: true })
  const fresh = mkdtempSync(join(toolsFolder, 'fresh-'))
  try {
    await make(fresh)
    renameSync(fresh, made)
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  return made
}

/** Installs a Debian package for good, where a command says that it is not there. */
export async function debianCommand(command: string, name = command): Promise<string> {
  const found = ['/usr/bin', '/usr/sbin', '/bin', '/sbin', '/usr/lib/wine']
    .map(folder => `${folder}/${command}`)
    .find(existsSync)
  if (found) return found
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  await run('apt-get', ['update', '-q'], { env, maxBuffer })
  await run('apt-get', ['install', '-qy', '--no-install-recommends', name], { env, maxBuffer })
  return debianCommand(command, name)
}

/** A program written in Go, in the version that tools/go.mod names. */
export const goTool = memoized(async (packagePath: string): Promise<string> => {
  const { stdout } = await run('go', ['list', '-f', '{{with .Module}}{{.Path}}@{{.Version}}{{end}}', packagePath], {
    cwd: goModule,
    maxBuffer,
  })
  const folder = await once(stdout.trim().replaceAll('/', '_'), async fresh => {
    await run('go', ['build', '-ldflags=-s -w', '-o', join(fresh, 'tool'), packagePath], { cwd: goModule, maxBuffer })
  })
  return join(folder, 'tool')
})

/** A folder of commands that come from Python packages. */
export async function pythonTools(...packages: readonly string[]): Promise<string> {
  const folder = await once(packages.join('+'), async fresh => {
    await run('python3', ['-m', 'venv', fresh], { maxBuffer })
    await run(join(fresh, 'bin/pip'), ['install', '-q', ...packages], { maxBuffer })
  })
  // Scripts of the environment name the folder in which it was made: they are started by its Python.
  return join(folder, 'bin')
}

/** A folder whose node_modules holds npm packages, each written `name@version`; only what tests alone need. */
export const npmPackages = (...packages: readonly string[]): Promise<string> =>
  once(packages.join('+').replaceAll('/', '_'), async fresh => {
    const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--silent']
    await run('npm', ['install', ...quiet, '--prefix', fresh, ...packages], { cwd: fresh, maxBuffer })
  })

/** Debian packages, unpacked and not installed: installed ones would start their servers. Answers with the folder. */
export const unpackedPackages = (...packages: readonly string[]): Promise<string> =>
  once(packages.join('+'), async fresh => {
    await run('apt-get', ['update', '-q'], { maxBuffer })
    await run('apt-get', ['download', '-q', ...packages], { cwd: fresh, maxBuffer })
    for (const archive of readdirSync(fresh)) {
      await run('dpkg-deb', ['-x', archive, '.'], { cwd: fresh, maxBuffer })
      rmSync(join(fresh, archive))
    }
  })

/** Prometheus and promtool of Debian. */
export async function prometheusTools(): Promise<{ prometheus: string; promtool: string }> {
  const folder = await unpackedPackages('prometheus')
  return { prometheus: join(folder, 'usr/bin/prometheus'), promtool: join(folder, 'usr/bin/promtool') }
}

/** auditd and auditctl of Debian, with the folder of the library that they share (LD_LIBRARY_PATH). */
export async function auditTools(): Promise<{ auditd: string; auditctl: string; ausearch: string; libraries: string }> {
  const folder = await unpackedPackages('auditd', 'libauparse0')
  const [library] = globSync(join(folder, '{usr/,}lib/*/libauparse.so.0'))
  const [auditd, auditctl, ausearch] = ['auditd', 'auditctl', 'ausearch'].map(name => join(folder, 'sbin', name)) as [
    string,
    string,
    string,
  ]
  return { auditd, auditctl, ausearch, libraries: dirname(library!) }
}

/** The source of a Python package, written `name==version`, unpacked; `bin` is of an environment. Answers with its folder. */
export const pythonSource = (bin: string, wanted: string): Promise<string> =>
  once(`source-${wanted}`, async fresh => {
    const options = ['-q', '--no-deps', '--no-binary', ':all:', '-d', fresh]
    await run(join(bin, 'python'), ['-m', 'pip', 'download', ...options, wanted], { maxBuffer })
    const [archive] = readdirSync(fresh)
    await run('tar', ['-xzf', archive!, '--strip-components=1'], { cwd: fresh, maxBuffer })
    rmSync(join(fresh, archive!))
  })
