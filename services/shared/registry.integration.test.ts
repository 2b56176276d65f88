import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { sharedStack } from '../e2e/stack/shared-stack.ts'
import { Registry } from './registry.ts'

let stack: Awaited<ReturnType<typeof sharedStack>>
before(async () => {
  stack = await sharedStack({ registry: true })
})
after(() => stack.stop())

const unique = () => `test-${randomUUID()}`
const schema = (...fields: object[]) =>
  JSON.stringify({ type: 'record', name: 'R', namespace: unique().replaceAll('-', '_'), fields })
const a = { name: 'a', type: 'int', doc: 'A.' }
const b = { name: 'b', type: 'int', doc: 'B.' }

/** Schema texts of one record type whose fields differ. */
function versions(): [string, string, string] {
  const first = JSON.parse(schema(a))
  const text = (...fields: object[]) => JSON.stringify({ ...first, fields })
  return [text(a), text(a, { ...b, default: 0 }), text(a, b)]
}

const request = (path: string, method: string, body: object) =>
  fetch(`${stack.registryUrl}${path}`, {
    method,
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify(body),
  })
const level = async (subject: string) =>
  ((await (await fetch(`${stack.registryUrl}/config/${subject}`)).json()) as { compatibilityLevel: string })
    .compatibilityLevel

test('a schema is registered once, with its compatibility, and found by id and by text', async () => {
  const registry = new Registry({ url: stack.registryUrl })
  const [subject, [text]] = [unique(), versions()]
  assert.equal(await registry.idOf(subject, text), null)
  const { id, did } = await registry.register(subject, text)
  assert.equal(did, 'registered')
  assert.equal(await level(subject), 'BACKWARD_TRANSITIVE')
  assert.deepEqual(await registry.register(subject, text), { id, did: 'unchanged' })
  assert.equal(await registry.idOf(subject, text), id)
  assert.deepEqual(JSON.parse((await registry.schema(id))!), JSON.parse(text))
  assert.equal(await registry.schema(2_000_000_000), null)
})

test('a later version joins, one that cannot read the first is refused', async () => {
  const registry = new Registry({ url: stack.registryUrl })
  const [subject, [first, second, bad]] = [unique(), versions()]
  await registry.register(subject, first)
  assert.equal((await registry.register(subject, second)).did, 'registered')
  assert.notEqual(await registry.idOf(subject, second), await registry.idOf(subject, first))
  const refused = { code: 'PROCLABEL_REGISTRY', retryable: false, message: /refuses the schema/ }
  await assert.rejects(registry.register(subject, bad), refused)
})

test('a subject that somebody registered by hand gets the compatibility; one with another level is left alone', async () => {
  const registry = new Registry({ url: stack.registryUrl })
  const [subject, [first, second]] = [unique(), versions()]
  await request(`/subjects/${subject}/versions`, 'POST', { schema: first })
  assert.equal((await registry.register(subject, first)).did, 'compatibility-set')
  assert.equal(await level(subject), 'BACKWARD_TRANSITIVE')
  await request(`/config/${subject}`, 'PUT', { compatibility: 'FULL' })
  const message = /has compatibility FULL; it must be BACKWARD_TRANSITIVE/
  await assert.rejects(registry.register(subject, second), { code: 'PROCLABEL_REGISTRY', message })
})

test('a registry that is away is a retryable error without the password', async () => {
  const registry = new Registry({ url: 'http://127.0.0.1:9/apis/ccompat/v7' })
  await assert.rejects(registry.schema(1), { code: 'PROCLABEL_REGISTRY', retryable: true, message: /does not answer/ })
})
