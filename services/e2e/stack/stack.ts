/** Real servers for development and tests: Kafka, a schema registry and Redis on free loopback ports. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { type KafkaStack, startKafka } from './kafka.ts'
import { type NewPart, Part } from './part.ts'
import { type RedisStack, startRedis, startRedisCluster, startSecuredRedis } from './redis.ts'
import { type RegistryStack, startRegistry } from './registry.ts'

const folderName = 'proclabel-stack-'

export interface StackOptions {
  kafka?: boolean
  registry?: boolean
  redis?: boolean | 'cluster'
  /** Kafka with SASL_SSL (SCRAM-SHA-512), mutual TLS and ACLs; Redis with TLS, client certificate, user and password. */
  secured?: boolean
  /** Kafka users of the secured variant beside `admin`. */
  users?: readonly string[]
  brokers?: 1 | 3
  /** The port of a proxy, which is what one more listener of a single plain broker says that it is. */
  kafkaProxyPort?: number
}

export interface Stack {
  /** Holds data, logs and secrets; gone after `stop`. */
  folder: string
  /** Null when it was not asked for. */
  kafka: KafkaStack | null
  registry: RegistryStack | null
  redis: RedisStack | null
  /** Stops all servers and removes their data. */
  stop: () => Promise<void>
}

/** Starts what is asked for; resolves when all of it is ready to serve. */
export async function startStack(options: StackOptions): Promise<Stack> {
  removeLeftovers()
  const folder = mkdtempSync(`${tmpdir()}/${folderName}${process.pid}-`)
  const { secured = false, users = [], brokers = 1 } = options
  const parts: Part[] = []
  const newPart: NewPart = part => {
    parts.push(new Part(part))
    return parts.at(-1)!
  }
  const stop = async () => {
    await Promise.all(parts.map(part => part.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
  const starting = [
    options.kafka ? startKafka(folder, newPart, brokers, secured ? users : null, options.kafkaProxyPort ?? null) : null,
    options.registry ? startRegistry(folder, newPart) : null,
    options.redis ? startRedisVariant(folder, newPart, options.redis, secured) : null,
  ] as const
  try {
    const [kafka, registry, redis] = await Promise.all(starting)
    return { folder, kafka, registry, redis, stop }
  } catch (error) {
    await Promise.allSettled(starting)
    await stop()
    throw error
  }
}

function startRedisVariant(
  folder: string,
  newPart: NewPart,
  redis: true | 'cluster',
  secured: boolean,
): Promise<RedisStack> {
  if (redis === 'cluster') return startRedisCluster(folder, newPart)
  return secured ? startSecuredRedis(folder, newPart) : startRedis(folder, newPart)
}

/** Removes what stacks left behind whose process was killed; their servers died with it. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = name.startsWith(folderName) ? Number.parseInt(name.slice(folderName.length), 10) : Number.NaN
    if (Number.isNaN(pid) || isAlive(pid)) continue
    rmSync(`${tmpdir()}/${name}`, { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
