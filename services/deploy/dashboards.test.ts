import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { dashboards, dashboardsFolder, dashboardText, expressionsOf, toGrafana } from './dashboards.ts'
import { everyMetric } from './every-metric.ts'
import { labelsIn, namesIn } from './promql-names.ts'

const rulesFile = fileURLToPath(new URL('../../helm/files/alerts.yaml', import.meta.url))

/** Every name that a service of some kind shows, with its labels. */
async function shown(): Promise<Map<string, Set<string>>> {
  const names = new Map<string, Set<string>>()
  for (const [, name, labels] of (await everyMetric().text()).matchAll(/^([a-z_]\w*)(?:\{(.*)\})? \S+$/gm)) {
    const known = names.get(name!) ?? new Set(['instance', 'job'])
    for (const [, label] of (labels ?? '').matchAll(/(\w+)="/g)) known.add(label!)
    names.set(name!, known)
  }
  // Prometheus's own.
  names.set('up', new Set(['instance', 'job']))
  names.set('ALERTS', new Set(['alertname', 'alertstate']))
  return names
}

const ruleExpressions = () =>
  readFileSync(rulesFile, 'utf8')
    .split('- alert: ')
    .slice(1)
    .map(rule => /expr: ?\|?([\s\S]*?)\n {8}(?:for|labels):/.exec(rule)![1]!)

test('every expression of dashboards and alerts names metrics and labels that the services show', async () => {
  const names = await shown()
  const expressions = [...Object.values(dashboards).flatMap(expressionsOf), ...ruleExpressions()]
  assert.ok(expressions.length > 60)
  for (const expression of expressions) {
    const used = namesIn(expression)
    assert.ok(used.length > 0, expression)
    for (const name of used) assert.ok(names.has(name), `${name} in ${expression}`)
    const known = new Set(used.flatMap(name => [...names.get(name)!]))
    for (const label of labelsIn(expression)) assert.ok(known.has(label), `label ${label} in ${expression}`)
  }
})

test('the JSON is what dashboards.ts makes', () => {
  const files = readdirSync(dashboardsFolder).sort()
  assert.deepEqual(
    files,
    Object.keys(dashboards)
      .sort()
      .map(name => `${name}.json`),
  )
  for (const [name, dashboard] of Object.entries(dashboards))
    assert.deepEqual(JSON.parse(readFileSync(`${dashboardsFolder}/${name}.json`, 'utf8')), toGrafana(dashboard), name)
})

test('each dashboard has an identity of its own, each panel a place of its own and a word on what it shows', () => {
  assert.equal(new Set(Object.values(dashboards).map(({ uid }) => uid)).size, Object.keys(dashboards).length)
  for (const dashboard of Object.values(dashboards)) {
    const { panels } = JSON.parse(dashboardText(dashboard)) as {
      panels: { type: string; description?: string; gridPos: { x: number; y: number } }[]
    }
    assert.equal(new Set(panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size, panels.length)
    for (const { type, description } of panels) assert.ok(type === 'row' || description)
  }
})

test('names and labels are found in expressions, and functions are not taken for them', () => {
  const expression = 'sum by (le, service) (rate(a_total{x="y(z)", q!~"w"}[5m])) / on (p) group_left () max(b > 0)'
  assert.deepEqual(namesIn(expression), ['a_total', 'b'])
  assert.deepEqual(labelsIn(expression).sort(), ['p', 'q', 'service', 'x'])
})
