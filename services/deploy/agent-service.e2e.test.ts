import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { debianCommand } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const unit = readFileSync(new URL('proclabel-agent.service', import.meta.url), 'utf8')

test('systemd has nothing to say against the unit, and would against a wrong one', async t => {
  const tool = await debianCommand('systemd-analyze', 'systemd')
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-unit-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const verify = (text: string): string => {
    const file = join(folder, 'proclabel-agent.service')
    // Where it is installed is here, and its settings are not.
    writeFileSync(
      file,
      text.replace('=/opt/proclabel/', `=${repository}`).replace('EnvironmentFile=', 'EnvironmentFile=-'),
    )
    const { status, stdout, stderr } = spawnSync(tool, ['verify', file], { encoding: 'utf8', timeout: 60_000 })
    return `${status} ${stdout}${stderr}`
  }
  assert.equal(verify(unit), '0 ')
  assert.match(verify(unit.replace('ProtectSystem', 'ProtectSystems')), /Unknown key .*ProtectSystems/)
})

test("the unit's rights are those of the agent's container", () => {
  const [, rights] = /^CapabilityBoundingSet=(.*)$/m.exec(unit)!
  const compose = readFileSync(new URL('../../docker-compose.yml', import.meta.url), 'utf8')
  const [, added] = /^ {2}agent:\n(?: {4}.*\n)*? {4}cap_add: \[(.*)\]$/m.exec(compose)!
  assert.deepEqual(
    rights!.split(' '),
    added!.split(', ').map(name => `CAP_${name}`),
  )
})
