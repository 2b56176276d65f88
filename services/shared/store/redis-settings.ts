import { readFileSync } from 'node:fs'
import { InputError } from '../errors.ts'

/** As the command line, the environment and the settings file give them; a name here is `--redis-…` there. */
export interface RedisSettings {
  /** `redis://host:port` or, with TLS, `rediss://host:port`; several are the first nodes to ask of a cluster. */
  redisUrl: readonly string[]
  /** Redis Cluster, also with one URL. */
  redisCluster?: boolean
  redisUsername?: string
  redisPassword?: string
  /** One line; instead of the password itself. */
  redisPasswordFile?: string
  /** PEM files. */
  redisCaFile?: string
  redisCertFile?: string
  redisKeyFile?: string
  /** How long a call waits for Redis before it throws, in ms; default 10,000. */
  redisTimeout?: number
}

export interface RedisOptions {
  nodes: readonly { host: string; port: number }[]
  cluster: boolean
  username: string | null
  password: string | null
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer } | null
  timeoutMs: number
}

/** Reads files and checks everything; throws one InputError that names all that is wrong, and no secret. */
export function compileRedisSettings(settings: RedisSettings): RedisOptions {
  const problems: string[] = []
  const read = (option: string, file: string | undefined): Buffer | null => {
    if (file === undefined) return null
    try {
      return readFileSync(file)
    } catch (error) {
      problems.push(`${option} '${file}' cannot be read: ${(error as NodeJS.ErrnoException).code}`)
      return null
    }
  }
  const urls = settings.redisUrl.map(text => parse(text, problems)).filter(url => url !== null)
  if (settings.redisUrl.length === 0) problems.push('redis-url is missing')
  const secure = urls.filter(({ protocol }) => protocol === 'rediss:').length
  if (secure > 0 && secure < urls.length) problems.push('redis-url: all must be redis:// or all rediss://')
  const ca = read('redis-ca-file', settings.redisCaFile)
  const cert = read('redis-cert-file', settings.redisCertFile)
  const key = read('redis-key-file', settings.redisKeyFile)
  const hasTlsFiles = settings.redisCaFile ?? settings.redisCertFile ?? settings.redisKeyFile
  if (hasTlsFiles !== undefined && secure === 0) problems.push('redis-ca-file, -cert-file and -key-file need rediss://')
  if ((settings.redisCertFile === undefined) !== (settings.redisKeyFile === undefined)) {
    problems.push('redis-cert-file and redis-key-file go together')
  }
  const timeoutMs = settings.redisTimeout ?? 10_000
  if (!Number.isInteger(timeoutMs) || timeoutMs < 100)
    problems.push('redis-timeout must be a whole number from 100 (ms)')
  if (settings.redisPassword !== undefined && settings.redisPasswordFile !== undefined) {
    problems.push('redis-password and redis-password-file exclude each other')
  }
  const password = read('redis-password-file', settings.redisPasswordFile)
    ?.toString()
    .replace(/\r?\n$/, '')
  if (problems.length > 0) throw new InputError('PROCLABEL_CONFIG', problems.join('; '))
  return {
    nodes: urls.map(({ hostname, port }) => ({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) })),
    cluster: settings.redisCluster ?? urls.length > 1,
    username: settings.redisUsername ?? null,
    password: password ?? settings.redisPassword ?? null,
    tls: secure > 0 ? { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } : null,
    timeoutMs,
  }
}

function parse(text: string, problems: string[]): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^rediss?:$/.test(url.protocol) || url.hostname === '') {
    // The text may hold a password: it is not repeated.
    problems.push('redis-url must be redis://host:port or rediss://host:port')
  } else if (url.username !== '' || url.password !== '' || url.pathname.length > 1) {
    problems.push('redis-url holds host and port alone: user and password have options of their own')
  } else {
    return url
  }
  return null
}
