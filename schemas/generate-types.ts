import { readFileSync, writeFileSync } from 'node:fs'

type Schema = string | Schema[] | RecordSchema | EnumSchema | ArraySchema | { type: 'long'; logicalType: string }
interface RecordSchema {
  type: 'record'
  name: string
  doc: string
  fields: { name: string; type: Schema; doc: string }[]
}
interface EnumSchema {
  type: 'enum'
  name: string
  symbols: string[]
}
interface ArraySchema {
  type: 'array'
  items: Schema
}

export const schemaNames = [
  'host',
  'socket-snapshot',
  'socket-event',
  'packet-batch',
  'labeled-session',
  'resolution',
  'dead-letter',
] as const
export type SchemaName = (typeof schemaNames)[number]

const primitives: Record<string, string> = {
  null: 'null',
  boolean: 'boolean',
  int: 'number',
  long: 'number',
  double: 'number',
  string: 'string',
  bytes: 'Uint8Array',
}

/** The checked-in schema `name`.avsc, parsed. */
export const readSchema = (name: SchemaName): RecordSchema =>
  JSON.parse(readFileSync(new URL(`${name}.avsc`, import.meta.url), 'utf8'))

/** TypeScript source with one interface for each record and one union for each enum of the checked-in schemas. */
export function generateTypes(): string {
  const declarations: string[] = []
  const reference = (schema: Schema): string => {
    if (typeof schema === 'string') return primitives[schema] ?? schema
    if (Array.isArray(schema)) return schema.map(reference).sort(nullLast).join(' | ')
    if (schema.type === 'array') return `${wrapUnion(reference(schema.items))}[]`
    if (schema.type === 'enum') {
      declarations.push(`export type ${schema.name} = ${schema.symbols.map(symbol => `'${symbol}'`).join(' | ')}\n`)
      return schema.name
    }
    if (schema.type === 'record') {
      declarations.push(declareRecord(schema))
      return schema.name
    }
    return primitives[schema.type] as string
  }
  const declareRecord = (schema: RecordSchema): string => {
    const fields = schema.fields.map(field => `  /** ${field.doc} */\n  ${field.name}: ${reference(field.type)}\n`)
    return `/** ${schema.doc} */\nexport interface ${schema.name} {\n${fields.join('')}}\n`
  }
  for (const name of schemaNames) reference(readSchema(name))
  return `// Written by generate-types.ts from the .avsc files: change those, then run \`node schemas/generate-types.ts\`.\n\n${declarations.join('\n')}`
}

const nullLast = (a: string, b: string) => Number(a === 'null') - Number(b === 'null')
const wrapUnion = (type: string) => (type.includes('|') ? `(${type})` : type)

if (import.meta.main) writeFileSync(new URL('types.ts', import.meta.url), generateTypes())
