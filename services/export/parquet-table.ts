import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects, type SchemaElement } from 'hyparquet'
import { ByteWriter, ParquetWriter } from 'hyparquet-writer'
import { type Column, payloadColumn, sessionColumns } from './columns.ts'
import { FileSink } from './file-sink.ts'
import type { RowFacts, TableFormat, TableWriter } from './table-file.ts'

/** Rows of a row group; what is held in memory of a file. */
const rowGroupRows = 20_000

/** Parquet (parquet.apache.org/docs/file-format), Snappy; columns as in columns.ts, `payload` only where it is asked for. */
export function parquetTable(withPayload: boolean): TableFormat {
  const columns = withPayload ? [...sessionColumns, payloadColumn] : sessionColumns
  const schema = schemaOf(columns)
  return {
    extension: 'parquet',
    columns: columns.map(({ name, type, list }) => ({ name, type: list ? `LIST of ${type}` : type })),
    create: path => new ParquetTableWriter(new FileSink(path), columns, schema),
    read: readParquet,
  }
}

class ParquetTableWriter implements TableWriter {
  readonly #sink: FileSink
  readonly #columns: readonly Column[]
  readonly #bytes = new ByteWriter(1 << 20)
  readonly #writer: ParquetWriter
  #data: unknown[][] = []
  #rows = 0

  constructor(sink: FileSink, columns: readonly Column[], schema: SchemaElement[]) {
    this.#sink = sink
    this.#columns = columns
    this.#writer = new ParquetWriter({
      writer: this.#bytes,
      schema,
      codec: 'ZSTD',
      compressors,
      createdBy: 'proclabel',
    })
    this.#data = columns.map(() => [])
  }

  add: TableWriter['add'] = (session, beside) => {
    for (let i = 0; i < this.#columns.length; i++) this.#data[i]!.push(this.#columns[i]!.of(session, beside))
    this.#added()
  }

  keep: TableWriter['keep'] = raw => {
    const row = raw as Record<string, unknown>
    for (let i = 0; i < this.#columns.length; i++) this.#data[i]!.push(row[this.#columns[i]!.name])
    this.#added()
  }

  finish: TableWriter['finish'] = () => {
    if (this.#rows > 0) this.#writeGroup()
    void this.#writer.finish()
    this.#drain()
    return this.#sink.finish()
  }

  discard = (): void => this.#sink.discard()

  #added(): void {
    if (++this.#rows === rowGroupRows) this.#writeGroup()
  }

  #writeGroup(): void {
    const columnData = this.#columns.map((column, i) => ({
      name: column.name,
      data: this.#data[i]!,
      statistics: column.type === 'TIMESTAMP',
      // Values that are nearly all different: a dictionary is of no use. Of the others it leaves little to compress.
      ...(isVaried(column) ? { encoding: 'PLAIN' as const } : { codec: 'UNCOMPRESSED' as const }),
    }))
    // Done when it returns: the bytes stay in memory.
    void this.#writer.write({ columnData, rowGroupSize: rowGroupRows })
    this.#data = this.#columns.map(() => [])
    this.#rows = 0
    this.#drain()
  }

  /** What is encoded goes to the file; offsets in the footer count all bytes ever written. */
  #drain(): void {
    this.#sink.write(this.#bytes.getBytes())
    this.#bytes.index = 0
  }
}

async function* readParquet(path: string) {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const rows = await parquetReadObjects({ file, metadata, rowStart, rowEnd, parsers, compressors: decompressors })
    for (const raw of rows) yield { facts: raw as unknown as RowFacts, raw }
    rowStart = rowEnd
  }
}

const isVaried = ({ name, type, list }: Column): boolean =>
  list ||
  type === 'TIMESTAMP' ||
  type === 'INT64' ||
  type === 'BYTES' ||
  /^(session_id|community_id|evidence_clock.*)$/.test(name)

/** Times stay the microseconds that they are. */
const micros = (us: bigint): bigint => us
const parsers = { timestampFromMicroseconds: micros } as never

const compressors = {
  ZSTD: (bytes: Uint8Array) => zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: 1 } }),
}
const decompressors = { ZSTD: (bytes: Uint8Array) => zstdDecompressSync(bytes) }

const physical: Record<Column['type'], Partial<SchemaElement>> = {
  STRING: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  INT32: { type: 'INT32' },
  INT64: { type: 'INT64' },
  DOUBLE: { type: 'DOUBLE' },
  BOOLEAN: { type: 'BOOLEAN' },
  TIMESTAMP: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  },
  BYTES: { type: 'BYTE_ARRAY' },
}

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  const elements = columns.flatMap(({ name, type, nullable, list }): SchemaElement[] => {
    if (!list) return [{ name, ...physical[type], repetition_type: nullable ? 'OPTIONAL' : 'REQUIRED' }]
    return [
      { name, repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST', logical_type: { type: 'LIST' } },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', ...physical[type], repetition_type: 'REQUIRED' },
    ]
  })
  return [{ name: 'session', num_children: columns.length }, ...elements]
}
