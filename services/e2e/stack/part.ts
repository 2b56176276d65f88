import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

const pollMs = 50
const readyMs = 90_000
const stopMs = 15_000

export interface PartOptions {
  name: string
  command: string
  args: readonly string[]
  logFile: string
  /** Whether it is ready to serve, told by its log since it was started, or by asking it. */
  isReady: (log: string) => boolean | Promise<boolean>
}

/** Makes a part and remembers it, so that what was started can be stopped also when another part fails to start. */
export type NewPart = (options: PartOptions) => Part

/** A server process of the stack. It dies with the process that started it, however that ends. */
export class Part {
  readonly name: string
  readonly #options: PartOptions
  #child: ChildProcess | null = null

  constructor(options: PartOptions) {
    this.name = options.name
    this.#options = options
  }

  /** The server's process id; throws when it does not run. */
  get pid(): number {
    const pid = this.isRunning ? this.#child?.pid : undefined
    if (pid === undefined) throw new Error(`${this.name} is not running`)
    return pid
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Starts it, with the data it had before; resolves when it is ready to serve. */
  async start(): Promise<void> {
    if (this.isRunning) throw new Error(`${this.name} runs already`)
    const { name, command, args, logFile, isReady } = this.#options
    const log = openSync(logFile, 'a')
    const from = statSync(logFile).size
    // The kernel kills it when its parent is gone, even by SIGKILL; setpriv becomes the command, so the pid is the server's.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], { stdio: ['ignore', log, log] })
    closeSync(log)
    const failed = once(this.#child, 'error').then(([error]) => Promise.reject(error))
    failed.catch(() => {})
    const logged = () => readFileSync(logFile).subarray(from).toString()
    const until = Date.now() + readyMs
    while (!(await Promise.race([failed, isReady(logged())]))) {
      if (!this.isRunning) throw new Error(`${name} ended before it was ready:\n${logged().slice(-4000)}`)
      if (Date.now() > until) {
        await this.kill()
        throw new Error(`${name} was not ready after ${readyMs / 1000} s:\n${logged().slice(-4000)}`)
      }
      await sleep(pollMs)
    }
  }

  /** Sends a signal, for example SIGSTOP. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Kills it as a crash would; resolves when it is gone. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL', stopMs)
  }

  /** Lets it end in good order; resolves when it is gone. */
  async stop(): Promise<void> {
    if (!this.isRunning) return
    this.signal('SIGCONT')
    if (!(await this.#end('SIGTERM', stopMs))) await this.kill()
  }

  /** Whether it was gone in time. */
  async #end(signal: NodeJS.Signals, withinMs: number): Promise<boolean> {
    if (!this.isRunning) return true
    const child = this.#child!
    const abort = new AbortController()
    const gone = once(child, 'exit', { signal: abort.signal }).then(() => true)
    gone.catch(() => {})
    child.kill(signal)
    const inTime = await Promise.race([gone, sleep(withinMs, false, { signal: abort.signal })])
    abort.abort()
    return inTime
  }
}
