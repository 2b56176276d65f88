import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../e2e/stack/ports.ts'
import { startStack } from '../e2e/stack/stack.ts'
import { alertCases } from './alert-cases.ts'
import { dashboards, expressionsOf } from './dashboards.ts'
import { namesIn } from './promql-names.ts'
import { prometheusTools } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const command = join(repository, 'services/cli/proclabel.mjs')
const sample = join(repository, 'services/embedded/sample')
const patienceMs = 60_000

/** Series that appear with what does not happen here, or where the system allows no kernel events. */
const absentHere = new Set(['ALERTS'])

async function until<T>(what: string, ask: () => Promise<T | null | undefined | false>): Promise<T> {
  const end = Date.now() + patienceMs
  for (;;) {
    const answer = await ask()
    if (answer) return answer
    assert.ok(Date.now() < end, `not within ${patienceMs / 1000} s: ${what}`)
    await sleep(250)
  }
}

test('a real Prometheus over real services: all are scraped, rules evaluate, dashboards find their series, the doctor is content', async t => {
  const children: ChildProcess[] = []
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-monitoring-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const stack = await startStack({ kafka: true, registry: true, redis: true })
  t.after(() => stack.stop())
  t.after(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  const env = {
    ...process.env,
    PROCLABEL_BROKERS: stack.kafka!.brokers.join(','),
    PROCLABEL_REGISTRY: stack.registry!.url,
    PROCLABEL_REDIS_URL: stack.redis!.urls[0]!,
    PROCLABEL_PARTITIONS: '2',
  }
  const start = (name: string, args: readonly string[]): ChildProcess => {
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', name, ...args], { env, stdio: 'ignore' })
    children.push(child)
    return child
  }
  const proclabel = (...args: readonly string[]) =>
    new Promise<{ status: number; stdout: string; stderr: string }>(resolve => {
      execFile(process.execPath, [command, ...args], { env, timeout: patienceMs }, (error, stdout, stderr) =>
        resolve({ status: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
      )
    })

  const applied = await proclabel('topics', 'apply', '--replication', '1')
  assert.equal(applied.status, 0, applied.stderr)
  const arguments_ = {
    matcher: [],
    resolver: [],
    export: ['--out', join(folder, 'export')],
    agent: ['--host', 'here', '--spool', join(folder, 'agent')],
    capture: ['--interface', 'lo', '--filter', 'icmp', '--spool', join(folder, 'capture')],
  }
  const addresses: Record<string, string> = {}
  for (const [service, args] of Object.entries(arguments_)) {
    addresses[service] = `127.0.0.1:${await freePort()}`
    start(process.execPath, [command, service, ...args, '--metrics-address', addresses[service]])
  }

  const { prometheus } = await prometheusTools()
  const own = `127.0.0.1:${await freePort()}`
  const shipped = readFileSync(new URL('prometheus/prometheus.yml', import.meta.url), 'utf8')
  for (const service of Object.keys(arguments_)) assert.ok(shipped.includes(`job_name: proclabel-${service}`), service)
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [join(repository, 'helm/files/alerts.yaml')],
    scrape_configs: Object.entries(addresses).map(([service, address]) => ({
      job_name: `proclabel-${service}`,
      static_configs: [{ targets: [address] }],
    })),
  }
  mkdirSync(join(folder, 'prometheus'))
  writeFileSync(join(folder, 'prometheus.yml'), JSON.stringify(config))
  start(prometheus, [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'prometheus')}`,
    `--web.listen-address=${own}`,
  ])
  const api = async <T>(path: string): Promise<T | null> => {
    const answer = await fetch(`http://${own}/api/v1/${path}`).catch(() => null)
    return answer?.ok ? (((await answer.json()) as { data: T }).data ?? null) : null
  }
  const query = async (expression: string) =>
    (await api<{ result: { metric: Record<string, string>; value: [number, string] }[] }>(
      `query?query=${encodeURIComponent(expression)}`,
    ))!.result

  await until('every service is scraped', async () => {
    const up = await api<{ result: { value: [number, string] }[] }>('query?query=up')
    return up?.result.length === 5 && up.result.every(({ value }) => value[1] === '1')
  })
  const ready = async (service: string) => (await fetch(`http://${addresses[service]}/readyz`).catch(() => null))?.ok
  for (const service of Object.keys(addresses))
    await until(`${service} is ready`, () => ready(service).then(ok => ok === true))

  const recording = [join(sample, 'capture.pcap.gz'), '--sockets', join(sample, 'sockets.jsonl.gz')]
  const replayed = await proclabel('replay', ...recording)
  assert.equal(replayed.status, 0, replayed.stderr)
  await until('Prometheus shows the labels of the recording', async () => {
    const [labeled] = await query('sum(proclabel_sessions_labeled_total)')
    return Number(labeled?.value[1]) > 90
  })
  await until('sessions are exported', async () => {
    const [exported] = await query('sum(proclabel_events_consumed_total{group="export"})')
    return Number(exported?.value[1]) > 150
  })

  await t.test('every rule evaluates', async () => {
    type Rule = { name: string; health: string; lastError?: string }
    const rules = await until('all rules were evaluated', async () => {
      const all = (await api<{ groups: { rules: Rule[] }[] }>('rules'))?.groups.flatMap(group => group.rules) ?? []
      return all.length > 0 && all.every(({ health }) => health !== 'unknown') && all
    })
    assert.deepEqual(
      rules.filter(({ health }) => health !== 'ok'),
      [],
    )
    assert.deepEqual(rules.map(({ name }) => name).sort(), alertCases.map(({ alert }) => alert).sort())
  })

  await t.test('every expression of the dashboards is understood, and its metrics are there', async () => {
    for (const expression of Object.values(dashboards).flatMap(expressionsOf)) {
      const asked = expression.replaceAll('$__rate_interval', '1m')
      assert.ok(await api(`query?query=${encodeURIComponent(asked)}`), asked)
      for (const name of namesIn(expression))
        if (!absentHere.has(name)) assert.ok((await query(`count(${name})`)).length > 0, `${name} in ${expression}`)
    }
    const [rate] = await query('sum(rate(proclabel_sessions_labeled_total{stage="A"}[1m]))')
    assert.ok(Number(rate!.value[1]) > 0)
  })

  await t.test('the doctor: content, but for the host of the recording, which is silent', async () => {
    const { status, stdout } = await proclabel('doctor', '--listen', '5')
    assert.match(stdout, /^ok {4}kafka: 1 broker/m)
    for (const about of ['topics', 'registry', 'redis', 'clocks', 'matcher', 'resolver'])
      assert.match(stdout, new RegExp(`^ok    ${about}: `, 'm'), stdout)
    assert.match(stdout, /^WARN {2}agents: 1 of 2 said nothing for 5 s: desk$/m)
    assert.doesNotMatch(stdout, /^FAIL/m)
    assert.equal(status, 0, stdout)
  })

  await t.test('the doctor: what is wrong when matchers are gone', async () => {
    for (const child of children.slice(0, 1)) child.kill('SIGTERM')
    await until('the matcher has left', async () => {
      const [up] = await query('up{job="proclabel-matcher"}')
      return up?.value[1] === '0'
    })
    const { status, stdout } = await proclabel('doctor', '--listen', '2')
    assert.match(stdout, /^FAIL {2}matcher: nobody reads$/m, stdout)
    assert.equal(status, 5)
  })
})
