import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { InputError } from '../errors.ts'
import { compileRedisSettings, type RedisSettings } from './redis-settings.ts'

const folder = mkdtempSync(join(tmpdir(), 'proclabel-redis-settings-'))
after(() => rmSync(folder, { recursive: true }))

const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const problemsOf = (settings: RedisSettings): string => {
  try {
    compileRedisSettings(settings)
  } catch (error) {
    assert.ok(error instanceof InputError && error.code === 'PROCLABEL_CONFIG')
    return error.message
  }
  return ''
}

test('one URL is one Redis, several are a cluster, and one can be', () => {
  const one = compileRedisSettings({ redisUrl: ['redis://db'] })
  assert.deepEqual(one, {
    nodes: [{ host: 'db', port: 6379 }],
    cluster: false,
    username: null,
    password: null,
    tls: null,
    timeoutMs: 10_000,
  })
  const several = compileRedisSettings({ redisUrl: ['redis://[::1]:1', 'redis://127.0.0.1:2'] })
  assert.deepEqual(several.nodes, [
    { host: '::1', port: 1 },
    { host: '127.0.0.1', port: 2 },
  ])
  assert.equal(several.cluster, true)
  assert.equal(compileRedisSettings({ redisUrl: ['redis://db'], redisCluster: true }).cluster, true)
})

test('password and certificates come from files; the end of the line is no part of the password', () => {
  const options = compileRedisSettings({
    redisUrl: ['rediss://db:7000'],
    redisUsername: 'matcher',
    redisPasswordFile: file('password', ' pass word \n'),
    redisCaFile: file('ca', 'CA'),
    redisCertFile: file('cert', 'CERT'),
    redisKeyFile: file('key', 'KEY'),
  })
  assert.equal(options.username, 'matcher')
  assert.equal(options.password, ' pass word ')
  assert.deepEqual(options.tls, { ca: Buffer.from('CA'), cert: Buffer.from('CERT'), key: Buffer.from('KEY') })
  assert.deepEqual(compileRedisSettings({ redisUrl: ['rediss://db'] }).tls, {})
})

test('all problems are named at once, and no secret', () => {
  const problems = problemsOf({
    redisUrl: ['redis://:secret@db', 'http://secret@db', 'rediss://db', 'redis://db/2'],
    redisPassword: 'secret',
    redisPasswordFile: join(folder, 'none'),
    redisKeyFile: join(folder, 'none'),
    redisTimeout: 0.5,
  })
  for (const problem of [
    /holds host and port alone/,
    /must be redis:\/\/host:port/,
    /'.*none' cannot be read: ENOENT/,
  ]) {
    assert.match(problems, problem)
  }
  for (const problem of [/go together/, /redis-timeout/, /exclude each other/]) assert.match(problems, problem)
  assert.doesNotMatch(problems, /secret/)
})

test('what does not fit together is refused', () => {
  assert.match(problemsOf({ redisUrl: [] }), /missing/)
  assert.match(problemsOf({ redisUrl: ['redis://a', 'rediss://b'] }), /all must be/)
  assert.match(problemsOf({ redisUrl: ['redis://a'], redisCaFile: file('ca2', '') }), /need rediss/)
})
