import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { copyFileSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import test from 'node:test'
import { fileURLToPath } from 'node:url'
import { topics } from '#schemas'
import { npmPackages } from '../tools.ts'

const schemas = fileURLToPath(new URL('../../../schemas/', import.meta.url))
const packages = ['@asyncapi/parser@3.6.6', '@asyncapi/avro-schema-parser@3.1.0']

/** Run in the folder of the packages: tells problems by severity (0 is an error), and what each message is made of. */
const script = `
import { Parser, fromFile } from '@asyncapi/parser'
import { AvroSchemaParser } from '@asyncapi/avro-schema-parser'
const parser = new Parser()
parser.registerSchemaParser(AvroSchemaParser())
const { document, diagnostics } = await fromFile(parser, process.argv[1]).parse()
const messages = document?.channels().all().map(channel =>
  [channel.id(), Object.keys(channel.messages().all()[0].payload()?.json().schema.properties ?? {})])
console.log(JSON.stringify({ problems: diagnostics.map(({ severity, message, path }) =>
  ({ severity, message, path: path.join('.') })), messages }))
`

interface Parsed {
  problems: { severity: number; message: string; path: string }[]
  messages?: [string, string[]][]
}

async function parse(file: string): Promise<Parsed> {
  const args = ['--input-type=module', '--eval', script, file]
  return JSON.parse(
    execFileSync(process.execPath, args, { cwd: await npmPackages(...packages), timeout: 60_000 }).toString(),
  )
}

test("AsyncAPI's own parser takes the document, and every schema that it refers to", async () => {
  const { problems, messages } = await parse(join(schemas, 'asyncapi.json'))
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 0),
    [],
  )
  const fields = (schema: string): string[] =>
    JSON.parse(readFileSync(join(schemas, `${schema}.avsc`), 'utf8')).fields.map(({ name }: { name: string }) => name)
  assert.deepEqual(
    Object.fromEntries(messages!),
    Object.fromEntries(Object.entries(topics).map(([topic, schema]) => [topic, fields(schema)])),
  )
})

test('it refuses a document that is not right', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'proclabel-asyncapi-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const file of globSync('*.avsc', { cwd: schemas })) copyFileSync(join(schemas, file), join(folder, file))
  const document = JSON.parse(readFileSync(join(schemas, 'asyncapi.json'), 'utf8'))
  document.channels.hosts.bindings.kafka.topicConfiguration['cleanup.policy'] = ['shred']
  writeFileSync(join(folder, 'asyncapi.json'), JSON.stringify(document))
  const { problems } = await parse(join(folder, 'asyncapi.json'))
  assert.ok(problems.some(({ severity, path }) => severity === 0 && path.startsWith('channels.hosts.bindings')))
})
