import assert from 'node:assert/strict'
import { test } from 'node:test'
import { zstdDecompressSync } from 'node:zlib'
import fc from 'fast-check'
import { parquetReadObjects, type SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import type { Column, Value } from './columns.ts'
import { ParquetColumn } from './parquet-column.ts'

const largest = Number.MAX_SAFE_INTEGER
const number64 = fc.integer({ min: -largest, max: largest })
const kinds: Record<
  Exclude<Column['type'], 'TIMESTAMP'>,
  { element: Omit<SchemaElement, 'name'>; value: fc.Arbitrary<Value> }
> = {
  STRING: { element: { type: 'BYTE_ARRAY', converted_type: 'UTF8' }, value: fc.string({ unit: 'binary' }) },
  INT32: { element: { type: 'INT32' }, value: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }) },
  INT64: { element: { type: 'INT64' }, value: number64 },
  DOUBLE: { element: { type: 'DOUBLE' }, value: fc.double({ noNaN: true }) },
  BOOLEAN: { element: { type: 'BOOLEAN' }, value: fc.boolean() },
  BYTES: { element: { type: 'BYTE_ARRAY' }, value: fc.uint8Array({ maxLength: 40 }) },
}
const columnNamed = (name: string, type: Column['type'], nullable: boolean, list: boolean): Column => ({
  ...{ name, type, nullable, list },
  of: () => null,
})

/** What another reader finds in a file of this one column. */
async function throughFile(
  column: Column,
  leaf: Omit<SchemaElement, 'name'>,
  values: readonly Value[],
  varied: boolean,
) {
  const schema: SchemaElement[] = [{ name: 'root', num_children: 1 }]
  const { name, nullable, list } = column
  if (list)
    schema.push(
      { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', ...leaf, repetition_type: 'REQUIRED' },
    )
  else schema.push({ name, ...leaf, repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED' })
  const bytes = new ByteWriter()
  const file = new ParquetWriter({ writer: bytes, schema })
  const writer = new ParquetColumn(column, leaf, list ? [name, 'list', 'element'] : [name], varied)
  for (const value of values) writer.add(value)
  const chunk = writer.write(bytes)
  const size = chunk.meta_data!.total_compressed_size
  file.row_groups.push({ columns: [chunk], num_rows: BigInt(values.length), total_byte_size: size })
  file.num_rows = BigInt(values.length)
  void file.finish()
  const compressors = { ZSTD: (packed: Uint8Array) => zstdDecompressSync(packed) }
  const rows = await parquetReadObjects({ file: bytes.getBuffer(), compressors, utf8: false })
  return rows.map(row => plain(row[name]))
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  return value instanceof Uint8Array ? [...value] : (value ?? null)
}

for (const [type, { element, value }] of Object.entries(kinds))
  test(`${type}: another reader finds every value as it was, and none where there was none`, async () => {
    // Few different values, too, so that dictionaries have one entry, and more.
    const values = fc.oneof(value, fc.constantFrom(...fc.sample(value, { numRuns: 3, seed: 1 })))
    const list = fc.oneof(
      fc.array(values, { minLength: 1, maxLength: 300 }),
      fc.array(fc.option(values), { minLength: 1, maxLength: 300 }),
    )
    await fc.assert(
      fc.asyncProperty(list, fc.boolean(), async (list, varied) => {
        const nullable = list.includes(null)
        const column = columnNamed('it', type as Column['type'], nullable, false)
        assert.deepEqual(await throughFile(column, element, list, varied), list.map(plain))
      }),
      { numRuns: 60 },
    )
  })

test('lists, empty ones among them, come back as they were', async () => {
  const lists = fc.array(fc.array(fc.integer({ min: -1000, max: 1000 }), { maxLength: 20 }), {
    minLength: 1,
    maxLength: 60,
  })
  await fc.assert(
    fc.asyncProperty(lists, async lists => {
      const found = await throughFile(columnNamed('it', 'INT32', false, true), kinds.INT32.element, lists, true)
      assert.deepEqual(found, lists)
    }),
    { numRuns: 60 },
  )
})
