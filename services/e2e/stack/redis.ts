import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Certificate, CertificateAuthority } from './certificates.ts'
import type { NewPart, Part, PartOptions } from './part.ts'
import { freePort } from './ports.ts'

const host = '127.0.0.1'
const clusterNodes = 6
const pollMs = 100
const run = promisify(execFile)

export interface SecuredRedis {
  caFile: string
  client: Certificate
  /** May do all that is no administration with the keys `proclabel:*`; the default user is off. */
  user: string
  passwordFile: string
}

export interface RedisStack {
  /** One address, or those of the six nodes of a cluster. */
  urls: string[]
  nodes: Part[]
  secured: SecuredRedis | null
}

/** One Redis that keeps its data in an append-only file, written out each second. */
export async function startRedis(folder: string, newPart: NewPart): Promise<RedisStack> {
  const port = await freePort()
  const node = newPart(redisPart(folder, port, []))
  await node.start()
  return { urls: [`redis://${host}:${port}`], nodes: [node], secured: null }
}

/** Redis that takes TLS with a client certificate only, and knows one user. */
export async function startSecuredRedis(folder: string, newPart: NewPart): Promise<RedisStack> {
  const port = await freePort()
  const home = `${folder}/redis-secrets`
  mkdirSync(home)
  const authority = new CertificateAuthority(home)
  const server = authority.issue('redis')
  const password = randomBytes(18).toString('base64url')
  const passwordFile = `${home}/password`
  writeFileSync(passwordFile, password)
  const digest = createHash('sha256').update(password).digest('hex')
  const user = 'proclabel'
  const rights = `~proclabel:* &* +@all -@admin -@dangerous +info`
  writeFileSync(`${home}/users.acl`, `user default off\nuser ${user} on #${digest} ${rights}\n`)
  const tls = ['--tls-port', `${port}`, '--tls-cert-file', server.certFile, '--tls-key-file', server.keyFile]
  const node = newPart(
    redisPart(folder, 0, [...tls, '--tls-ca-cert-file', authority.caFile, '--aclfile', `${home}/users.acl`]),
  )
  await node.start()
  const secured = { caFile: authority.caFile, client: authority.issue('client'), user, passwordFile }
  return { urls: [`rediss://${host}:${port}`], nodes: [node], secured }
}

/** Three masters, each with a replica. */
export async function startRedisCluster(folder: string, newPart: NewPart): Promise<RedisStack> {
  const nodes: Part[] = []
  const ports: number[] = []
  for (let i = 0; i < clusterNodes; i++) {
    const [port, busPort] = [await freePort(), await freePort()]
    const cluster = ['--cluster-enabled', 'yes', '--cluster-port', `${busPort}`, '--cluster-node-timeout', '2000']
    nodes.push(newPart(redisPart(folder, port, cluster)))
    ports.push(port)
  }
  await Promise.all(nodes.map(node => node.start()))
  const addresses = ports.map(port => `${host}:${port}`)
  await run('redis-cli', ['--cluster', 'create', ...addresses, '--cluster-replicas', '1', '--cluster-yes'])
  // `create` waits for the masters only.
  for (const port of ports) while (!(await seesWholeCluster(port))) await sleep(pollMs)
  return { urls: addresses.map(address => `redis://${address}`), nodes, secured: null }
}

async function seesWholeCluster(port: number): Promise<boolean> {
  const ask = async (...args: string[]) => (await run('redis-cli', ['-p', `${port}`, ...args])).stdout
  if (!(await ask('cluster', 'info')).includes('cluster_state:ok')) return false
  const replicas = (await ask('cluster', 'nodes')).split('\n').filter(line => line.includes('slave'))
  return replicas.length === clusterNodes / 2
}

function redisPart(folder: string, port: number, more: readonly string[]): PartOptions {
  const name = `redis-${port || 'tls'}`
  const home = `${folder}/${name}`
  mkdirSync(home)
  const settings = ['--bind', host, '--port', `${port}`, '--dir', home, '--save', '', '--appendonly', 'yes']
  return {
    name,
    command: 'redis-server',
    args: [...settings, ...more],
    logFile: `${home}/redis.log`,
    isReady: log => log.includes('Ready to accept connections'),
  }
}
