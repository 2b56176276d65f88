import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { type ConnectionFlags, compileConnections, connectionOptions, listenAddress } from './service-options.ts'

const flagsOf = (...args: string[]) =>
  connectionOptions(new Command().exitOverride()).parse(args, { from: 'user' }).opts<ConnectionFlags>()

function secretFile(t: TestContext, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-options-'))
  t.after(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'secret'), text)
  return join(folder, 'secret')
}

test('brokers alone are plain text without a registry', () => {
  assert.deepEqual(compileConnections(flagsOf('--brokers', 'a:9092', '[::1]:9093')), {
    brokers: ['a:9092', '[::1]:9093'],
    clientId: null,
    security: {},
    registry: null,
  })
})

test('TLS, users and the registry, each by its own options', t => {
  const file = secretFile(t, 'x')
  const flags = flagsOf(
    ...['--brokers', 'a:9092', '--client-id', 'c', '--kafka-ca-file', file, '--kafka-cert-file', file],
    ...['--kafka-key-file', file, '--kafka-username', 'u', '--kafka-password-file', file],
    ...['--registry', 'https://r/apis', '--registry-username', 'v', '--registry-password', 'p'],
  )
  assert.deepEqual(compileConnections(flags), {
    brokers: ['a:9092'],
    clientId: 'c',
    security: { caFile: file, certFile: file, keyFile: file, username: 'u', passwordFile: file },
    registry: { url: 'https://r/apis', username: 'v', password: 'p' },
  })
})

test('all that is wrong is named at once, and no secret', t => {
  const file = secretFile(t, 'x')
  const flags = flagsOf(
    ...['--brokers', 'a', 'b:99999', '--kafka-cert-file', '/nowhere', '--kafka-username', 'u'],
    ...['--registry', 'https://user:s3cret@r/', '--registry-password', 's3cret', '--registry-password-file', file],
  )
  assert.throws(
    () => compileConnections(flags),
    ({ code, message }: NodeJS.ErrnoException) => {
      assert.equal(code, 'PROCLABEL_CONFIG')
      assert.deepEqual(message.split('; '), [
        "brokers: expected host:port, got 'a'",
        "brokers: expected host:port, got 'b:99999'",
        'kafka-username needs kafka-password-file, or PROCLABEL_KAFKA_PASSWORD, and they it',
        'registry-password and registry-password-file exclude each other',
        "kafka-cert-file '/nowhere' cannot be read: ENOENT",
        'registry holds no user and no password: they have options of their own',
        'kafka-cert-file and kafka-key-file go together',
      ])
      return true
    },
  )
})

test('an address to listen on', () => {
  assert.deepEqual(listenAddress('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464 })
  assert.deepEqual(listenAddress('[::1]:0'), { host: '::1', port: 0 })
  assert.deepEqual(listenAddress(':9464'), { host: '::', port: 9464 })
  for (const wrong of ['9464', 'a:b', 'a:70000']) assert.throws(() => listenAddress(wrong), /expected host:port/)
})

test('a service that cannot reach Kafka and registry tells of it without the passwords', t => {
  const passwordFile = secretFile(t, 's3cret-in-file\n')
  // Of its own: an agent that ran on this machine before may have left schema ids in the default one.
  const spool = join(dirname(passwordFile), 'spool')
  const command = fileURLToPath(new URL('main.ts', import.meta.url))
  const args = [
    'agent',
    '--brokers',
    '127.0.0.1:9',
    '--registry',
    'http://127.0.0.1:9',
    '--registry-username',
    'v',
    '--spool',
    spool,
  ]
  const { stdout, stderr } = spawnSync(process.execPath, [command, ...args, '--log-level', 'debug'], {
    timeout: 4000,
    env: {
      ...process.env,
      PROCLABEL_KAFKA_USERNAME: 'u',
      PROCLABEL_KAFKA_PASSWORD_FILE: passwordFile,
      PROCLABEL_REGISTRY_PASSWORD: 's3cret-in-environment',
    },
  })
  assert.match(stderr.toString(), /no schema ids yet/)
  assert.doesNotMatch(`${stdout}${stderr}`, /s3cret|czNjcmV0/)
})
