import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** Which machine of the laboratory: an observed one by its name, or the rest of the world, where the mirror port of their switch is. */
export type Side = 'world' | (string & {})

/** An observed host's addresses, by its place among them, and the world's own on the same switch (RFC 5737, RFC 3849). */
export const addressesOf = (place: number) => [`192.0.2.${10 + place}`, `2001:db8::${10 + place}`] as const
export const hostAddresses = addressesOf(0)
export const worldAddresses = ['192.0.2.1', '2001:db8::1'] as const

/** Any of these reaches the world: address `n` of 198.51.100.0/24 or 2001:db8:51::/64. */
export const worldAddress = (family: 4 | 6, n: number): string =>
  family === 4 ? `198.51.100.${n}` : `2001:db8:51::${n.toString(16)}`

/**
 * Network namespaces: observed hosts, each with an eth0 on a switch, and a world that answers on every address of
 * `worldAddress`. The switch is the world's eth0, on which a capture sees all traffic, also that from host to host. Needs
 * root. `close` ends every process in them and takes all of it away.
 */
export class LabNetwork {
  readonly #name: string
  readonly #hosts: readonly string[]
  readonly #children = new Set<ChildProcess>()

  constructor(name: string, hosts: readonly string[] = ['host']) {
    this.#name = name
    this.#hosts = hosts
    process.once('exit', this.#remove)
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, this.#end)
    this.#build()
  }

  /** A signal would end the process without its `exit` event. */
  readonly #end = (): void => process.exit(1)

  readonly #spaceOf = (side: Side): string => `${this.#name}-${side}`

  /** Runs `ip` on one side; answers with what it prints. */
  ip(side: Side, ...args: string[]): string {
    return ip('-n', this.#spaceOf(side), ...args)
  }

  #build(): void {
    const world = this.#spaceOf('world')
    ip('netns', 'add', world)
    ip('-n', world, 'link', 'add', 'eth0', 'type', 'bridge')
    setUp(world, worldAddresses)
    ip('-n', world, 'route', 'add', 'local', '198.51.100.0/24', 'dev', 'lo')
    ip('-n', world, '-6', 'route', 'add', 'local', '2001:db8:51::/64', 'dev', 'lo')
    this.allowForeignBinds('world')
    for (const [place, side] of this.#hosts.entries()) {
      const host = this.#spaceOf(side)
      mkdirSync(`/etc/netns/${host}`, { recursive: true })
      writeFileSync(`/etc/netns/${host}/resolv.conf`, `nameserver ${worldAddresses[0]}\n`)
      ip('netns', 'add', host)
      const port = `port${place}`
      ip('link', 'add', 'eth0', 'netns', host, 'type', 'veth', 'peer', 'name', port, 'netns', world)
      ip('-n', world, 'link', 'set', port, 'master', 'eth0', 'up')
      setUp(host, addressesOf(place))
      ip('-n', host, 'route', 'add', 'default', 'via', worldAddresses[0])
      ip('-n', host, '-6', 'route', 'add', 'default', 'via', worldAddresses[1])
    }
  }

  /** IPv4 lets a socket bind an address that a local route has, IPv6 only so. */
  allowForeignBinds(side: Side): void {
    ip('netns', 'exec', this.#spaceOf(side), 'sh', '-c', 'echo 1 > /proc/sys/net/ipv6/ip_nonlocal_bind')
  }

  /** Starts a program on one side, that ends with this process; its pid is the child's (each of the commands becomes the next). */
  start(side: Side, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const inside = ['ip', 'netns', 'exec', this.#spaceOf(side), command, ...args]
    // Each side is a machine of its own: an agent on one must not take those of the others for its containers.
    const env = { PROCLABEL_NAMESPACES: 'own', ...(options.env ?? process.env) }
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', ...inside], { ...options, env })
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
    for (const name of ['world', ...this.#hosts].map(this.#spaceOf)) {
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

function setUp(space: string, [v4, v6]: readonly [string, string]): void {
  ip('-n', space, 'link', 'set', 'lo', 'up')
  ip('-n', space, 'address', 'add', `${v4}/24`, 'dev', 'eth0')
  ip('-n', space, 'address', 'add', `${v6}/64`, 'dev', 'eth0', 'nodad')
  ip('-n', space, 'link', 'set', 'eth0', 'up')
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
