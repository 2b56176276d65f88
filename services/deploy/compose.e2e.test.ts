import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { debianCommand, goTool } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const secured = ['-f', 'docker-compose.yml', '-f', 'services/deploy/docker-compose.secured.yml']

interface Service {
  image?: string
  command?: string[]
  environment?: Record<string, string | null>
  cap_drop?: string[]
  cap_add?: string[]
  read_only?: boolean
  security_opt?: string[]
  network_mode?: string
  volumes?: { type: string; source: string }[]
  secrets?: { source: string }[]
}
interface Project {
  services: Record<string, Service>
}

const composes = {
  'docker-compose 1.29': () => debianCommand('docker-compose'),
  'Compose 5': () => goTool('github.com/docker/compose/v5/cmd'),
}

function run(tool: string, args: readonly string[]): string {
  const options = { cwd: repository, encoding: 'utf8', timeout: 60_000, env: { PATH: process.env.PATH! } } as const
  const { status, stdout, stderr } = spawnSync(tool, args, options)
  assert.equal(status, 0, `${tool} ${args.join(' ')}: ${stderr}`)
  return stdout
}

for (const [name, tool] of Object.entries(composes)) {
  test(`${name} takes the file, its profile and the secured override, without a warning`, async () => {
    const compose = await tool()
    run(compose, ['config', '-q'])
    run(compose, [...secured, 'config', '-q'])
    const plain = run(compose, ['config', '--services']).trim().split('\n').sort()
    const withReplay = run(compose, ['--profile', 'replay', 'config', '--services']).trim().split('\n').sort()
    // The old one names the services of every profile.
    assert.deepEqual(withReplay, [...new Set([...plain, 'replay'])].sort())
    for (const service of [
      'kafka',
      'registry',
      'redis',
      'topics',
      'agent',
      'capture',
      'matcher',
      'prometheus',
      'grafana',
    ])
      assert.ok(plain.includes(service), service)
  })
}

test('our services have no rights but those they need, and every file that is mounted is there', async () => {
  const compose = await goTool('github.com/docker/compose/v5/cmd')
  const project: Project = JSON.parse(run(compose, ['--profile', 'replay', 'config', '--format', 'json']))
  const rights: Record<string, string[]> = {}
  for (const [name, service] of Object.entries(project.services)) {
    for (const { type, source } of service.volumes ?? [])
      if (type === 'bind' && source.startsWith(repository)) assert.ok(statSync(source), source)
    if (!service.image!.startsWith('proclabel:')) continue
    assert.deepEqual(service.cap_drop, ['ALL'], name)
    assert.ok(service.read_only, name)
    assert.ok(service.security_opt!.includes('no-new-privileges:true'), name)
    if (service.cap_add) rights[name] = service.cap_add
  }
  assert.deepEqual(rights, {
    agent: ['SYS_PTRACE', 'DAC_READ_SEARCH', 'PERFMON', 'BPF', 'SYS_ADMIN'],
    capture: ['NET_RAW'],
  })
})

test('the commands and variables of our services are ones that proclabel knows', async () => {
  const compose = await goTool('github.com/docker/compose/v5/cmd')
  const project: Project = JSON.parse(run(compose, [...secured, '--profile', 'replay', 'config', '--format', 'json']))
  const help = (command: readonly string[]) =>
    run(process.execPath, ['services/cli/proclabel.mjs', ...command, '--help'])
  for (const [name, { image, command, environment }] of Object.entries(project.services)) {
    if (!image!.startsWith('proclabel:') || name === 'acls') continue
    const words = command ?? [name]
    const options = help(words.slice(0, words[0] === 'topics' ? 2 : 1))
    for (const word of words) if (word.startsWith('--')) assert.match(options, new RegExp(`${word}\\b`), name)
    for (const variable of Object.keys(environment ?? {})) {
      // Shared by all that connect, also where a command has no use for it.
      if (['PROCLABEL_PARTITIONS', 'PROCLABEL_REGISTRY_CACHE', 'PROCLABEL_LOG_LEVEL'].includes(variable)) continue
      const option = `--${variable.replace('PROCLABEL_', '').toLowerCase().replaceAll('_', '-')}`
      assert.match(options, new RegExp(`${option}\\b`), `${name}: ${variable}`)
    }
  }
})

test('the secrets that the override names are made, and the authority signs the certificates', async t => {
  const compose = await goTool('github.com/docker/compose/v5/cmd')
  const project: Project & { secrets: Record<string, { file: string }> } = JSON.parse(
    run(compose, [...secured, 'config', '--format', 'json']),
  )
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-secrets-'))
  t.after(() => rmSync(folder, { recursive: true }))
  run('cp', ['services/deploy/make-secrets.sh', folder])
  run(join(folder, 'make-secrets.sh'), [])
  const made = readdirSync(join(folder, 'secrets'))
  const before = run('cat', [join(folder, 'secrets/password-matcher')])
  for (const name of Object.keys(project.secrets)) assert.ok(made.includes(name), name)
  for (const name of ['kafka.crt', 'redis.crt'])
    run('openssl', ['verify', '-CAfile', join(folder, 'secrets/ca.pem'), join(folder, `secrets/${name}`)])
  run(join(folder, 'make-secrets.sh'), [])
  assert.equal(run('cat', [join(folder, 'secrets/password-matcher')]), before)
  // Who may speak to Kafka gets a user, and nobody sees another's password.
  for (const [name, { secrets = [] }] of Object.entries(project.services))
    if (name !== 'kafka-users')
      assert.ok(secrets.filter(({ source }) => /^password-(?!redis)/.test(source)).length <= 1, name)
})
