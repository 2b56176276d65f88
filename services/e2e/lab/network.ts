import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Which machine of the laboratory: the one that is observed, or the rest of the world, which sees its traffic as a mirror port does. */
export type Side = 'host' | 'world'

/** The observed host's addresses, and the world's own on the same wire (RFC 5737, RFC 3849). */
export const hostAddresses = ['192.0.2.10', '2001:db8::10'] as const
export const worldAddresses = ['192.0.2.1', '2001:db8::1'] as const

/** Any of these reaches the world: address `n` of 198.51.100.0/24 or 2001:db8:51::/64. */
export const worldAddress = (family: 4 | 6, n: number): string =>
  family === 4 ? `198.51.100.${n}` : `2001:db8:51::${n.toString(16)}`

/**
 * Two network namespaces joined by a veth pair, both ends named eth0: the host, and a world that answers on every
 * address of `worldAddress`. Needs root. `close` ends every process in them and takes all of it away.
 */
export class LabNetwork {
  readonly #names: Record<Side, string>
  readonly #children = new Set<ChildProcess>()

  constructor(name: string) {
    this.#names = { host: `${name}-host`, world: `${name}-world` }
    process.once('exit', this.#remove)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#end)
    this.#build()
  }

  /** A signal would end the process without its `exit` event. */
  readonly #end = (): void => process.exit(1)

  #build(): void {
    const { host, world } = this.#names
    mkdirSync(`/etc/netns/${host}`, { recursive: true })
    writeFileSync(`/etc/netns/${host}/resolv.conf`, `nameserver ${worldAddresses[0]}\n`)
    for (const name of [host, world]) ip('netns', 'add', name)
    ip('link', 'add', 'eth0', 'netns', host, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', world)
    for (const [name, [v4, v6]] of [
      [host, hostAddresses],
      [world, worldAddresses],
    ] as const) {
      ip('-n', name, 'link', 'set', 'lo', 'up')
      ip('-n', name, 'address', 'add', `${v4}/24`, 'dev', 'eth0')
      ip('-n', name, 'address', 'add', `${v6}/64`, 'dev', 'eth0', 'nodad')
      ip('-n', name, 'link', 'set', 'eth0', 'up')
    }
    ip('-n', host, 'route', 'add', 'default', 'via', worldAddresses[0])
    ip('-n', host, '-6', 'route', 'add', 'default', 'via', worldAddresses[1])
    ip('-n', world, 'route', 'add', 'local', '198.51.100.0/24', 'dev', 'lo')
    ip('-n', world, '-6', 'route', 'add', 'local', '2001:db8:51::/64', 'dev', 'lo')
    // IPv4 lets a socket bind an address of such a route, IPv6 only so.
    ip('netns', 'exec', world, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind')
  }

  /** Starts a program on one side; its pid is the child's (`ip netns exec` becomes the program). */
  start(side: Side, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', this.#names[side], command, ...args], options)
    this.#children.add(child)
    child.once('exit', () => this.#children.delete(child))
    return child
  }

  /** Ends what still runs and removes the namespaces; also done when the process ends. */
  async close(): Promise<void> {
    const ends = [...this.#children].map(child => once(child, 'exit'))
    this.#remove()
    await Promise.all(ends)
    process.off('exit', this.#remove)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.#end)
  }

  readonly #remove = (): void => {
    for (const child of this.#children) child.kill('SIGKILL')
    for (const name of Object.values(this.#names)) {
      try {
        killInside(name)
        ip('netns', 'delete', name)
      } catch {
        // Not made, or removed already.
      }
      rmSync(`/etc/netns/${name}`, { recursive: true, force: true })
    }
    if (existsSync('/etc/netns') && readdirSync('/etc/netns').length === 0) rmdirSync('/etc/netns')
  }
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
}

/** Children of the programs that we started. */
function killInside(name: string): void {
  for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // Ended by itself meanwhile.
    }
  }
}

/** Resolves once the child has written `text` to standard output or error; rejects if it ends before. */
export async function waitForOutput(child: ChildProcess, text: string, timeoutMs = 20_000): Promise<void> {
  let output = ''
  const seen = new Promise<void>((resolve, reject) => {
    const look = (chunk: Buffer) => {
      output += chunk
      if (output.includes(text)) resolve()
    }
    child.stdout?.on('data', look)
    child.stderr?.on('data', look)
    child.once('exit', () => reject(new Error(`ended without '${text}': ${output}`)))
  })
  const late = new AbortController()
  const timeout = sleep(timeoutMs, undefined, { signal: late.signal }).then(
    () => Promise.reject(new Error(`no '${text}' within ${timeoutMs} ms: ${output}`)),
    () => {},
  )
  await Promise.race([seen, timeout]).finally(() => late.abort())
}

/** What a child writes to standard output, and its exit status, once it has ended. */
export async function ended(child: ChildProcess): Promise<{ status: number | null; output: string; errors: string }> {
  let [output, errors] = ['', '']
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk
  })
  child.stderr?.on('data', (chunk: Buffer) => {
    errors += chunk
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, output, errors }
}
