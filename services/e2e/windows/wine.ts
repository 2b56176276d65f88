import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { debianCommand } from '../../deploy/tools.ts'
import { windowsAddon } from '../../deploy/windows/addon.ts'
import { windowsNode } from '../../deploy/windows/node.ts'
import { ended } from '../lab/network.ts'

const repository = fileURLToPath(new URL('../../../', import.meta.url))

/**
 * Wine reads /proc/net, which takes longer the larger the hash of TCP sockets is, and only the child of a namespace gets
 * another size.
 */
const inSmallNamespace = 'echo 1024 > /proc/sys/net/ipv4/tcp_child_ehash_entries && exec unshare --net sh -c "$1"'
const prepare = 'ip link set lo up && echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets'

/** A line for Wine.run: one of Windows' own commands, which ends the script where it fails. */
export const quiet = (command: string): string => `$WINE ${command} > /dev/null 2>&1 < /dev/null || exit 8; `

/** Wine's Windows is a 7, on which Node does not start. */
const isWindows10 = quiet(String.raw`reg add 'HKCU\Software\Wine' /v Version /d win10 /f`)

/** Why there can be no Wine here, which in CI is an error; null where there can. */
export function whatWineNeeds(): string | null {
  const isRoot = process.platform === 'linux' && process.arch === 'x64' && process.getuid?.() === 0
  const missing = !isRoot
    ? 'needs root on Linux, x64'
    : spawnSync('apt-get', ['--version']).error
      ? 'needs Debian packages'
      : null
  if (missing && process.env.CI === 'true') throw new Error(missing)
  return missing
}

/** A Windows of its own, in which Node runs this repository with the addon made for Windows. */
export class Wine {
  /** Holds package.json, services and so on. */
  readonly repository: string
  readonly driveC: string
  /** A line for `run`: waits until all of Windows has ended and is on disk. */
  readonly shutDown: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #running = new Set<ChildProcess>()

  private constructor(folder: string, wine: string, node: string) {
    this.repository = path.join(folder, 'proclabel')
    const prefix = path.join(folder, 'prefix')
    this.driveC = path.join(prefix, 'drive_c')
    this.shutDown = `${path.join(path.dirname(wine), 'wineserver64')} --wait; `
    // Set where tests run in a child of node --test: what they print is then no text.
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env
    this.#environment = {
      ...environment,
      WINEPREFIX: prefix,
      // Where its server leaves a folder at each start.
      TMPDIR: folder,
      WINEDEBUG: '-all',
      NODE_OPTIONS: '--disable-warning=ExperimentalWarning',
      PROCLABEL_WINE: '1',
      WINE: wine,
      WINE_NODE: `${wine} ${node}`,
    }
  }

  /** Installs and builds what is missing. */
  static async create(folder: string): Promise<Wine> {
    const wine = await debianCommand('wine64')
    const node = await windowsNode()
    const addon = await windowsAddon()
    const made = new Wine(folder, wine, node)
    for (const name of ['package.json', 'schemas', 'services', 'native/native.ts', 'native/index.ts'])
      cpSync(path.join(repository, name), path.join(made.repository, name), { recursive: true })
    mkdirSync(path.join(made.repository, 'native/build/Release'), { recursive: true })
    cpSync(addon, path.join(made.repository, 'native/build/Release/proclabel.node'))
    symlinkSync(path.join(repository, 'node_modules'), path.join(made.repository, 'node_modules'))
    await made.#makePrefix()
    return made
  }

  /** Until all of the prefix is made and on disk Node at times finds no source of random numbers and aborts. */
  async #makePrefix(): Promise<void> {
    const { status, errors } = await this.run(
      `$WINE wineboot --init < /dev/null > /dev/null 2>&1; ${isWindows10} ${this.shutDown}`,
    )
    if (status !== 0) throw new Error(`Wine cannot make its prefix: ${errors}`)
  }

  /**
   * Runs a shell script in the repository, in network and process namespaces of its own: what Wine leaves running ends with
   * it. `$WINE` starts a program of Windows, `$WINE_NODE` is Node; pipes as its standard streams fail, files do not.
   */
  async run(script: string): Promise<{ status: number | null; output: string; errors: string }> {
    const namespaces = ['unshare', '--net', '--pid', '--fork', '--kill-child', '--mount-proc']
    const shell = ['sh', '-c', inSmallNamespace, 'sh', `${prepare} && ${script}`]
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...namespaces, ...shell], {
      cwd: this.repository,
      env: this.#environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#running.add(child)
    return ended(child).finally(() => this.#running.delete(child))
  }

  /** Ends what still runs. */
  close(): void {
    for (const child of this.#running) child.kill('SIGKILL')
  }
}
