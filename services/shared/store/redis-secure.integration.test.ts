import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, suite, test } from 'node:test'
import { inspect } from 'node:util'
import { storeContract } from './contract.ts'
import { RedisStore } from './redis.ts'
import { matcherRules, type RedisServer, skipWithoutRedis, startRedis } from './redis-server.ts'
import { compileRedisSettings, type RedisSettings } from './redis-settings.ts'

const password = 'correct horse'
const folder = mkdtempSync(join(tmpdir(), 'proclabel-redis-tls-'))
const inFolder = (name: string) => join(folder, name)

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
}

/** A certificate authority, and certificates that it signed for the server (127.0.0.1) and for a client. */
function makeCertificates(): void {
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const ca of ['ca', 'other-ca']) {
    openssl('req', '-x509', ...newKey, '-keyout', `${ca}.key`, '-out', `${ca}.crt`, '-subj', `/CN=${ca}`, '-days', '1')
  }
  writeFileSync(inFolder('extensions'), 'subjectAltName=IP:127.0.0.1\n')
  for (const name of ['server', 'client']) {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`)
    const signer = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '1', '-extfile', 'extensions']
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.crt`, ...signer)
  }
}

suite('Redis with TLS, client certificates and ACL', { skip: skipWithoutRedis }, () => {
  let server: RedisServer
  let good: RedisSettings
  before(async () => {
    makeCertificates()
    const files = (name: string) => ['ca-cert-file', 'ca.crt', 'cert-file', `${name}.crt`, 'key-file', `${name}.key`]
    const serverTls = files('server').map((word, i) => (i % 2 === 0 ? `--tls-${word}` : inFolder(word)))
    const clientTls = ['--tls', '--cacert', 'ca.crt', '--cert', 'client.crt', '--key', 'client.key']
    const cliTls = clientTls.map(word => (word.startsWith('--') ? word : inFolder(word)))
    server = await startRedis(['--tls-port', ...serverTls, '--tls-auth-clients', 'yes'], cliTls)
    server.cli('acl', 'setuser', 'matcher', 'on', `>${password}`, ...matcherRules)
    writeFileSync(inFolder('password'), `${password}\n`)
    good = {
      redisUrl: [`rediss://127.0.0.1:${server.port}`],
      redisUsername: 'matcher',
      redisPasswordFile: inFolder('password'),
      redisCaFile: inFolder('ca.crt'),
      redisCertFile: inFolder('client.crt'),
      redisKeyFile: inFolder('client.key'),
      redisTimeout: 1000,
    }
  })
  after(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true })
  })

  storeContract('Redis with TLS and a user of few rights', async () => {
    server.cli('flushall')
    return new RedisStore(compileRedisSettings({ ...good, redisTimeout: 10_000 }))
  })

  /** What a load with these settings fails of; the settings' password never shows. */
  async function failureOf(settings: RedisSettings): Promise<{ message: string; code: string; retryable: boolean }> {
    const store = new RedisStore(compileRedisSettings(settings))
    try {
      await store.load('h')
    } catch (error) {
      assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /correct|horse|battery/)
      return error as { message: string; code: string; retryable: boolean }
    } finally {
      await store.close()
    }
    throw new Error('it did not fail')
  }

  test('a wrong password fails for good, and shows nowhere', async () => {
    const { redisPasswordFile: _, ...settings } = good
    const { message, code, retryable } = await failureOf({ ...settings, redisPassword: 'battery staple' })
    assert.match(message, /WRONGPASS/)
    assert.deepEqual({ code, retryable }, { code: 'PROCLABEL_STORE', retryable: false })
  })

  test('a user without rights to the keys fails for good', async () => {
    server.cli('acl', 'setuser', 'other', 'on', `>${password}`, '~other:*', '+@all')
    const { message, retryable } = await failureOf({ ...good, redisUsername: 'other' })
    assert.match(message, /NOPERM/)
    assert.equal(retryable, false)
  })

  test('a server that another authority vouches for is refused', async () => {
    const { message } = await failureOf({ ...good, redisCaFile: inFolder('other-ca.crt') })
    assert.match(message, /certificate/)
  })

  test('a client without certificate is refused', async () => {
    const { redisCertFile: _, redisKeyFile: __, ...settings } = good
    await failureOf(settings)
  })
})
