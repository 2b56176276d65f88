import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { CleanRoot } from './clean-root.ts'
import { parseDockerfile } from './dockerfile.ts'
import { debianCommand } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const sample = '/opt/proclabel/services/embedded/sample'

test('the image: the very steps of the Dockerfile in a clean Debian, then the services as its user', async t => {
  if (process.getuid?.() !== 0 || process.platform !== 'linux') return t.skip('needs root on Linux')
  await debianCommand('debootstrap')
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-image-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const stages = parseDockerfile(readFileSync(join(repository, 'services/deploy/Dockerfile'), 'utf8'))
  assert.deepEqual(
    stages.map(({ from }) => from),
    ['debian:12-slim', 'debian:12-slim'],
  )
  const ignore = readFileSync(join(repository, '.dockerignore'), 'utf8')
  // At the same time, as BuildKit builds them.
  const roots = new Map<string, Promise<CleanRoot>>()
  for (const stage of stages) {
    const name = stage.name ?? 'image'
    const built = async () => {
      const started = performance.now()
      const root = await CleanRoot.create(join(folder, name))
      await root.build(stage, repository, ignore, roots)
      t.diagnostic(`stage ${name}: ${Math.round((performance.now() - started) / 1000)} s`)
      return root
    }
    roots.set(name, built())
  }
  await Promise.all(roots.values())
  rmSync((await roots.get('build')!).folder, { recursive: true })
  const image = await roots.get('image')!

  await t.test('runs as a user without rights, on a read-only file system', async () => {
    const { stdout, status } = await image.command(['proclabel', '--version'])
    assert.deepEqual([stdout.trim(), status], ['0.1.0', 0])
    const commands = [
      'agent',
      'capture',
      'matcher',
      'resolver',
      'export',
      'topics',
      'tail',
      'doctor',
      'replay',
      'score',
    ]
    const helped = await Promise.all(commands.map(command => image.command(['proclabel', command, '--help'])))
    assert.deepEqual(
      helped.map(({ status, stderr }, i) => [commands[i], status, stderr]),
      commands.map(command => [command, 0, '']),
    )
    assert.equal((await image.command(['touch', '/opt/proclabel/x'])).status, 1)
    assert.equal((await image.command(['touch', '/var/lib/proclabel/x'])).status, 0)
  })

  await t.test('labels the bundled recording', async () => {
    const args = [`${sample}/capture.pcap.gz`, '--sockets', `${sample}/sockets.jsonl.gz`, '--out', '-', '--quiet']
    const { stdout, stderr, status } = await image.command(['proclabel', 'label', ...args])
    assert.equal(status, 0, stderr)
    const sessions = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line))
    assert.ok(sessions.length > 150)
    assert.ok(sessions.filter(({ stage }) => stage === 'A').length > 90)
  })

  await t.test(
    'both addons load: sockets are seen with root and the rights of the agent, packets with NET_RAW',
    async () => {
      const code = (text: string) => ['node', '--input-type=module', '-e', text]
      const sockets = `
      const { openLinuxSource } = await import('/opt/proclabel/services/agent/linux.ts')
      const source = openLinuxSource(); const poll = source.poll(); source.close(); console.log(typeof poll.durationUs)`
      const rights = { uid: 0, capabilities: ['sys_ptrace', 'dac_read_search', 'perfmon'] }
      const agent = await image.command(code(sockets), rights)
      assert.equal(agent.stdout.trim(), 'number', agent.stderr)
      const packets = `
      const { openInterface } = await import('/opt/proclabel/services/capture/open-interface.ts')
      await openInterface('lo', '').close(); console.log('open')`
      const capture = await image.command(code(packets), { uid: 0, capabilities: ['net_raw'] })
      assert.equal(capture.stdout.trim(), 'open', capture.stderr)
      const without = await image.command(code(packets), { uid: 0 })
      assert.notEqual(without.status, 0, 'without the capability it must fail: else this shows nothing')
    },
  )

  await t.test('the health check tells a service that does not answer', async () => {
    const { status, stderr } = await image.command(['node', '/opt/proclabel/services/deploy/healthcheck.mjs'])
    assert.equal(status, 1)
    assert.match(stderr, /^:9464 does not answer/)
  })
})
