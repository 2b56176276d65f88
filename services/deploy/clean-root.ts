import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, join, posix, relative } from 'node:path'
import { promisify } from 'node:util'
import { contextFilter, parseCopy, parseEnv, type Stage } from './dockerfile.ts'
import { toolsFolder } from './tools.ts'

const run = promisify(execFile)
/** What Docker gives a process where the image says nothing. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Where the machine's own certificate authorities are seen in a root: behind some networks nothing is trusted without. */
const authorities = '/etc/ssl/certs/ca-certificates.crt'

/** A root directory in which the steps of a Dockerfile run as in a container: own processes, own mounts, no more than that. */
export class CleanRoot {
  readonly folder: string
  #cwd = '/'
  #env: Record<string, string> = { PATH: path, HOME: '/root' }

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Debian 12 with its essential packages, which is what the slim image holds. The first time takes a minute. */
  static async create(folder: string): Promise<CleanRoot> {
    const archive = join(toolsFolder, 'debian-12-minbase.tar')
    if (!existsSync(archive)) {
      const fresh = `${folder}.fresh`
      mkdirSync(toolsFolder, { recursive: true })
      await run('debootstrap', ['--variant=minbase', 'bookworm', fresh], { maxBuffer: 1 << 26 })
      await run('tar', ['-C', fresh, '-cf', `${archive}.part`, '.'])
      renameSync(`${archive}.part`, archive)
      rmSync(fresh, { recursive: true })
    }
    mkdirSync(folder, { recursive: true })
    await run('tar', ['-C', folder, '-xf', archive])
    cpSync('/etc/resolv.conf', join(folder, 'etc/resolv.conf'), { dereference: true })
    if (existsSync(authorities)) cpSync(authorities, join(folder, 'host-authorities.crt'), { dereference: true })
    return new CleanRoot(folder)
  }

  /** Carries out the instructions of a stage. */
  async build(stage: Stage, context: string, ignore: string, others: ReadonlyMap<string, CleanRoot>): Promise<void> {
    const sent = contextFilter(ignore)
    for (const { name, text } of stage.instructions) {
      if (name === 'RUN') await this.#step(text)
      else if (name === 'WORKDIR') this.#enter(text)
      else if (name === 'ENV') Object.assign(this.#env, parseEnv(text))
      else if (name === 'COPY') {
        const { from, sources, target } = parseCopy(text)
        for (const source of sources)
          if (from === null) this.#copyContext(context, source, target, sent)
          else this.#copy(others.get(from)!.#inside(source), target, () => true)
      }
    }
  }

  /**
   * Runs a command as a container of this image would: its user, its capabilities and no others, new privileges for nobody,
   * nothing to write but /tmp and its volume.
   */
  async command(
    command: readonly string[],
    { uid = 10001, capabilities = [] as readonly string[] } = {},
  ): Promise<{ stdout: string; stderr: string; status: number }> {
    const kept = ['-all', ...capabilities.map(capability => `+${capability}`)].join(',')
    const script = `
      mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && mount -t tmpfs tmpfs "$0/tmp" &&
      mount -t tmpfs -o mode=0770,uid=10001,gid=0 tmpfs "$0/var/lib/proclabel" && mount -t proc proc "$0/proc" &&
      exec chroot "$0" setpriv --reuid "$1" --regid "$1" --clear-groups --no-new-privs --bounding-set "$2" \
        --inh-caps "$2" "\${@:3}"`
    const args = ['--mount', '--', 'bash', '-c', script, this.folder, String(uid), kept, ...command]
    try {
      return { ...(await run('unshare', args, { env: this.#env, timeout: 120_000, maxBuffer: 1 << 26 })), status: 0 }
    } catch (error) {
      const { stdout, stderr, code } = error as { stdout: string; stderr: string; code: number }
      return { stdout, stderr, status: code }
    }
  }

  #enter(folder: string): void {
    this.#cwd = folder
    mkdirSync(this.#inside('.'), { recursive: true })
  }

  async #step(text: string): Promise<void> {
    const script = `mount -t proc proc "$0/proc" && exec chroot "$0" /bin/sh -c 'cd "$0" && eval "$1"' "$1" "$2"`
    const args = [
      '--mount',
      '--pid',
      '--fork',
      '--kill-child',
      '--',
      'bash',
      '-c',
      script,
      this.folder,
      this.#cwd,
      text,
    ]
    const env = { ...this.#env, npm_config_cafile: '/host-authorities.crt' }
    await run('unshare', args, { env, timeout: 400_000, maxBuffer: 1 << 28 })
  }

  #copyContext(context: string, source: string, target: string, sent: (path: string) => boolean): void {
    if (!sent(source)) throw new Error(`.dockerignore keeps ${source} out of the context`)
    this.#copy(join(context, source), target, path => sent(relative(context, path)))
  }

  /** Docker's rule: what is in a folder goes into the target; a file goes into a target that ends with a slash. */
  #copy(from: string, target: string, wanted: (path: string) => boolean): void {
    const intoFolder = statSync(from).isFile() && /(^\.|\/)$/.test(target)
    const to = this.#inside(intoFolder ? posix.join(target, basename(from)) : target)
    cpSync(from, to, { recursive: true, filter: wanted, verbatimSymlinks: true })
  }

  #inside(inRoot: string): string {
    return join(this.folder, posix.resolve(this.#cwd, inRoot))
  }
}
