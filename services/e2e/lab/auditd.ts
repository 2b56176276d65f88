import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { auditTools } from '../../deploy/tools.ts'

/** The login whose programs are audited: others on this machine are left alone. */
const login = 4242

/** A command that runs `command` as a program of that login; the pid stays. */
export const audited = (command: string, args: readonly string[]) =>
  ['sh', ['-c', `echo ${login} > /proc/self/loginuid && exec "$@"`, 'sh', command, ...args]] as const

type Tools = Awaited<ReturnType<typeof auditTools>>

/** Debian's auditd, in the foreground, with a configuration of its own. `stop` puts the kernel's audit back as it was. */
export class Auditd {
  readonly #tools: Tools
  readonly #before: AuditStatus
  readonly #daemon: ChildProcess
  /** Holds its logs and nothing else. */
  readonly folder: string

  /** Null where it can run: one that runs already, or rules that are there, are not disturbed. */
  static async whyNot(): Promise<string | null> {
    if (process.getuid?.() !== 0) return 'needs root'
    try {
      const tools = await auditTools()
      const { pid, enabled } = statusOf(tools)
      if (pid !== 0) return 'an auditd runs here'
      if (enabled > 1) return 'audit is locked here'
      return auditctl(tools, '-l').trim() === 'No rules' ? null : 'there are audit rules here'
    } catch (error) {
      return `auditd cannot be had: ${(error as Error).message.split('\n', 1)[0]}`
    }
  }

  /** `settings` of auditd.conf(5); `rules` as in a file of rules.d. */
  static async start(folder: string, rules: string, settings: Readonly<Record<string, string>>): Promise<Auditd> {
    const auditd = new Auditd(await auditTools(), folder, settings)
    try {
      await auditd.#begin(folder, rules)
      return auditd
    } catch (error) {
      auditd.#restore()
      throw error
    }
  }

  private constructor(tools: Tools, folder: string, settings: Readonly<Record<string, string>>) {
    this.#tools = tools
    this.#before = statusOf(tools)
    this.folder = path.join(folder, 'audit')
    for (const inside of [this.folder, path.join(folder, 'plugins.d')]) mkdirSync(inside)
    const ignored = ['space_left', 'admin_space_left', 'disk_full', 'disk_error'].map(when => [
      `${when}_action`,
      'ignore',
    ])
    const all = {
      ...{
        log_file: path.join(this.folder, 'audit.log'),
        plugin_dir: path.join(folder, 'plugins.d'),
        space_left: '2',
        admin_space_left: '1',
      },
      ...Object.fromEntries(ignored),
      ...settings,
    }
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`)
    writeFileSync(path.join(folder, 'auditd.conf'), lines.join(''), { mode: 0o640 })
    process.once('exit', this.#restore)
    this.#daemon = spawn(tools.auditd, ['-n', '-c', folder], { env: environment(tools), stdio: 'inherit' })
  }

  async #begin(folder: string, rules: string): Promise<void> {
    for (let tries = 0; statusOf(this.#tools).pid !== this.#daemon.pid; tries++) {
      if (tries > 100) throw new Error('auditd does not start')
      await sleep(50)
    }
    const file = path.join(folder, 'audit.rules')
    writeFileSync(file, rules.replaceAll('-F arch=', `-F auid=${login} -F arch=`), { mode: 0o640 })
    auditctl(this.#tools, '-R', file)
  }

  /** Events that the kernel has dropped. */
  get lost(): number {
    return statusOf(this.#tools).lost - this.#before.lost
  }

  /** Begins a new file; the one before becomes `audit.log.1`. */
  rotate(): void {
    this.#daemon.kill('SIGUSR1')
  }

  /** What ausearch prints of all that was logged. */
  search(...args: string[]): string {
    return execFileSync(this.#tools.ausearch, ['-if', this.folder, ...args], {
      ...{ encoding: 'utf8', env: environment(this.#tools), maxBuffer: 1 << 28 },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
  }

  /** Resolves when everything is in the log. To be called again does nothing. */
  async stop(): Promise<void> {
    if (this.#daemon.exitCode !== null) return
    auditctl(this.#tools, '-D')
    while (statusOf(this.#tools).backlog > 0) await sleep(20)
    const exit = once(this.#daemon, 'exit')
    this.#daemon.kill('SIGTERM')
    await exit
    this.#restore()
    process.off('exit', this.#restore)
  }

  readonly #restore = (): void => {
    auditctl(this.#tools, '-D')
    this.#daemon.kill('SIGKILL')
    auditctl(this.#tools, '-b', String(this.#before.backlog_limit))
    auditctl(this.#tools, '-e', String(this.#before.enabled))
  }
}

interface AuditStatus {
  enabled: number
  /** Of the daemon; 0 for none. */
  pid: number
  backlog_limit: number
  lost: number
  backlog: number
}

const environment = ({ libraries }: Tools) => ({ ...process.env, LD_LIBRARY_PATH: libraries })

const auditctl = (tools: Tools, ...args: string[]): string =>
  execFileSync(tools.auditctl, args, { encoding: 'utf8', env: environment(tools), stdio: ['ignore', 'pipe', 'pipe'] })

function statusOf(tools: Tools): AuditStatus {
  const fields = auditctl(tools, '-s').matchAll(/^(\w+) (\d+)/gm)
  return Object.fromEntries(Array.from(fields, ([, name, value]) => [name, Number(value)])) as unknown as AuditStatus
}
