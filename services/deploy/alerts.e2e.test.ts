import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { alertCases, promtoolTests } from './alert-cases.ts'
import { everyMetric } from './every-metric.ts'
import { prometheusTools } from './tools.ts'

const rulesFile = fileURLToPath(new URL('../../helm/files/alerts.yaml', import.meta.url))
const prometheusConfig = fileURLToPath(new URL('prometheus/prometheus.yml', import.meta.url))
const rules = readFileSync(rulesFile, 'utf8')
const alerts = Array.from(rules.matchAll(/- alert: (\w+)/g), ([, name]) => name!)

function promtool(tool: string, args: readonly string[], input = ''): void {
  const { status, stdout, stderr } = spawnSync(tool, args, { encoding: 'utf8', timeout: 120_000, input })
  assert.equal(status, 0, stdout + stderr)
}

test('every alert has a case, and a line in the runbook of the name that it gives', () => {
  assert.deepEqual(alertCases.map(({ alert }) => alert).sort(), [...alerts].sort())
  const runbook = readFileSync(new URL('README.md', import.meta.url), 'utf8')
  const entries = Array.from(rules.matchAll(/runbook: ["']?Runbook: ([\w-]+)\./g), ([, name]) => name!)
  assert.equal(entries.length, alerts.length)
  for (const name of entries) assert.ok(runbook.includes(`| \`${name}\` |`), name)
})

test('promtool: the rules and the configuration of docker-compose are valid', async t => {
  const { promtool: tool } = await prometheusTools()
  promtool(tool, ['check', 'rules', rulesFile])
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-prometheus-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const text = readFileSync(prometheusConfig, 'utf8')
  assert.ok(text.includes('/etc/prometheus/alerts.yaml'))
  writeFileSync(join(folder, 'prometheus.yml'), text.replace('/etc/prometheus/alerts.yaml', rulesFile))
  promtool(tool, ['check', 'config', join(folder, 'prometheus.yml')])
})

test('promtool: each alert fires when it should, and is quiet close to that', async t => {
  const { promtool: tool } = await prometheusTools()
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-prometheus-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'tests.json')
  writeFileSync(file, JSON.stringify(promtoolTests(rulesFile)))
  promtool(tool, ['test', 'rules', file])
})

test('promtool: names, units and help of every metric are as Prometheus wants them', async () => {
  const { promtool: tool } = await prometheusTools()
  const text = await everyMetric().text()
  const ours = text.split('\n').filter(line => /^(# (HELP|TYPE) )?proclabel_/.test(line))
  assert.ok(ours.length > 100)
  promtool(tool, ['check', 'metrics'], `${ours.join('\n')}\n`)
})
