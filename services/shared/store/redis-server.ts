/** Real Redis servers for tests, on free loopback ports, without a trace afterwards. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'

const startsWithinMs = 20_000

export interface RedisServer {
  port: number
  /** Sends a signal: SIGSTOP and SIGCONT freeze and thaw it. */
  signal: (name: NodeJS.Signals) => void
  /** Runs redis-cli. */
  cli: (...args: string[]) => string
  /** Ends it and starts it again on its port; with its data only if it saves them. */
  restart: () => Promise<void>
  /** Ends it and removes its files. */
  stop: () => Promise<void>
}

/** All that a matcher's user may do; as the README gives it to operators. */
export const matcherRules = ['~proclabel:*', ...'+eval +evalsha +hget +hset +hdel +hgetall +pexpire +info'.split(' ')]

/** Why tests that need Redis are skipped; false where it is installed. Under CI=true they are not skipped but fail. */
export const skipWithoutRedis =
  process.env.CI !== 'true' && spawnSync('redis-server', ['--version']).error ? 'no redis-server here' : false

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** `args` as on redis-server's command line; `cliArgs` is what redis-cli needs beside the port. */
export async function startRedis(args: readonly string[] = [], cliArgs: readonly string[] = []): Promise<RedisServer> {
  const port = await freePort()
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-redis-'))
  const ports = args.includes('--tls-port') ? ['--port', '0', '--tls-port', `${port}`] : ['--port', `${port}`]
  const own = args.filter(arg => arg !== '--tls-port')
  const common = ['--bind', '127.0.0.1', '--dir', folder, '--save', '', '--daemonize', 'no', '--loglevel', 'warning']
  const cli = (...words: string[]) =>
    execFileSync('redis-cli', ['-p', `${port}`, ...cliArgs, ...words], { encoding: 'utf8', timeout: 10_000 }).trim()

  const start = async () => {
    // It dies with the test, however the test dies.
    const command = ['--pdeathsig', 'KILL', 'redis-server', ...common, ...ports, ...own]
    const child = spawn('setpriv', command, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    const ended = new Promise<void>(resolve => child.once('close', () => resolve()))
    const kill = () => child.kill('SIGKILL')
    const until = Date.now() + startsWithinMs
    while (
      spawnSync('redis-cli', ['-p', `${port}`, ...cliArgs, 'ping'])
        .stdout?.toString()
        .trim() !== 'PONG'
    ) {
      if (child.exitCode !== null || Date.now() > until) {
        kill()
        throw new Error(`redis-server does not start: ${output}`)
      }
      await sleep(20)
    }
    return { child, ended, kill }
  }

  let running = await start()
  const end = async () => {
    running.kill()
    await running.ended
  }
  return {
    port,
    cli,
    signal: name => running.child.kill(name),
    restart: async () => {
      await end()
      running = await start()
    },
    stop: async () => {
      await end()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** A Redis Cluster of 3 masters (the first three) and 3 replicas. */
export async function startCluster(): Promise<RedisServer[]> {
  const nodes: RedisServer[] = []
  try {
    for (let i = 0; i < 6; i++) {
      const cluster = ['--cluster-enabled', 'yes', '--cluster-node-timeout', '1000', '--cluster-port']
      nodes.push(await startRedis([...cluster, String(await freePort()), '--repl-diskless-sync-delay', '0']))
    }
    const addresses = nodes.map(({ port }) => `127.0.0.1:${port}`)
    nodes[0]!.cli('--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes')
    await until('the cluster is whole', () =>
      nodes.every(({ cli }) => {
        const replicates = !cli('info', 'replication').includes('master_link_status:down')
        return replicates && cli('cluster', 'info').includes('cluster_state:ok')
      }),
    )
    return nodes
  } catch (error) {
    await Promise.all(nodes.map(node => node.stop()))
    throw error
  }
}

/** Waits for something to become true; throws when it takes too long. */
export async function until(what: string, isTrue: () => boolean): Promise<void> {
  const end = Date.now() + startsWithinMs
  while (!isTrue()) {
    if (Date.now() > end) throw new Error(`waited ${startsWithinMs} ms in vain until ${what}`)
    await sleep(50)
  }
}
