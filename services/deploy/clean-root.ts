import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, posix, relative } from 'node:path'
import { promisify } from 'node:util'
import { contextFilter, parseCopy, parseEnv, type Stage } from './dockerfile.ts'
import { memoized, toolsFolder } from './tools.ts'

const run = promisify(execFile)
/** What Docker gives a process where the image says nothing. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** Where the machine's own certificate authorities are seen in a root: behind some networks nothing is trusted without. */
const authorities = '/etc/ssl/certs/ca-certificates.crt'

/**
 * What Docker's slim image of Debian has apart from its packages: no manuals, no translations, and a dpkg that does not wait
 * for the disk after each file (debuerreotype's slimify and minimizing-config).
 */
const slimSettings = {
  'etc/dpkg/dpkg.cfg.d/docker': [
    ...['doc', 'groff', 'info', 'linda', 'lintian', 'locale', 'man'].map(name => `path-exclude /usr/share/${name}/*`),
    'path-include /usr/share/doc/*/copyright',
  ],
  'etc/dpkg/dpkg.cfg.d/docker-apt-speedup': ['force-unsafe-io'],
  'etc/apt/apt.conf.d/docker-no-languages': ['Acquire::Languages "none";'],
}

/** An archive of a suite with its essential packages. The first time takes a minute. */
const slimArchive = memoized(async (suite: string): Promise<string> => {
  const archive = join(toolsFolder, `${suite}-slim.tar`)
  if (existsSync(archive)) return archive
  const fresh = join(toolsFolder, `${suite}-${process.pid}`)
  for (const [file, lines] of Object.entries(slimSettings)) {
    mkdirSync(dirname(join(fresh, file)), { recursive: true })
    writeFileSync(join(fresh, file), `${lines.join('\n')}\n`)
  }
  await run('debootstrap', ['--variant=minbase', suite, fresh], { maxBuffer: 1 << 26 })
  await run('tar', ['-C', fresh, '-cf', `${archive}.part`, '.'])
  renameSync(`${archive}.part`, archive)
  rmSync(fresh, { recursive: true })
  return archive
})

/** A root directory in which the steps of a Dockerfile run as in a container: own processes, own mounts, no more than that. */
export class CleanRoot {
  readonly folder: string
  #cwd = '/'
  #env: Record<string, string> = { PATH: path, HOME: '/root' }

  private constructor(folder: string) {
    this.folder = folder
  }

  /** What debian:12-slim holds. */
  static async create(folder: string): Promise<CleanRoot> {
    const archive = await slimArchive('bookworm')
    mkdirSync(folder, { recursive: true })
    await run('tar', ['-C', folder, '-xf', archive])
    cpSync('/etc/resolv.conf', join(folder, 'etc/resolv.conf'), { dereference: true })
    if (existsSync(authorities)) cpSync(authorities, join(folder, 'host-authorities.crt'), { dereference: true })
    return new CleanRoot(folder)
  }

  /** Carries out the instructions of a stage; waits for another where it copies from that. */
  async build(
    stage: Stage,
    context: string,
    ignore: string,
    others: ReadonlyMap<string, Promise<CleanRoot>>,
  ): Promise<void> {
    const sent = contextFilter(ignore)
    for (const { name, text } of stage.instructions) {
      if (name === 'RUN') await this.#step(text)
      else if (name === 'WORKDIR') this.#enter(text)
      else if (name === 'ENV') Object.assign(this.#env, parseEnv(text))
      else if (name === 'COPY') {
        const { from, sources, target } = parseCopy(text)
        for (const source of sources)
          if (from === null) this.#copyContext(context, source, target, sent)
          else this.#copy((await others.get(from)!).#inside(source), target, () => true)
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
